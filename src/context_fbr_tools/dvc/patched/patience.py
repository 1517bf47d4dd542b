"""DVC that waits for the lock of its table of files in use, as `--wait-for-lock` waits for the repository's.

DVC holds this lock for some milliseconds and gives up after three seconds, option or not: on a busy machine
a cell fails that way.
"""

from functools import partial

REPLACED = "make_lock"
"""Name in dvc.rwlock."""


def install() -> None:
    """Let this process wait, unless this DVC has no such function."""
    from dvc import rwlock

    original = getattr(rwlock, REPLACED, None)
    if original is not None:
        setattr(rwlock, REPLACED, partial(original, wait=True))
