"""NIfTI files: read with one clear error, written with the same bytes every time."""

import math
import zlib
from pathlib import Path

import nibabel
import numpy as np
from isal import igzip

from context_fbr import atomic
from context_fbr.errors import UserError

GZIP = 31  # zlib's wbits: the largest window, in a gzip file
HEADER = 348
MOST_PACKED = 1040  # times: no more can be packed by gzip's method
SPARE = 1 << 20  # bytes: what some programs leave behind the volume


def read(path: Path) -> nibabel.Nifti1Image:
    """Read a 3D volume to its last byte, and no further than its header says.

    Raises:
        UserError: if the file is missing, cut, damaged, or does not hold one 3D volume of numbers.
    """
    try:
        content = _content(path)
        image = nibabel.Nifti1Image.from_bytes(content)
        with np.errstate(all="ignore"):  # what is too large for float32 becomes infinite: told by its readers
            image.get_fdata(dtype=np.float32, caching="fill")
    except FileNotFoundError:
        raise UserError(f"{path}: not found; bring it back with `dvc checkout` or `dvc repro`") from None
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path}: does not fit into this machine's memory; take another machine") from error
    except Exception as error:  # gzip and nibabel have a dozen words for a damaged file
        text = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: is no readable NIfTI file ({text}); replace it") from error
    return image


def start(path: Path) -> bytes:
    """The unpacked bytes of a file's header; fewer if it is cut or damaged.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(1 << 16)
    if path.suffix == ".gz":
        try:
            content = zlib.decompressobj(wbits=GZIP).decompress(content, HEADER)
        except zlib.error:
            return b""
    return content[:HEADER]


def header(start: bytes) -> nibabel.Nifti1Header | None:
    """The header that begins with these bytes; None if they are none of NIfTI-1."""
    if len(start) < HEADER or start[344:348] not in (b"n+1\0", b"ni1\0"):
        return None
    found = nibabel.Nifti1Header(start, check=False)
    return found if 1 <= found["dim"][0] <= 7 else None


def shape(header: nibabel.Nifti1Header) -> tuple[int, ...]:
    """Voxels along each axis, as a header has them; 0 where it has less."""
    return tuple(max(int(edge), 0) for edge in header["dim"][1 : int(header["dim"][0]) + 1])


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked.

    A small file can be packed of, or can promise in its header, more than any memory holds: the header is
    believed as far as the file's size allows it, and what comes behind its volume is not read.
    """
    file_size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is no file")
    packed = path.suffix == ".gz"
    with igzip.open(path) if packed else path.open("rb") as file:
        needed = _needed(file.read(HEADER), path)
        if needed > file_size * (MOST_PACKED if packed else 1):
            raise ValueError(f"its header promises {needed:,} bytes, more than the file can hold")
        file.seek(0)
        content: bytes = file.read(needed + SPARE + 1)  # to the end of gzip, which has length and checksum
    if len(content) < needed:
        raise ValueError(f"it holds {len(content):,} bytes, expected {needed:,}")
    if len(content) > needed + SPARE:
        raise ValueError(f"it holds more than the {needed:,} bytes that its header says")
    return content


def _needed(start: bytes, path: Path) -> int:
    """Bytes up to the end of the volume, as its header has it."""
    header = nibabel.Nifti1Header(start, check=False)
    axes = int(header["dim"][0])
    if not 1 <= axes <= 7:
        raise ValueError(f"its header gives it {axes} axes")
    edges = shape(header)
    if axes != 3 or min(edges) < 1:
        raise UserError(f"{path}: expected a 3D volume, got the shape {edges}")
    kind = header.get_data_dtype()
    if kind.kind not in "iuf":
        raise ValueError(f"its voxels are {kind}, expected one real number each")
    offset = float(header["vox_offset"])
    if not math.isfinite(offset):
        raise ValueError(f"its header puts the volume at byte {offset}")
    return max(int(offset), HEADER) + math.prod(edges) * kind.itemsize


def encode(voxels: np.ndarray, affine: np.ndarray) -> bytes:
    """A volume as a `.nii.gz` file; `affine` is voxel to world in mm.

    zlib's own gzip header carries no time, so equal volumes are equal files. igzip would be faster, but once
    in some thousand files its output is not the same for the same input. Fractions are stored as they are:
    noise packs by a tenth, and that would take ten times as long as all else of a generated volume.
    """
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    return zlib.compress(image.to_bytes(), level=0 if voxels.dtype.kind == "f" else 1, wbits=GZIP)


def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume atomically, as in `encode`.

    Raises:
        UserError: if it cannot be written.
    """
    atomic.write_bytes(path, encode(voxels, affine))
