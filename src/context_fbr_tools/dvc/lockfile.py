"""dvc.lock, edited in DVC's own formatting: entries taken out, entries put in order.

Plain DVC writes it in place. So it is read and written under DVC's own lock, .dvc/tmp/lock.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from context_fbr.config.document import parse
from context_fbr.core import atomic, bounded
from context_fbr.core.errors import UserError, raise_problems
from context_fbr_tools.dvc.patched import changed_entries

LOCK = Path("dvc.lock")
REMEDY = f"bring it back with `git checkout {LOCK}`; what has finished stays in DVC's cache"
SCHEMA = "2.0"
"""Name of DVC's lock files."""
READ_WAIT_S = 30.0
"""Time for which a reader waits for another DVC process."""


def stages() -> list[str]:
    """Return the names of the stages in dvc.lock, in its order; none if the file is missing.

    Raises:
        UserError: if it is not a lock file.
    """
    return list(entries())


def entries() -> dict[str, dict[str, Any]]:
    """Return the entry of each stage by its name: cmd, deps, params, outs; errors as in `stages`."""
    if not LOCK.exists():
        return {}
    with locked(READ_WAIT_S):
        return _read(_content())


def outputs(names: Iterable[str]) -> list[Path]:
    """Return the recorded outputs of the stages of these names; errors as in `stages`."""
    recorded = entries()
    return [Path(out["path"]) for name in names for out in recorded[name].get("outs", ())]


def put(new: Mapping[str, Any]) -> None:
    """Put entries in, in the place of those of the same stages; errors as in `stages`."""
    _edit(lambda recorded: recorded.update(new))


def remove(names: Iterable[str]) -> None:
    """Take entries out; errors as in `stages`."""

    def take_out(recorded: dict[str, Any]) -> None:
        for name in names:
            recorded.pop(name, None)

    _edit(take_out)


def sort(order: Iterable[str]) -> None:
    """Put the entries in the given order, unknown ones last; errors as in `stages`."""

    def put_in_order(recorded: dict[str, Any]) -> None:
        known = [name for name in order if name in recorded]
        for name in [*known, *(name for name in list(recorded) if name not in set(known))]:
            recorded[name] = recorded.pop(name)

    _edit(put_in_order)


def _edit(change: Callable[[dict[str, Any]], None]) -> None:
    """Change the entries; those that stay keep their text, unless the file has another form than DVC's."""
    with locked():
        content = _content()
        _read(content)
        before = content.decode()
        recorded = changed_entries.entries(before)
        if recorded is not None:
            change(recorded)
            after = recorded.text()
        else:
            lock = parse(content, str(LOCK))
            change(lock["stages"])
            after = _text(lock)
        if after != before:
            atomic.write_text(LOCK, after)


def _content() -> bytes:
    try:
        return bounded.read(LOCK)
    except OSError as error:
        raise UserError(f"{LOCK}: cannot be read: {error.strerror or error}; {REMEDY}") from error


def _read(content: bytes) -> dict[str, dict[str, Any]]:
    """Return the entries of a lock file; by a parser in C, three seconds less than in Python."""
    try:
        lock = parse(content, str(LOCK), "safe")
    except UserError as error:
        raise UserError(f"{error}; {REMEDY}") from None
    recorded = lock.get("stages") if isinstance(lock, dict) else None
    if not isinstance(recorded, dict):
        raise UserError(f"{LOCK}: is no lock file; {REMEDY}")
    invalid = [name for name, entry in recorded.items() if not isinstance(name, str) or not _is_entry(entry)]
    if invalid:
        lines = parse(content, str(LOCK))["stages"].lc
        raise_problems(
            [f"{LOCK}:{lines.key(name)[0] + 1}: {name}: is no entry of DVC's; {REMEDY}" for name in invalid]
        )
    return recorded


def _is_entry(entry: object) -> bool:
    """Return true for the entry of a stage with files in this folder only: `prune` removes them by path."""
    if not isinstance(entry, dict):
        return False
    files = [entry.get(kind, []) for kind in ("deps", "outs")]
    if not all(isinstance(part, list) for part in files):
        return False
    return all(
        isinstance(file, dict)
        and isinstance(file.get("md5", ""), str)
        and isinstance(file.get("path"), str)
        and not Path(file["path"]).is_absolute()
        and ".." not in Path(file["path"]).parts
        and Path(file["path"]).parts != ()
        for part in files
        for file in part
    )


def write(recorded: Mapping[str, Any], path: Path) -> None:
    """Write a lock file of these entries alone; errors as in `atomic.write_text`."""
    atomic.write_text(path, _text({"schema": SCHEMA, "stages": recorded}))


def _text(lock: Mapping[str, Any]) -> str:
    text = StringIO()
    YAML().dump(lock, text)
    return text.getvalue()


DVC = Path(".dvc")


@contextmanager
def locked(wait_s: float | None = None) -> Iterator[None]:
    """Hold DVC's lock while the block runs; do nothing where there is no DVC repository.

    Args:
        wait_s: seconds to wait for another DVC process; None waits until it has ended.

    Raises:
        UserError: if the other process still holds the lock then.
    """
    lock = _lock() if DVC.is_dir() else None
    if lock is None:
        yield
        return
    _acquire(lock, float("inf") if wait_s is None else wait_s)
    try:
        yield
    finally:
        lock.unlock()


def _lock() -> Any:
    """Return DVC's lock; None in a folder that cannot be written, where no DVC can write dvc.lock either."""
    from dvc.config import Config  # takes half a second
    from dvc.exceptions import DvcException
    from dvc.lock import make_lock

    folder = (DVC / "tmp").absolute()
    try:
        folder.mkdir(exist_ok=True)
        hardlink = Config(dvc_dir=str(DVC.absolute()))["core"].get("hardlink_lock", False)
    except OSError:
        return None
    except DvcException as error:
        raise UserError(f"{DVC}: DVC cannot be locked: {error}") from error
    if not os.access(folder, os.W_OK):
        return None
    return make_lock(str(folder / "lock"), tmp_dir=str(folder), hardlink_lock=hardlink)


def _acquire(lock: Any, wait_s: float) -> None:
    """Take the lock; DVC itself tries for three seconds each time."""
    from dvc.lock import LockError

    start, announced = time.monotonic(), False
    while True:
        try:
            lock.lock()
        except LockError:
            if time.monotonic() - start > wait_s:
                raise UserError(
                    f"{Path().resolve()}: another DVC process is at work here ({DVC}/tmp/lock); "
                    "wait until it has ended, then run this again"
                ) from None
        except OSError as error:
            raise UserError(f"{DVC}/tmp/lock: {error.strerror}; make it writable") from error
        else:
            return
        if not announced:
            print("dvc.lock: waiting for another DVC process", file=sys.stderr, flush=True)
            announced = True
