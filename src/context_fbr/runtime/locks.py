"""Locks with an owner: held by a process, given back by the system when the process ends, however it ends."""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError

CELLS = Path(".dvc/tmp/context-fbr/locks")


class HeldError(Exception):
    """Another process holds the lock; the text names it."""


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock at `path` while the block runs. A file that a killed process left is taken over.

    Raises:
        HeldError: if another process holds it.
        UserError: if the lock cannot be made.
    """
    try:
        file = _take(path)
    except OSError as error:
        raise UserError(f"{path}: could not be locked: {error.strerror}; make its folder writable") from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the lock is free: afterwards the file may be another's
        os.close(file)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock at `path`."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


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


def _take(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # who left just now took the empty folder along
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(file, 200, 0).decode(errors="replace").strip()
            os.close(file)
            raise HeldError(owner or "another process") from None
        except BaseException:
            os.close(file)
            raise
        try:
            ours = os.fstat(file).st_ino == path.stat().st_ino
        except FileNotFoundError:
            ours = False
        if not ours:  # its owner removed it between our opening and our locking it: the name is free
            os.close(file)
            continue
        gone = os.pread(file, 200, 0).decode(errors="replace").strip()
        if gone:
            print(f"{path}: taken over from {gone}, which is gone", file=sys.stderr)
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return file
