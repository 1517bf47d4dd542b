"""File formats recognised by their first bytes, independent of the name of the file.

`KINDS` is the only table of first bytes: readers of images, labels and archives take their messages from it.
"""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

GZIP = 31  # zlib's wbits: the largest window, in a gzip file
BYTES = 4096
"""Unpacked bytes that are enough to recognise a format, and to read the header of a volume."""
_PACKED_BYTES = 1 << 16


@dataclass(frozen=True)
class FileKind:
    """A format, or another reason why a file does not hold what its name promises."""

    key: str
    """Name for programs, such as `nifti-1` or `git-lfs`."""
    text: str
    """Continues a sentence that begins with the file: `is a Git LFS pointer, not the file itself`."""
    remedy: str
    """Remedy: the way to a NIfTI-1 volume."""


@dataclass(frozen=True)
class FileStart:
    """Kind and first bytes of a file; for a gzip file those of its content."""

    kind: FileKind
    packed: bool
    """Return true if the file is a gzip file."""
    content: bytes
    """The first bytes, unpacked: at most BYTES, fewer if the file is short or damaged."""


def _itk(ending: str) -> str:
    return (
        "convert it to NIfTI, for example in Python: "
        f'`SimpleITK.WriteImage(SimpleITK.ReadImage("a{ending}"), "a.nii.gz")`'
    )


def _nibabel(ending: str) -> str:
    return (
        "convert it to NIfTI-1, for example with nibabel's Nifti1Image.from_image: "
        f'`nibabel.save(nibabel.Nifti1Image.from_image(nibabel.load("a{ending}")), "a.nii.gz")`'
    )


_AGAIN = "copy or download it again"
_UNPACK = "unpack it, and name the image inside"
_SCAN = "convert the original scan to NIfTI; an exported picture has neither intensities nor geometry"
_ANNEX = FileKind(
    "git-annex",
    "is a pointer of git-annex, its content is not here",
    "fetch it with `git annex get` or `datalad get`",
)

# The first pattern that matches decides.
KINDS: tuple[tuple[bytes, FileKind], ...] = (
    (rb"\Z", FileKind("empty", "is empty (0 bytes)", _AGAIN)),
    (rb".{344}n\+1\0", FileKind("nifti-1", "is a NIfTI-1 file", "")),
    (
        rb".{344}ni1\0",
        FileKind("nifti-1-pair", "is one half of a NIfTI-1 pair (.hdr and .img)", _nibabel(".hdr")),
    ),
    (rb"\x1c\x02\0\0|\0\0\x02\x1c", FileKind("nifti-2", "is NIfTI-2, expected NIfTI-1", _nibabel(".nii"))),
    (
        rb"(?:\x5c\x01\0\0|\0\0\x01\x5c).{344}",
        FileKind(
            "analyze",
            "has a header of Analyze 7.5 (.hdr and .img), or a damaged one of NIfTI-1",
            _nibabel(".hdr"),
        ),
    ),
    (rb"\x5c\x01\0\0|\0\0\x01\x5c", FileKind("cut", "ends within its header", _AGAIN)),
    (rb"NRRD\d{4}", FileKind("nrrd", "is an NRRD file", _itk(".nrrd"))),
    (
        rb"(?:[A-Za-z]\w* *=[^\n]*\n){0,40}?(?:ObjectType *= *Image|NDims *=)",
        FileKind("metaimage", "is a MetaImage file (.mha or .mhd)", _itk(".mha")),
    ),
    (
        rb".{128}DICM|\x08\0[\0\x05\x08\x16]\0[\x04A-Z]",
        FileKind("dicom", "is a DICOM file", "convert its series to NIfTI, for example with dcm2niix"),
    ),
    (
        rb"\0\0\0\x01(?:\0\0..){4}\0\0\0[\0\x01\x03\x04]",
        FileKind("mgh", "is an MGH file of FreeSurfer (.mgh or .mgz)", _nibabel(".mgz")),
    ),
    (
        rb"\x89HDF\r\n\x1a\n|CDF[\x01\x02]",
        FileKind("minc", "is an HDF5, NetCDF or MINC file", "convert it to NIfTI, for example with mnc2nii"),
    ),
    (
        rb"\x93NUMPY",
        FileKind("numpy", "is a NumPy array, which has no geometry", "convert the original scan to NIfTI"),
    ),
    (
        rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|II\*\0|MM\0\*|BM.{4}\0\0\0\0|GIF8",
        FileKind("picture", "is a picture (PNG, JPEG, TIFF, BMP or GIF)", _SCAN),
    ),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", FileKind("zip", "is a zip archive", _UNPACK)),
    (rb".{257}ustar", FileKind("tar", "is a tar archive", _UNPACK)),
    (rb"\x1f\x8b", FileKind("gzip", "is packed twice by gzip", "unpack it once with `gunzip`")),
    (rb"\xfd7zXZ\0", FileKind("xz", "is packed by xz", "unpack it with `unxz`")),
    (rb"BZh[1-9]", FileKind("bzip2", "is packed by bzip2", "unpack it with `bunzip2`")),
    (rb"\x28\xb5\x2f\xfd", FileKind("zstd", "is packed by Zstandard", "unpack it with `unzstd`")),
    (rb"7z\xbc\xaf\x27\x1c", FileKind("7z", "is a 7z archive", _UNPACK)),
    (rb"Rar!\x1a\x07", FileKind("rar", "is a RAR archive", _UNPACK)),
    (
        rb"version https://[\w.-]+/spec/",
        FileKind("git-lfs", "is a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
    ),
    (rb"/annex/objects/|(?:\.\./)*\.git/annex/objects/", _ANNEX),
    (
        rb"(?:\xef\xbb\xbf)?\s*(?i:<!doctype html|<html|<head|<body|<!--)",
        FileKind(
            "html",
            "is a web page (HTML), such as a server sends instead of a file",
            "download it again, and look at the page for the reason",
        ),
    ),
    (
        rb"(?:\xef\xbb\xbf)?\s*<\?xml",
        FileKind("xml", "is an XML text, such as a server sends instead of a file", "download it again"),
    ),
    (
        rb"\0+\Z",
        FileKind("zeros", "begins with zeros only, as after an interrupted copy", _AGAIN),
    ),
    (rb"[\t\n\r\x20-\x7e]+\Z", FileKind("text", "is a text", _AGAIN)),
)
DAMAGED_GZIP = FileKind("damaged-gzip", "is a gzip file that is cut or damaged", _AGAIN)
DANGLING = FileKind("dangling", "is a link to a file that is not there", "bring back that file")
NO_FILE = FileKind("no-file", "is not a file", "name a file")
UNKNOWN = FileKind("unknown", "is in no known format", _AGAIN)

_PATTERNS = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in KINDS)


def kind_of(content: bytes) -> FileKind:
    """Return the format that begins with these bytes: BYTES of them, or the whole of a shorter file."""
    return next((kind for pattern, kind in _PATTERNS if pattern.match(content)), UNKNOWN)


def look(path: Path) -> FileStart:
    """Read the first bytes of a file.

    Raises:
        FileNotFoundError: if there is neither a file nor a link.
        OSError: if it cannot be read.
    """
    if path.is_symlink() and not path.exists():
        is_annexed = "annex/objects" in path.readlink().as_posix()
        return FileStart(_ANNEX if is_annexed else DANGLING, False, b"")
    if path.exists() and not path.is_file():  # a FIFO would be waited for
        return FileStart(NO_FILE, False, b"")
    header = path.with_suffix(".hdr")
    if path.suffix == ".img" and header.is_file():  # voxels alone look like anything
        return look(header)
    with path.open("rb") as file:
        content = file.read(_PACKED_BYTES)
    if not content.startswith(b"\x1f\x8b"):
        return FileStart(kind_of(content[:BYTES]), False, content[:BYTES])
    stream = zlib.decompressobj(wbits=GZIP)
    try:
        unpacked = stream.decompress(content, BYTES)
    except zlib.error:
        unpacked = b""
    is_whole = stream.eof or len(unpacked) == BYTES
    return FileStart(kind_of(unpacked) if is_whole else DAMAGED_GZIP, True, unpacked)
