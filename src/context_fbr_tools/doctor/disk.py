"""Free space and rights where this study writes."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from context_fbr.core.errors import UserError
from context_fbr.runtime import resume
from context_fbr_tools.doctor.check_result import Result, Status
from context_fbr_tools.dvc import lockfile

GB = 1e9
LEAST = 100_000_000
"""Bytes below which few stages can write their results."""


def needed_bytes() -> int:
    """Return the size of all results in dvc.lock, in the workspace and in the cache; 0 if it is not valid."""
    try:
        outs = [out for entry in lockfile.entries().values() for out in entry.get("outs", ())]
    except UserError:  # another check reports it
        return 0
    return 2 * sum({out.get("md5", out.get("path")): int(out.get("size", 0)) for out in outs}.values())


def place_result(name: str, folder: Path, need: int) -> Result:
    """Check a folder, or the parent that it will be created in, for rights and for `need` bytes."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = psutil.disk_usage(str(existing)).free
    found = f"{folder}: {free / GB:.1f} GB free, {max(need, LEAST) / GB:.1f} GB needed for a new run"
    if not existing.is_dir():
        return Result(name, Status.ERROR, f"{existing}: not a folder", "move the file away")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Result(name, Status.ERROR, f"{existing}: not writable", "make it writable, or choose another")
    if free < max(need, LEAST):
        fix = "make room: `dvc gc -w` removes from the cache what this commit does not use"
        return Result(name, Status.ERROR if free < LEAST else Status.WARNING, found, fix)
    return Result(name, Status.OK, found)


def _disks() -> Iterator[Result]:
    yield place_result("disk: repository", Path(), needed_bytes())
    yield place_result("disk: checkpoints", resume.root(), 0)
    yield place_result("disk: temporary files", Path(tempfile.gettempdir()), 0)


CHECKS = {"disk": _disks}
