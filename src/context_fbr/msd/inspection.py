"""Read one file to its last byte and note what the rules need to know of it."""

import hashlib
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes

from context_fbr import nifti
from context_fbr.errors import UserError
from context_fbr.geometry import Affine, distance_mm

MOST_VALUES = 1000  # of a label: more are certainly no label, and are not all kept

_NIFTI_2 = 540  # what a header of NIfTI-2 begins with: its length


@dataclass(frozen=True)
class Facts:
    """What a readable volume holds."""

    file: str
    """Relative to the data set's folder."""
    shape: tuple[int, ...]
    affine: Affine
    """Voxel to world in mm, four rows."""
    spacing_mm: tuple[float, ...]
    """Edges of a voxel."""
    minimum: float
    """Of the finite voxels; NaN if there are none."""
    maximum: float
    not_finite: int
    """NaN or infinite voxels."""
    foreground: int
    """Voxels that are not 0."""
    values: tuple[float, ...]
    """Of a label: the finite values in it, at most MOST_VALUES; of an image: none."""
    digest: str
    """Equal for two volumes of the same shape and voxels, however they are stored."""
    forms_apart_mm: float = 0.0
    """How far apart sform and qform put the corners; 0 unless both are set, inf if one is damaged."""


@dataclass(frozen=True)
class Damage:
    """A file that cannot be read."""

    file: str
    text: str
    remedy: str


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Keep nibabel from printing what it finds in headers, which does not say in whose."""

    def nothing(_: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("nibabel.global")
    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)


def memory_to_read(path: Path) -> int:
    """Bytes that `inspect` takes at its peak, from the header alone; 0 if that cannot be read.

    Measured: the stored voxels, float32 of them and masks; scaled ones and float64 go through float64.
    """
    try:
        header = nifti.header(nifti.start(path))
    except OSError:
        return 0
    if header is None:
        return 0
    stored = int(header["bitpix"]) // 8
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    is_scaled = math.isfinite(slope) and slope != 0 and (slope, inter) != (1, 0)
    return math.prod(nifti.shape(header)) * (stored + (16 if is_scaled or stored >= 8 else 9))


def inspect(folder: Path, file: str, is_label: bool) -> Facts | Damage:
    """Read a volume and sum it up; a file that cannot be read gives a `Damage`, never an error."""
    path = folder / file
    try:
        damage = _header_damage(file, nifti.start(path))
    except OSError as error:
        remedy = "mend its permission or its disk, or copy it again"
        return Damage(file, f"cannot be read: {error.strerror or error}", remedy)
    if damage:
        return damage
    try:
        with np.errstate(all="ignore"):  # float64 values too large for float32 become infinite: told below
            image = nifti.read(path)
    except UserError as error:
        text = str(error).removeprefix(f"{path}: ").removesuffix("; replace it")
        return Damage(file, text, "copy or download it again")
    return facts_of(image, file, is_label)


def facts_of(image: nibabel.Nifti1Image, file: str, is_label: bool) -> Facts:
    """Sum up a volume that was read; `file` is what to call it."""
    # (z, y, x): NIfTI's order in memory, in which slices lie one after the other
    voxels = np.ascontiguousarray(image.get_fdata(dtype=np.float32).T)
    finite = np.isfinite(voxels)
    not_finite = int(finite.size - np.count_nonzero(finite))
    kept = voxels[finite] if not_finite else voxels
    digest = hashlib.sha256(str(voxels.shape).encode())
    digest.update(voxels.data)
    return Facts(
        file=file,
        shape=tuple(image.shape),
        affine=tuple(tuple(float(value) for value in row) for row in image.affine),
        spacing_mm=tuple(float(size) for size in voxel_sizes(image.affine)),
        minimum=float(kept.min()) if kept.size else float("nan"),
        maximum=float(kept.max()) if kept.size else float("nan"),
        not_finite=not_finite,
        foreground=int(np.count_nonzero(voxels)),
        values=_values(voxels) if is_label else (),
        digest=digest.hexdigest(),
        forms_apart_mm=_forms_apart_mm(image),
    )


def _values(voxels: np.ndarray) -> tuple[float, ...]:
    values: set[float] = set()
    for part in voxels:  # slice by slice: no second copy of the volume, and an early end
        values.update(value for value in np.unique(part).tolist() if math.isfinite(value))
        if len(values) > MOST_VALUES:
            break
    return tuple(sorted(values)[:MOST_VALUES])


def _header_damage(file: str, start: bytes) -> Damage | None:
    """What the header alone shows, and nibabel has no good words for."""
    if _NIFTI_2 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
        remedy = "convert to NIfTI-1, for example with nibabel's Nifti1Image.from_image"
        return Damage(file, "is NIfTI-2, expected NIfTI-1", remedy)
    header = nifti.header(start)
    if header is None or len(shape := nifti.shape(header)) == 3:
        return None
    text = f"has {len(shape)} axes ({' x '.join(map(str, shape))} voxels), expected one 3D volume"
    if len(shape) < 3:
        return Damage(file, text, "stack the slices of a case into one volume")
    if set(shape[3:]) == {1}:
        return Damage(file, text, "squeeze it to 3D, for example with nibabel's squeeze_image")
    remedy = "split it into 3D volumes, for example with nibabel's four_to_three, and take one a case"
    return Damage(file, text, remedy)


def _forms_apart_mm(image: nibabel.Nifti1Image) -> float:
    header = image.header
    if not (header["sform_code"] > 0 and header["qform_code"] > 0):
        return 0.0
    try:
        with np.errstate(all="ignore"):
            distance = distance_mm(header.get_sform(), header.get_qform(), image.shape)
    except (ValueError, nibabel.spatialimages.HeaderDataError):  # the quaternion is no rotation
        return math.inf
    return distance if math.isfinite(distance) else math.inf
