"""DVC's table of files in use: its lock is waited for, and a damaged table is replaced by an empty one.

DVC holds this lock for some milliseconds and gives up after three seconds, `--wait-for-lock` or not: on a
busy machine a cell fails that way. It writes the table in place: after a kill in that moment every command
fails, until someone removes the file. Here it is replaced as a whole.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

REPLACED = "_edit_rwlock"
"""Function of dvc.rwlock: a context manager that yields the table, then writes it back."""
PARAMETERS = ["lock_dir", "fs", "hardlink"]
USED = ("make_lock", "SCHEMA", "Invalid", "RWLOCK_FILE", "RWLOCK_LOCK")


def install() -> None:
    """Replace DVC's function in this process, unless this DVC has another one."""
    from dvc import rwlock

    if not all(hasattr(rwlock, name) for name in (REPLACED, *USED)):
        return
    if list(signature(getattr(rwlock, REPLACED)).parameters) != PARAMETERS:
        return

    @contextmanager
    def edit(folder: str, _: Any, hardlink: bool) -> Iterator[dict[str, Any]]:
        path = Path(folder, rwlock.RWLOCK_FILE)
        guard = str(path.with_name(rwlock.RWLOCK_LOCK))
        with rwlock.make_lock(guard, tmp_dir=folder, hardlink_lock=hardlink, wait=True):
            table = _read(path, rwlock)
            table = {"read": defaultdict(list, table["read"]), "write": defaultdict(dict, table["write"])}
            yield table
            new = path.with_name(f"{path.name}.new")  # one process at a time holds the lock
            new.write_text(json.dumps(table), encoding="utf-8")
            new.replace(path)

    setattr(rwlock, REPLACED, edit)


def _read(path: Path, rwlock: Any) -> Any:
    """Return the table; an empty one if there is none, or half of one, whose writer is gone."""
    try:
        return rwlock.SCHEMA(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, rwlock.Invalid):
        return rwlock.SCHEMA({})
