"""Check of free space before work begins, and errors that name the file that could not be read.

Where one file is read and another written, an OSError does not say which of them failed.
"""

import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from context_fbr.core.errors import UserError


def require(needs: Sequence[tuple[Path, int]], purpose: str) -> None:
    """Check that folders, existing or not, have room for so many bytes each.

    Raises:
        UserError: if the folders of one disk ask for more than it has, with both numbers.
    """
    wanted: dict[int, tuple[Path, int]] = {}
    for folder, size in needs:
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        first, before = wanted.get(existing.stat().st_dev, (existing, 0))
        wanted[existing.stat().st_dev] = first, before + size
    for folder, size in wanted.values():
        free = shutil.disk_usage(folder).free
        if free < size:
            raise UserError(
                f"{folder}: {purpose} needs {size / 1e9:.2f} GB, but {free / 1e9:.2f} GB are free; "
                "make room, then run the same command again"
            )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError while `path` is read into a UserError that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror or error}; "
            "correct its permission or its disk, or bring another copy of it"
        ) from error


def open_to_read(path: Path) -> io.BufferedReader:
    """Open a file; errors of opening and of every read are UserErrors as in `reading`."""
    with reading(path):
        return io.BufferedReader(_Source(path))


class _Source(io.FileIO):
    def readinto(self, buffer: Any) -> int | None:
        with reading(Path(self.name)):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with reading(Path(self.name)):
            return super().readall()
