"""Files and folders that are there whole or not at all: written under another name, flushed to disk, renamed.

The name of an unfinished file ends in `.partial`, which git and DVC ignore: what a killed process leaves does
not count, and the next process that writes the file replaces it. A link is followed, and a replaced file
keeps its mode. A pipe or a device is written to, because it cannot be replaced.
"""

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from context_fbr.core.errors import UserError

CACHED = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")
"""Path of an object of DVC's cache, to which DVC links a result: the link is replaced, not the object."""


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Write a file of one part or several atomically, making its folder.

    Raises:
        UserError: if the system refuses (full disk, no permission); what was at `path` is left as it was.
    """
    if _is_special(path):
        _write_through(path, content)
        return
    path = _followed(path)
    with _beside(path) as partial:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for part in content:
                file.write(part)
            file.flush()
            _keep_mode(file.fileno(), path)
            os.fsync(file.fileno())
        partial.replace(path)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically; errors as in `write_bytes`."""
    write_bytes(path, content.encode())


def move(path: Path, target: Path) -> None:
    """Give a file or folder another name, over whatever has it, also on another disk.

    Raises:
        UserError: if the system refuses; both are left as they were.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            _remove(target)
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise _not_written(target, error) from error
        _copy(path, target)
        _remove(path)


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        with directory(target) as folder:
            shutil.copytree(path, folder, dirs_exist_ok=True)
    else:
        write_bytes(target, path.read_bytes())


@contextmanager
def directory(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the place of `path` when the block ends without an error.

    Raises:
        UserError: if the system refuses; what was at `path` is left as it was.
    """
    path = _followed(path)
    with _beside(path) as partial:
        _remove(partial)
        partial.mkdir(parents=True)
        yield partial
        _remove(path)
        partial.replace(path)


def check_folder(folder: Path) -> None:
    """Make a folder if it is not there, and try to write a file in it, which is removed.

    Raises:
        UserError: if the system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".partial"):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror or error}; make room, correct the permission or "
            "name another folder"
        ) from error


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Give an empty folder for what is moved to its place when all of it is there; it is removed at the end.

    Raises:
        UserError: if the system refuses.
    """
    with _beside(path) as partial:
        _remove(partial)
        partial.mkdir(parents=True)
        yield partial
        _remove(partial)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give the path to write the content of `path` to; nothing of it is left after an error."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError):
            raise _not_written(path, error) from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _is_special(path: Path) -> bool:
    """Return true for a pipe, a terminal or another device, also behind a link such as /dev/stdout."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_through(path: Path, content: tuple[bytes | memoryview, ...]) -> None:
    try:
        with path.open("wb") as file:
            for part in content:
                file.write(part)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{path}: could not be written: {error.strerror or error}") from error


def _followed(path: Path) -> Path:
    """Return the target of a link; the path itself if it is not a link, or one into DVC's cache."""
    if not path.is_symlink():
        return path
    target = os.path.realpath(path)
    return path if CACHED.search(target) else Path(target)


def _keep_mode(file: int, path: Path) -> None:
    """Give an open file the mode of the one at `path`, which it will replace."""
    try:
        before = path.lstat()
    except OSError:
        return
    if stat.S_ISREG(before.st_mode) and before.st_nlink == 1:  # else DVC's cache may have made it read-only
        os.fchmod(file, stat.S_IMODE(before.st_mode))


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: could not be written: {error.strerror or error}; nothing of it is left half written. "
        "Make room or correct the permission, then run the same command again"
    )
