"""Unpack an archive from any source: nothing outside of the folder, no links, no devices."""

import lzma
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from context_fbr.core.errors import UserError, raise_problems, visible
from context_fbr.core.file_kinds import look
from context_fbr.core.progress import progress
from context_fbr.datasets.archive import disk
from context_fbr.datasets.dataset_json import NAME
from context_fbr.datasets.layout import FOLDERS

_BLOCK = 512  # bytes of a tar file
_ENDINGS = (".tar", ".tar.gz", ".tgz", ".zip")
_EXPECTED = "expected .tar, .tar.gz, .tgz or .zip"
_ALLOWED = frozenset({"tar", "gzip", "xz", "bzip2", "damaged-gzip", "unknown", "zeros"})
"""Kinds that a .tar may begin with; an old tar has no mark, one without members is zeros."""
_FROM_A_SERVER = frozenset({"html", "xml", "git-lfs", "git-annex", "empty", "text", "dangling"})
_OTHER_ARCHIVES = frozenset({"zstd", "7z", "rar"})
_TAR_KINDS = dict.fromkeys(tarfile.REGULAR_TYPES, "file") | {
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "device",
}
_ZIP_KINDS = {"?": "file", "-": "file", "d": "folder", "l": "symbolic link"}
"""Kinds by the first letter of the mode; `?` where the archive was not made on Unix."""
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError),
    RuntimeError,  # zipfile: an encrypted member, or one of unknown compression
    *(ValueError, LookupError, ArithmeticError, struct.error),  # headers without sense
)


@dataclass(frozen=True)
class _Member:
    """A file or folder of an archive."""

    name: str
    size: int
    kind: str
    """`file`, `folder`, or a kind that must not be unpacked."""
    extract: Callable[[str, Path], object]
    """Write it under a new name below a folder."""

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(self.name)

    @property
    def is_junk(self) -> bool:
        """Return true if macOS added it."""
        return any(part.startswith("._") or part in ("__MACOSX", ".DS_Store") for part in self.path.parts)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar, .tar.gz, .tgz or .zip into an empty folder, such as `atomic.directory` gives.

    All members are checked before the first is written. Folders around the data set (`Task09_Spleen/`),
    other files around it and files that macOS adds are left out.

    Raises:
        UserError: if it is not an archive, damaged or cut, or cannot be read; if a member must not be
            unpacked (all are named); if it holds several data sets, or if there is not enough room.
        OSError: if a file cannot be written.
    """
    if problem := wrong_kind(archive, archive.name):
        raise UserError(f"{archive}: {problem}")
    try:
        with _members(archive) as found:
            members = [member for member in found if not member.is_junk]
            raise_problems([f"{archive}: {problem}" for problem in _problems(members)])
            files = _chosen(archive, [member for member in members if member.kind == "file"])
            disk.require([(folder, sum(file.size for file in files.values()))], f"unpacking {archive.name}")
            for name, member in progress(files.items(), len(files), f"unpack {archive.name}", "file"):
                member.extract(name, folder)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # without: gzip's wrong checksum
            raise
        text = f"is no archive, cut or damaged ({error}); {_EXPECTED}: download or copy it again"
        raise UserError(f"{archive}: {text}") from error


def _problems(members: list[_Member]) -> Iterator[str]:
    advice = "nothing was unpacked; take the archive from a source that you trust"
    for member in members:
        if member.path.is_absolute() or ".." in member.path.parts or "\\" in member.name:
            yield f"{member.name} is outside of the archive's folder; {advice}"
        if member.kind == "file" and (not member.path.parts or "\0" in member.name):
            yield f"{member.name!r} is no name of a file; {advice}"
        if member.kind not in ("file", "folder"):
            yield f"{member.name} is a {member.kind}, expected files and folders only; {advice}"
    for path, count in Counter(member.path for member in members if member.kind == "file").items():
        if count > 1:
            yield f"{path} occurs {count} times in it; {advice}"


def _chosen(archive: Path, files: list[_Member]) -> dict[str, _Member]:
    """Files of the data set by their names in its folder; the first of the others go to stderr."""
    if not files:
        raise UserError(f"{archive}: holds no files; expected dataset.json, imagesTr and labelsTr")
    root = _root(archive, [member.path.parts for member in files])
    chosen = [member for member in files if member.path.parts[: len(root)] == root]
    others = [member.name for member in files if member.path.parts[: len(root)] != root]
    if others:
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        text = f"{archive}: {len(others)} files outside of {'/'.join(root)} are left out: {named}"
        print(visible(text), file=sys.stderr, flush=True)
    return {str(PurePosixPath(*member.path.parts[len(root) :])): member for member in chosen}


def _root(archive: Path, paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the folder that holds dataset.json and imagesTr; if there is none, the one around all files."""
    described = {parts[:-1] for parts in paths if parts[-1] == NAME}
    imaged = {parts[:place] for parts in paths for place, name in enumerate(parts) if name == FOLDERS[0]}
    roots = described & imaged or described or imaged
    highest = sorted(root for root in roots if len(root) == min(map(len, roots)))
    if len(highest) > 1:
        names = ", ".join("/".join(root) for root in highest)
        raise UserError(f"{archive}: holds {len(highest)} data sets ({names}); pack one of them")
    if highest:
        return highest[0]
    tops = {parts[:1] for parts in paths}
    return next(iter(tops)) if len(tops) == 1 and not tops & {*paths, *((name,) for name in FOLDERS)} else ()


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    with disk.open_to_read(archive) as source:
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(source) as file:
                yield [_zip_member(file, info) for info in file.infolist()]
        else:
            with tarfile.open(archive, fileobj=source) as tar:
                members = tar.getmembers()
                _check_end(tar)
                yield [_tar_member(tar, info) for info in members]


def _check_end(tar: tarfile.TarFile) -> None:
    """Check the end mark: an archive that is cut between two members looks like a shorter one."""
    stream = tar.fileobj
    assert stream is not None  # it was opened to be read
    stream.seek(tar.offset)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it does not end with an end mark")
    while stream.read(1 << 20):  # a compressed stream is whole if its end can be read
        pass


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    def extract(name: str, folder: Path) -> None:
        # set_attrs: modes and owners are the user's
        tar.extract(info.replace(name=name, deep=False), folder, set_attrs=False, filter="data")

    return _Member(info.name, info.size, _TAR_KINDS.get(info.type, "thing of unknown type"), extract)


def _zip_member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    def extract(name: str, folder: Path) -> None:
        info.filename = name
        file.extract(info, folder)

    kind = _ZIP_KINDS.get(stat.filemode(info.external_attr >> 16)[0], "device")
    is_folder = info.is_dir() and kind != "symbolic link"
    return _Member(info.filename, info.file_size, "folder" if is_folder else kind, extract)


def wrong_kind(path: Path, name: str) -> str | None:
    """Return the kind of a file that is not the archive that `name` promises, and a remedy; else None.

    Args:
        path: of the file.
        name: that it has or will have.

    Raises:
        UserError: if it cannot be read.
    """
    with disk.reading(path):
        start = look(path)
    kind, is_zip = start.kind, name.lower().endswith(".zip")
    stem = next((name[: -len(end)] for end in _ENDINGS if name.lower().endswith(end)), name)
    if kind.key == "zip" and not start.packed:
        return None if is_zip else f"is a zip archive; name it {stem}.zip"
    if kind.key == "tar" and is_zip:
        packed, ending = (" packed by gzip", ".tar.gz") if start.packed else ("", ".tar")
        return f"is a tar archive{packed}; name it {stem}{ending}"
    if kind.key in _ALLOWED or (start.packed and kind.key == "empty"):
        return None
    remedy = kind.remedy if kind.key in _FROM_A_SERVER else "download or copy the archive again"
    if kind.key in _OTHER_ARCHIVES:
        remedy = "unpack it, and pack the data set again, or give its folder (`source: folder`)"
    return f"{'is packed by gzip and then ' if start.packed else ''}{kind.text}; {_EXPECTED}; {remedy}"
