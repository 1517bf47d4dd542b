"""One run of the whole study at a time in this folder: two of them would fail each other's cells."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from context_fbr.core.errors import UserError
from context_fbr.runtime import locks

LOCK = Path(".dvc/tmp/context-fbr/grid.lock")


@contextmanager
def one_run() -> Iterator[None]:
    """Be the only `grid run` or `grid collect` of this folder while the block runs.

    Raises:
        UserError: if another one runs, with its process and host.
    """
    try:
        with locks.hold(LOCK):
            yield
    except locks.HeldError as owner:
        raise UserError(
            f"{Path().resolve()}: `grid run` or `grid collect` runs here already, by {owner}; "
            "wait for it, or end it"
        ) from None
