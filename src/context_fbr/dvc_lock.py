"""DVC's own lock of this folder, which every DVC process holds while it writes dvc.lock."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from context_fbr.errors import UserError

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

    start, told = time.monotonic(), False
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
        if not told:
            print("dvc.lock: waiting for another DVC process", file=sys.stderr, flush=True)
            told = True
