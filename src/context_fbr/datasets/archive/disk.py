"""Enough room before work begins, not a full disk at its end; and a file that cannot be read is named.

Where one file is read and another written, an OSError does not say which of them failed.
"""

import io
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from context_fbr.core.errors import UserError


def require(needs: Sequence[tuple[Path, int]], purpose: str) -> None:
    """Check that folders (there already or not) have room for so many bytes each.

    Raises:
        UserError: if the folders of one disk ask for more than it has, with both numbers.
    """
    disks: defaultdict[int, list[tuple[Path, int]]] = defaultdict(list)
    for folder, size in needs:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        disks[there.stat().st_dev].append((there, size))
    for wanted in disks.values():
        folder, size = wanted[0][0], sum(size for _, size in wanted)
        free = shutil.disk_usage(folder).free
        if free < size:
            raise UserError(
                f"{folder}: {purpose} needs {size / 1e9:.2f} GB, but {free / 1e9:.2f} GB are free; "
                "make room, then run the same command again"
            )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What the system refuses while `path` is read is a UserError that says so."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror or error}; "
            "mend its permission or its disk, or bring another copy of it"
        ) from error


def open_to_read(path: Path) -> io.BufferedReader:
    """Open a file; whatever goes wrong with it, now or while it is read, is a UserError as in `reading`."""
    with reading(path):
        return io.BufferedReader(_Source(path))


class _Source(io.FileIO):
    """Its errors are told as those of reading, whoever reads it."""

    def readinto(self, buffer: Any) -> int | None:
        with reading(Path(self.name)):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with reading(Path(self.name)):
            return super().readall()
