"""Unpack an archive that nobody vouches for: nothing outside of the folder, no links, no devices."""

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
ENDINGS = ".tar, .tar.gz, .tgz or .zip"
_ALLOWED = frozenset({"tar", "gzip", "xz", "bzip2", "damaged-gzip", "unknown", "zeros"})
"""Kinds that a .tar may begin with; an old tar has no mark, one without members is zeros."""
_REPACK = f"unpack it, and pack the data set again as {ENDINGS}, or give its folder (`source: folder`)"
_REMEDIES = {"zstd": _REPACK, "7z": _REPACK, "rar": _REPACK}
_FROM_A_SERVER = frozenset({"html", "xml", "git-lfs", "git-annex", "empty", "text", "dangling"})


@dataclass(frozen=True)
class _Member:
    """A file or folder of an archive."""

    name: str
    size: int
    kind: str
    """`file`, `folder`, or what must not be unpacked."""
    extract: Callable[[str, Path], object]
    """Writes it under a new name below a folder."""

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(self.name)

    @property
    def is_junk(self) -> bool:
        """Whether macOS added it."""
        return any(part.startswith("._") or part in ("__MACOSX", ".DS_Store") for part in self.path.parts)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar, .tar.gz, .tgz or .zip into an empty folder, such as `atomic.directory` gives.

    The whole archive is looked at before anything is written. Folders around the data set (`Task09_Spleen/`)
    are left out, and so is what is beside it, and the files that macOS adds.

    Raises:
        UserError: if it is damaged, cut or no archive, if a member must not be unpacked (all are named), if
            it holds several data sets, or if there is not enough room.
        OSError: if a file cannot be written; an archive that cannot be read is a UserError.
    """
    if problem := wrong_kind(archive, archive.name):
        raise UserError(f"{archive}: {problem}")
    with _damage_is_an_error(archive), _members(archive) as found:
        members = [member for member in found if not member.is_junk]
        raise_problems([f"{archive}: {problem}" for problem in _problems(members)])
        files = _chosen(archive, [member for member in members if member.kind == "file"])
        if not files:
            raise UserError(f"{archive}: holds no files; expected dataset.json, imagesTr and labelsTr")
        disk.require([(folder, sum(member.size for member in files.values()))], f"unpacking {archive.name}")
        for name, member in progress(files.items(), len(files), f"unpack {archive.name}", "file"):
            member.extract(name, folder)


def _problems(members: list[_Member]) -> Iterator[str]:
    advice = "nothing was unpacked; take the archive from a source that you trust"
    for member in members:
        if member.path.is_absolute() or ".." in member.path.parts or "\\" in member.name:
            yield f"{member.name} lies outside of the archive's folder; {advice}"
        if member.kind == "file" and (not member.path.parts or "\0" in member.name):
            yield f"{member.name!r} is no name of a file; {advice}"
        if member.kind not in ("file", "folder"):
            yield f"{member.name} is a {member.kind}, expected files and folders only; {advice}"
    for path, count in Counter(member.path for member in members if member.kind == "file").items():
        if count > 1:
            yield f"{path} stands {count} times in it; {advice}"


def _chosen(archive: Path, files: list[_Member]) -> dict[str, _Member]:
    """The files of the data set by their names in its folder; what else there is goes to stderr."""
    root = _root(archive, files)
    chosen = {member.path: member for member in files if member.path.parts[: len(root)] == root}
    others = [member.name for member in files if member.path not in chosen]
    if others:
        text = f"{archive}: {len(others)} files beside {'/'.join(root)} are left out: {', '.join(others[:3])}"
        print(visible(text + (", ..." if len(others) > 3 else "")), file=sys.stderr, flush=True)
    return {str(PurePosixPath(*path.parts[len(root) :])): member for path, member in chosen.items()}


def _root(archive: Path, files: list[_Member]) -> tuple[str, ...]:
    """The folder that holds dataset.json and imagesTr; if there is none, the one around everything."""
    paths = [member.path.parts for member in files]
    described = {parts[:-1] for parts in paths if parts[-1] == NAME}
    imaged = {parts[:place] for parts in paths for place in range(len(parts)) if parts[place] == FOLDERS[0]}
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
    if archive.suffix.lower() == ".zip":
        with disk.open_to_read(archive) as source, zipfile.ZipFile(source) as file:
            yield [_zip_member(file, info) for info in file.infolist()]
    else:
        with disk.open_to_read(archive) as source, tarfile.open(archive, fileobj=source) as file:
            members = file.getmembers()
            _check_end(file)
            yield [_tar_member(file, info) for info in members]


def _check_end(file: tarfile.TarFile) -> None:
    """Without this, an archive that is cut or damaged between two members looks like a shorter one."""
    stream = file.fileobj
    assert stream is not None  # it was opened to be read
    stream.seek(file.offset)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it does not end with an end mark")
    while stream.read(1 << 20):  # a compressed stream is whole if its end can be read
        pass


def _tar_member(file: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    kinds = {"symbolic link": info.issym(), "hard link": info.islnk(), "device": info.isdev()}
    kinds |= {"folder": info.isdir(), "file": info.isreg()}
    kind = next((name for name, is_it in kinds.items() if is_it), "thing of unknown type")

    def extract(name: str, folder: Path) -> None:
        # set_attrs: no modes and owners of strangers
        file.extract(info.replace(name=name, deep=False), folder, set_attrs=False, filter="data")

    return _Member(info.name, info.size, kind, extract)


def _zip_member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16  # 0 where the archive was not made on Unix
    kinds = {"symbolic link": stat.S_ISLNK(mode), "folder": info.is_dir()}
    kinds |= {"file": not stat.S_IFMT(mode) or stat.S_ISREG(mode)}
    kind = next((name for name, is_it in kinds.items() if is_it), "device")
    name_inside = info.filename

    def extract(name: str, folder: Path) -> None:
        info.filename = name
        file.extract(info, folder)

    return _Member(name_inside, info.file_size, kind, extract)


@contextmanager
def _damage_is_an_error(archive: Path) -> Iterator[None]:
    """A dozen words for a damaged archive become one; what the system refuses stays an OSError."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(archive, error) from error
    except RuntimeError as error:  # zipfile's word for an encrypted member, or one of unknown compression
        raise _damaged(archive, error) from error
    except (ValueError, LookupError, ArithmeticError, struct.error) as error:  # of headers that make no sense
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from error  # gzip's word for a wrong checksum


def _damaged(archive: Path, error: Exception) -> UserError:
    return UserError(
        f"{archive}: is no archive, cut or damaged ({error}); expected {ENDINGS}: download or copy it again"
    )


def wrong_kind(path: Path, name: str) -> str | None:
    """What a file is, and what to do, if it is not an archive as its name says; None if it may be one.

    Args:
        path: of the file.
        name: that it has or will have.

    Raises:
        UserError: if it cannot be read.
    """
    with disk.reading(path):
        start = look(path)
    kind, is_zip = start.kind, name.lower().endswith(".zip")
    if kind.key == "zip" and not start.packed:
        return None if is_zip else f"is a zip archive; name it {_stem(name)}.zip"
    if kind.key == "tar" and is_zip:
        ending = ".tar.gz" if start.packed else ".tar"
        return f"is a tar archive{' packed by gzip' if start.packed else ''}; name it {_stem(name)}{ending}"
    if kind.key in _ALLOWED or (start.packed and kind.key == "empty"):
        return None
    remedy = kind.remedy if kind.key in _FROM_A_SERVER else "download or copy the archive again"
    packed = "is packed by gzip and then " if start.packed else ""
    return f"{packed}{kind.text}; expected {ENDINGS}; {_REMEDIES.get(kind.key, remedy)}"


def _stem(name: str) -> str:
    for ending in (".tar.gz", ".tgz", ".tar", ".zip"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
