"""Cores and memory of this machine that may be used at once."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

_VERSION_2 = ("sys/fs/cgroup", "memory.max", "memory.current", "")
_VERSION_1 = ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")


def usable_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def usable_memory(root: Path = Path("/")) -> int:
    """Return the bytes that are free on the machine and in the container or job (`root`: for tests).

    Containers and Slurm limit memory by Linux's control groups, which psutil ignores.
    """
    return min([psutil.virtual_memory().available, *_group_rooms(root)])


def usable_workers(jobs: int, memory_each: int) -> int:
    """Return the jobs that may run at once, at least 1: by number, cores and free memory (bytes each)."""
    return max(min(jobs, usable_cores(), usable_memory() // max(memory_each, 1)), 1)


def _group_rooms(root: Path) -> Iterator[int]:
    """Bytes that are left under the limit of each control group that this process is in, directly or not."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:  # `0::/user.slice/job` or `4:memory:/job`
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        mount, limit, usage, prefix = _VERSION_1 if controllers else _VERSION_2
        # In a container the path may be that outside of it, and the mount the group itself.
        parts = [part for part in PurePosixPath(group).parts if part not in ("/", "..")]
        for depth in range(len(parts) + 1):
            folder = root.joinpath(mount, *parts[:depth])
            try:
                most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            except (OSError, ValueError):  # no such group, or `max`: no limit
                continue
            yield max(most - used + _file_cache(folder, prefix), 0)


def _file_cache(folder: Path, prefix: str) -> int:
    """Return the bytes of files that the kernel keeps in memory until it is needed; they count as used."""
    try:
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        values = {key: int(value) for key, value in rows}
    except (OSError, ValueError):
        return 0
    return values.get(f"{prefix}active_file", 0) + values.get(f"{prefix}inactive_file", 0)
