"""Room, rights, locks and renames where this study writes, and what unfinished work lies there."""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from context_fbr.core.errors import UserError
from context_fbr.runtime import resume
from context_fbr_tools.doctor.check_result import Result, Status, first_line, guarded
from context_fbr_tools.dvc import lockfile

GB = 1e9
LEAST = 100_000_000
"""Bytes below which hardly a stage can write its results."""


@dataclass(frozen=True)
class Place:
    """A folder that is written to."""

    name: str
    folder: Path
    need: int
    """Bytes, roughly."""


def check() -> Iterator[Result]:
    """Repository, DVC's cache, folder of temporary files, folder of unfinished work."""
    places = _places(results_size())
    needs = {place.name: _need_of_disk(place, places) for place in places}
    for place in places:
        yield from guarded(place.name, partial(_place, place, needs[place.name]))
    yield from guarded("unfinished work", lambda: [unfinished_result(resume.root())])


def results_size() -> int:
    """Bytes of all results that dvc.lock records, the same file once; 0 if it cannot be read."""
    try:
        outs = [out for entry in lockfile.entries().values() for out in entry.get("outs", ())]
    except UserError:  # a finding of another check
        return 0
    return sum({out.get("md5", out.get("path")): int(out.get("size", 0)) for out in outs}.values())


def _place(place: Place, need: int) -> list[Result]:
    return [place_result(place, need)]


def place_result(place: Place, need: int) -> Result:
    """Try the folder, or where it will be made.

    Args:
        place: the folder.
        need: bytes, with those of other places on the same disk.
    """
    folder = _existing(place.folder)
    shown = f"{place.folder}" if folder == place.folder else f"{place.folder} (not made yet)"
    if not folder.is_dir():
        return Result(place.name, Status.WRONG, f"{folder}: is no folder", "move the file away")
    free = psutil.disk_usage(str(folder)).free
    room = f"{free / GB:.1f} GB free, about {max(need, LEAST) / GB:.1f} GB needed"
    try:
        lacks = _faults(folder)
    except OSError as error:
        found = f"{shown}: cannot be written: {error.strerror}; {room}"
        to_do = "make room" if free < LEAST else "make it writable, or choose another folder"
        return Result(place.name, Status.WRONG, found, to_do)
    if lacks:
        found = f"{shown}: no {' and no '.join(lacks)}; {room}"
        return Result(place.name, Status.WRONG, found, "use a disk of this machine, not a network folder")
    if free < LEAST:
        to_do = "make room: `dvc gc -w` drops what this commit does not use, from the cache"
        return Result(place.name, Status.WRONG, f"{shown}: {room}", to_do)
    if free < need:
        to_do = "make room before a whole new run: `dvc gc -w` drops what this commit does not use"
        return Result(place.name, Status.DOUBTFUL, f"{shown}: {room} by a whole new run", to_do)
    return Result(place.name, Status.OK, f"{shown}: {room}; locks and renames work")


def unfinished_result(root: Path) -> Result:
    """What interrupted stages left to go on from."""
    folders = sorted(path.parent for path in root.glob(f"*/*/{resume.INPUTS}"))
    if not folders:
        return Result("unfinished work", Status.OK, f"none in {root}")
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    names = [f"{folder.name.partition('-')[0]}@{folder.parent.name}" for folder in folders]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    found = f"{len(folders)} in {root}, {size / GB:.3f} GB: {shown}"
    return Result(
        "unfinished work", Status.OK, found, "`make repro` goes on with it; `context-fbr prune` removes it"
    )


def _places(results: int) -> list[Place]:
    """The folders, the first two of which hold the results once each."""
    root, cache = Path(), None
    try:
        from dvc.repo import Repo

        with Repo() as repo:
            root, cache = Path(repo.root_dir), Path(repo.cache.local.path)
    except Exception:  # DVC's absence is a finding of another check; this folder has a disk all the same
        pass
    places = [Place("disk: repository", root, results)]
    if cache is not None:
        places.append(Place("disk: DVC cache", cache, results))
    places.append(Place("disk: temporary files", Path(tempfile.gettempdir()), 0))
    return [*places, Place("disk: unfinished work", resume.root(), 0)]


def _need_of_disk(place: Place, places: list[Place]) -> int:
    """Bytes that all places on its disk need together."""
    disks: Mapping[str, int] = {other.name: _existing(other.folder).stat().st_dev for other in places}
    return sum(other.need for other in places if disks[other.name] == disks[place.name])


def _existing(folder: Path) -> Path:
    """It, or the nearest folder above that is there."""
    if folder.exists():
        return folder
    return next(parent for parent in folder.absolute().parents if parent.exists())


def _faults(folder: Path) -> list[str]:
    """What a file system is not able to do, of what this project and DVC rely on.

    Raises:
        OSError: if the folder cannot be written.
    """
    faults = []
    with tempfile.TemporaryDirectory(prefix=".context-fbr-doctor-", dir=folder) as name:
        old, new = Path(name, "old"), Path(name, "new")
        old.write_bytes(b"old")
        with new.open("wb") as file:
            file.write(b"new")
            file.flush()
            os.fsync(file.fileno())
        if not _locks(old):
            faults.append("locks")
        try:
            new.replace(old)
            if old.read_bytes() != b"new" or new.exists():
                faults.append("atomic rename")
        except OSError as error:
            faults.append(f"atomic rename ({first_line(error)})")
    return faults


def _locks(path: Path) -> bool:
    """Whether a second lock on the file is refused while the first is held."""
    with path.open("rb+") as first, path.open("rb+") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
