"""NIfTI-1 files with anything in their headers, for tests."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK
from scipy.spatial.transform import Rotation

VOXELS = np.random.default_rng(1).integers(0, 100, (7, 6, 5)).astype(np.int16)
AFFINE = np.array([[-0.8, 0, 0, 90], [0, 0.9, 0, -70], [0, 0, 2.5, -300], [0, 0, 0, 1]])
MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""By xyzt_units, from the standard: not given, metre, millimetre, micron."""


def turned(degrees: float, spacing_mm: tuple[float, float, float] = (0.8, 0.8, 2.5)) -> np.ndarray:
    """An oblique affine."""
    affine = np.array(AFFINE)
    affine[:3, :3] = Rotation.from_euler("xyz", [degrees] * 3, degrees=True).as_matrix() * spacing_mm
    return affine


def write_scan(
    path: Path,
    voxels: np.ndarray = VOXELS,
    sform: np.ndarray = AFFINE,
    qform: np.ndarray | None = None,
    codes: tuple[int, int] = (1, 1),
    unit: int = 2,
    endianness: str = "<",
    **fields: object,
) -> None:
    """Write a volume, packed if the name says so.

    Args:
        path: of the file.
        voxels: of three axes or more.
        sform: voxel to world in mm.
        qform: likewise; None: as the sform.
        codes: of qform and sform.
        unit: of xyzt_units; the affines are converted to it.
        endianness: of header and voxels.
        **fields: of the header, written last and unchecked.
    """
    header = nibabel.Nifti1Header(endianness=endianness)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    to_unit = np.diag([1 / MM_PER_UNIT.get(unit, 1.0)] * 3 + [1])
    header.set_qform(to_unit @ (sform if qform is None else qform), code=codes[0])
    header.set_sform(to_unit @ sform, code=codes[1])
    header["xyzt_units"] = unit
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 1, 0
    for name, value in fields.items():
        header[name] = value
    stored = voxels.astype(voxels.dtype.newbyteorder(endianness)).tobytes(order="F")
    content = header.binaryblock + bytes(4) + stored
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def corners(image: SimpleITK.Image) -> np.ndarray:
    """(8, 3) world coordinates in mm (left, posterior, superior) of the corner voxels, as SimpleITK has them."""
    ends = [(0, size - 1) for size in image.GetSize()]
    return np.array(
        [image.TransformIndexToPhysicalPoint((i, j, k)) for i in ends[0] for j in ends[1] for k in ends[2]]
    )


def open_with_itk(path: Path) -> SimpleITK.Image | None:
    """The image as SimpleITK reads it; None if it refuses to."""
    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError:
        return None
