"""NIfTI files: read with one clear error, written with the same bytes every time."""

import math
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
from isal import igzip
from nibabel.arrayproxy import ArrayProxy

from context_fbr.core import atomic, file_kinds, nifti_header
from context_fbr.core.errors import UserError
from context_fbr.core.file_kinds import GZIP
from context_fbr.core.nifti_header import Checked, HeaderError

MOST_PACKED = 1040  # times: no more can be packed by gzip's method
SPARE = 1 << 20  # bytes: what some programs leave behind the volume

_AGAIN = "copy or download it again"


class UnreadableError(UserError):
    """A file that does not hold one 3D volume of numbers on a known grid."""

    def __init__(self, path: Path, text: str, remedy: str) -> None:
        super().__init__(f"{path}: {text}; {remedy}")
        self.text, self.remedy = text, remedy


@dataclass(frozen=True)
class Volume:
    """A volume that was read, and how its file stores it."""

    image: nibabel.Nifti1Image
    """Three axes, lengths in mm; a fourth one of channels if they were asked for and there are several."""
    header: nibabel.Nifti1Header
    """The header in the file: in its own units, nothing repaired."""
    repairs: tuple[str, ...]
    """Fields of the header that are read as something else than they hold."""
    packed: bool
    """True if the file is a gzip file, whatever its name."""


def read(path: Path, channels: bool = False) -> nibabel.Nifti1Image:
    """Read a volume, lengths in mm; arguments and errors as in `read_volume`."""
    return read_volume(path, channels).image


def channel(image: nibabel.Nifti1Image, number: int) -> nibabel.Nifti1Image:
    """Return one channel of an image, three axes; the image itself if it has one."""
    return image if len(image.shape) == 3 else image.slicer[..., number]


def read_volume(path: Path, channels: bool = False) -> Volume:
    """Read a 3D volume to its last byte, and no more bytes than its header promises.

    The first bytes decide whether the file is packed. Lengths in m and micron become mm, and axes of length 1
    behind the third are left out.

    Args:
        path: of the file.
        channels: whether an image may have several channels, its fourth axis.

    Raises:
        UserError: if the file is not there.
        UnreadableError: if it is cut, damaged, or does not hold one 3D volume of numbers.
    """
    try:
        raw, packed = _header(path)
        checked = nifti_header.check(raw, channels)
        content = _content(path, packed, checked)
        image = _image(content, checked)
        with np.errstate(all="ignore"):  # readers report what becomes infinite as float32
            image.get_fdata(dtype=np.float32, caching="fill")
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: not found; bring it back with `dvc checkout` or `dvc repro`") from None
    except MemoryError as error:
        text = "does not fit into this machine's memory"
        raise UnreadableError(path, text, "use a machine with more memory") from error
    except HeaderError as error:
        raise UnreadableError(path, error.text, error.remedy) from error
    except Exception as error:  # gzip and nibabel raise many types for a damaged file
        if isinstance(error, OSError) and error.errno:
            remedy = "correct its permission, check its disk, or copy it again"
            raise UnreadableError(path, f"cannot be read: {error.strerror}", remedy) from error
        text = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(path, f"is no readable NIfTI file ({text})", _AGAIN) from error
    return Volume(image, raw, checked.repairs, packed)


def read_header(path: Path) -> nibabel.Nifti1Header:
    """Read the header of a volume as it is in the file; not checked further.

    Raises:
        UnreadableError: if the file is not NIfTI-1.
        OSError: if it cannot be read.
    """
    return _header(path)[0]


def _header(path: Path) -> tuple[nibabel.Nifti1Header, bool]:
    """The header as it is in the file, and whether that is a gzip file; errors as in `read_header`."""
    start = file_kinds.look(path)
    if start.kind.key != "nifti-1":
        raise UnreadableError(path, start.kind.text, start.kind.remedy)
    return nifti_header.parse(start.content), start.packed


def _image(content: bytes, checked: Checked) -> nibabel.Nifti1Image:
    voxels = ArrayProxy(BytesIO(content), checked.header)
    header = checked.header.copy()
    header["vox_offset"] = 0  # nibabel's own where it writes an image; it warns of others
    return nibabel.Nifti1Image(voxels, checked.affine, header)


def _content(path: Path, packed: bool, checked: Checked) -> bytes:
    """The bytes of a file, unpacked.

    A small file can be packed of, or can promise in its header, more than any memory holds: the header is
    believed as far as the file's size allows it, and what comes behind its volume is not read.
    """
    file_size = path.stat().st_size
    header = checked.header
    needed = int(header["vox_offset"]) + math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
    if needed > file_size * (MOST_PACKED if packed else 1):
        raise ValueError(f"its header promises {needed:,} bytes, more than the file can hold")
    with igzip.open(path) if packed else path.open("rb") as file:
        content: bytes = file.read(needed + SPARE + 1)  # to the end of gzip, which has length and checksum
    if len(content) < needed:
        raise ValueError(f"it holds {len(content):,} bytes, expected {needed:,}")
    if len(content) > needed + SPARE:
        raise ValueError(f"it holds more than the {needed:,} bytes that its header says")
    return content


def encode(voxels: np.ndarray, affine: np.ndarray) -> bytes:
    """A volume as a `.nii.gz` file; `affine` is voxel to world in mm.

    zlib's own gzip header carries no time, so equal volumes are equal files. igzip would be faster, but once
    in some thousand files its output is not the same for the same input. Fractions are stored as they are:
    noise packs by a tenth, and that would take ten times as long as all else of a generated volume.
    """
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    return zlib.compress(image.to_bytes(), level=0 if voxels.dtype.kind == "f" else 1, wbits=GZIP)


def encode_mask(mask: np.ndarray, scan: nibabel.Nifti1Header) -> bytes:
    """Encode a mask (i, j, k) uint8 as a `.nii.gz` file on the grid of a scan.

    Args:
        mask: on the grid of the scan.
        scan: header of the scan as `read_header` gives it.
    """
    header = nifti_header.of_mask(scan, mask.shape)
    no_extensions = bytes(nifti_header.FIRST_VOXEL - nifti_header.SIZE)
    return zlib.compress(header.binaryblock + no_extensions + mask.tobytes(order="F"), level=1, wbits=GZIP)


def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume atomically, as in `encode`.

    Raises:
        UserError: if it cannot be written.
    """
    atomic.write_bytes(path, encode(voxels, affine))
