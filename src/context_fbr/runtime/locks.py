"""Locks with an owner: held by a process, and released by the system when it ends, also after a crash."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError

CELLS = Path(".dvc/tmp/context-fbr/locks")
TIMEOUT_S = 0.1
"""Positive seconds: filelock tries again if the owner removes the file while it is being locked."""


class HeldError(Exception):
    """Another process holds the lock; the text names it."""


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock at `path` while the block runs. A file that a killed process left is taken over.

    Raises:
        HeldError: if another process holds it.
        UserError: if the lock cannot be made.
    """
    lock = FileLock(path, TIMEOUT_S, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        gone = _owner(path)
        while not lock.is_locked:
            with suppress(FileNotFoundError):  # another process removed the empty folder just now
                lock.acquire(poll_interval=TIMEOUT_S / 10)
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    except Timeout:
        raise HeldError(_owner(path) or "another process") from None
    except OSError as error:
        raise UserError(f"{path}: could not be locked: {error.strerror}; make its folder writable") from error
    if gone:
        print(f"{path}: taken over from {gone}, which is gone", file=sys.stderr)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the lock is free: afterwards the file may be another's
        lock.release()


def is_held(path: Path) -> bool:
    """Return true if a process holds the lock at `path`."""
    if not path.exists():
        return False
    try:
        with FileLock(path, blocking=False, fallback_to_soft=False):
            return False
    except Timeout:
        return True


def _owner(path: Path) -> str:
    """Return the process that a lock file names; an empty text if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


@contextmanager
def exclusive_stage(stage: str, cell: Cell) -> Iterator[None]:
    """Be the only process that runs this stage of the cell in this workspace, while the block runs.

    Raises:
        UserError: if another one runs, with its process.
    """
    try:
        with hold(CELLS / f"{stage}-{cell.key}.lock"):
            yield
    except HeldError as owner:
        raise UserError(
            f"{cell.key}: {stage} runs already in this workspace, by {owner}; wait for it, or end it"
        ) from None
