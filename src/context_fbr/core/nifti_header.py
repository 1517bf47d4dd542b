"""Headers of NIfTI-1 volumes: which are refused, how they are read in mm, and the header of a mask.

nibabel repairs a header while it reads it. Here every repair is reported, and a header that programs read as
different grids is refused.
"""

import logging
import math
from dataclasses import dataclass

import nibabel
import numpy as np

SIZE = 348
"""Bytes of a header."""
FIRST_VOXEL = 352
"""Least offset of the voxels in a single file: the header and the four bytes that announce extensions."""
MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres by unit of length in xyzt_units: not given, m, mm, micron."""
MOST_CODE = 5
"""The largest code that NIfTI-1 defines for qform and sform."""

_UNIT_BITS, _MM_UNIT = 7, 2
_LENGTHS = ("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z")
_PLACE = (
    *("xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *_LENGTHS,
)
_HEADER = "write the right one into the header, or convert the scan again"
_SILENT = logging.Logger("context_fbr.core.nifti_header")
_SILENT.disabled = True  # nibabel's lines do not name the file


class HeaderError(Exception):
    """A header that cannot be used."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.text, self.remedy = text, remedy


@dataclass(frozen=True)
class Checked:
    """A header that can be used."""

    header: nibabel.Nifti1Header
    """Three axes, or a fourth one of channels, valid fields, lengths in mm."""
    affine: np.ndarray
    """(4, 4) voxel to world in mm."""
    repairs: tuple[str, ...]
    """Fields that are read as something else than they hold: `bitpix 8 is read as 16`."""


def parse(start: bytes) -> nibabel.Nifti1Header:
    """Return the header as it is in the first bytes of an unpacked file, unchecked."""
    return nibabel.Nifti1Header(start[:SIZE], check=False)


def shape(header: nibabel.Nifti1Header) -> tuple[int, ...]:
    """Voxels along each axis that the header names, 0 where a length is negative."""
    axes = min(max(int(header["dim"][0]), 0), 7)
    return tuple(max(int(edge), 0) for edge in header["dim"][1 : axes + 1])


def check(raw: nibabel.Nifti1Header, channels: bool = False) -> Checked:
    """Check a header, and bring it to three axes and mm, or to four of an image with several channels.

    Args:
        raw: as in the file.
        channels: whether a fourth axis is taken, of the channels of an image.

    Raises:
        HeaderError: if it is not the header of one 3D volume of real numbers with a known grid.
    """
    edges = _edges(raw, channels)
    _check_voxels(raw)
    _check_offset(raw)
    factor = _mm_per_unit(raw)
    _check_forms(raw)
    header = raw.copy()
    if header["pixdim"][0] not in (-1, 0, 1):  # NIfTI: the sign counts; nibabel would take 1
        header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    header.check_fix(_SILENT, error_level=100)
    header["dim"] = [len(edges), *edges, *[1] * (7 - len(edges))]
    repairs = tuple(_repairs(raw, header))
    try:
        affine = header.get_best_affine()
    except (ValueError, nibabel.spatialimages.HeaderDataError) as error:
        text = f"its qform is damaged ({' '.join(str(error).split())})"
        raise HeaderError(text, _HEADER) from error
    if not np.isfinite(affine).all():
        raise HeaderError("its affine holds a value that is not finite", _HEADER)
    if factor != 1:
        affine[:3] *= factor
        header["pixdim"][1:4] *= np.float32(factor)
        for name in _LENGTHS:
            header[name] = header[name] * np.float32(factor)
        header["xyzt_units"] = int(header["xyzt_units"]) & ~_UNIT_BITS | _MM_UNIT
    return Checked(header, affine, repairs)


def of_mask(scan: nibabel.Nifti1Header, shape: tuple[int, ...]) -> nibabel.Nifti1Header:
    """Return the header of a mask (uint8) on the grid of a scan.

    It takes over all that places the scan in the world, unchanged: both forms with their codes, the edges of
    voxels and the units. A program that reads the scan then reads the mask, at the same points.

    Args:
        scan: header of the scan as it is in its file.
        shape: of the mask, three axes.
    """
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header["pixdim"][:4] = scan["pixdim"][:4]
    for name in _PLACE:
        header[name] = scan[name]
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"] = FIRST_VOXEL
    return header


def _edges(raw: nibabel.Nifti1Header, channels: bool) -> tuple[int, ...]:
    axes = int(raw["dim"][0])
    if not 1 <= axes <= 7:
        raise HeaderError(
            "dim[0] of its header is not a number of axes, expected 3", "copy or download it again"
        )
    lengths = [int(edge) for edge in raw["dim"][1 : axes + 1]]
    voxels = " x ".join(map(str, lengths))
    if axes < 3:
        text = f"has {axes} axes ({voxels} voxels), expected one 3D volume"
        raise HeaderError(text, "stack the slices of a case into one volume")
    for axis, length in enumerate(lengths, 1):
        if length < 1:
            remedy = f"write 1 into dim[{axis}] if it is one 3D volume, or convert the scan again"
            text = f"its header gives axis {axis} of {axes} a length of {length} ({voxels} voxels)"
            raise HeaderError(text, remedy if axis > 3 else _HEADER)
    if channels and axes >= 4 and lengths[3] > 1 and math.prod(lengths[4:]) == 1:
        return tuple(lengths[:4])
    if math.prod(lengths[3:]) > 1:
        text = f"has {axes} axes ({voxels} voxels), expected one 3D volume"
        remedy = "split it into 3D volumes, for example with nibabel's four_to_three, and take one a case"
        if axes > 4:
            remedy = "it holds a vector or several channels for each voxel: extract one 3D volume from it"
        raise HeaderError(text, remedy)
    x, y, z = lengths[:3]
    return x, y, z


def _check_voxels(raw: nibabel.Nifti1Header) -> None:
    code = int(raw["datatype"])
    try:
        kind = raw.get_data_dtype()
    except KeyError:
        raise HeaderError(f"its datatype {code} is not one of NIfTI-1", _HEADER) from None
    if kind.kind not in "iuf":
        name = "colours (RGB)" if kind.names else str(kind)
        remedy = "convert the original scan, which has one intensity for each voxel"
        raise HeaderError(f"its voxels are {name}, expected one real number each", remedy)


def _check_offset(raw: nibabel.Nifti1Header) -> None:
    offset = float(raw["vox_offset"])
    if not (offset >= FIRST_VOXEL and offset == math.floor(offset)):  # NaN and inf neither
        text = (
            f"its header puts the first voxel at byte {offset:g} (vox_offset), expected {FIRST_VOXEL} or more"
        )
        remedy = (
            f"write the right offset into vox_offset (float at byte 108): {FIRST_VOXEL} without extensions"
        )
        raise HeaderError(text, remedy)


def _mm_per_unit(raw: nibabel.Nifti1Header) -> float:
    unit = int(raw["xyzt_units"]) & _UNIT_BITS
    if unit not in MM:
        text = f"its header gives lengths in unit {unit} (xyzt_units), which NIfTI-1 does not define"
        raise HeaderError(text, "write the right one: 1 for m, 2 for mm, 3 for micron")
    return MM[unit]


def _check_forms(raw: nibabel.Nifti1Header) -> None:
    """Check that the voxels have edges, and that all programs take them from the same fields."""
    for name in ("sform_code", "qform_code"):
        if int(raw[name]) > MOST_CODE:
            text = (
                f"{name} is {int(raw[name])}, expected 0 to {MOST_CODE}: only some programs use such a form"
            )
            raise HeaderError(text, f"write 1 into {name} if the form is right, else 0")
    if raw["sform_code"] > 0:
        return
    edges = [float(edge) for edge in raw["pixdim"][1:4]]
    if not all(0 < edge < math.inf for edge in edges):
        shown = " x ".join(f"{edge:g}" for edge in edges)
        raise HeaderError(
            f"its header has no spacing: pixdim is {shown}, every edge must be above 0", _HEADER
        )


def _repairs(raw: nibabel.Nifti1Header, header: nibabel.Nifti1Header) -> list[str]:
    """Describe the fields that differ, but for the number of axes, and for a qfac of 0, which means 1."""
    repairs = []
    for name in header:
        before, after = (np.atleast_1d(of[name]) for of in (raw, header))
        if name == "dim" or before.tobytes() == after.tobytes():
            continue
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            if old.tobytes() != new.tobytes() and not (name == "pixdim" and place == 0 and old == 0):
                field = f"{name}[{place}]" if before.size > 1 else name
                repairs.append(f"{field} {old:g} is read as {new:g}")
    if np.isinf(raw["scl_slope"]):
        repairs.append(f"scl_slope {raw['scl_slope']:g} is read as 1")
    return repairs
