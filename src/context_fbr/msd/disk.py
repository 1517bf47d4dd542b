"""Enough room before work begins, not a full disk at its end."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from context_fbr.errors import UserError


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
