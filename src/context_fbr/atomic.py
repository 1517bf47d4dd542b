"""Files and folders that are there whole or not at all: written beside, flushed to disk, renamed.

What is being written ends in `.partial`, which git and DVC ignore, so that a killed process leaves nothing
that counts; the next one to write the same thing takes its place.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from context_fbr.errors import UserError


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Write a file of one part or several atomically, making its folder.

    Raises:
        UserError: if the system refuses (full disk, no permission); what was at `path` is left as it was.
    """
    with _beside(path) as partial:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for part in content:
                file.write(part)
            file.flush()
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
    with _beside(path) as partial:
        _remove(partial)
        partial.mkdir(parents=True)
        yield partial
        _remove(path)
        partial.replace(path)


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
    """Where to write what shall be at `path`; nothing of it is left after an error."""
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
    elif path.exists():
        path.unlink()


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: could not be written: {error.strerror or error}; nothing of it is left half written. "
        "Make room or mend the permission, then run the same command again"
    )
