"""Settings of the C library, so that a process keeps the memory that it has taken from the system.

A network's maps come and go with each step. The C library takes the large ones from the system and gives them
back, and the system clears each of their pages again (results.csv in benchmarks/, part `step`).
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Parameters of mallopt(3): free bytes at the end of the heap that are given back; bytes of a block from
which on it is taken by itself, and given back by itself; how many such blocks there may be."""
LARGEST = 2**31 - 1  # bytes: mallopt takes an int
USUAL_BLOCK = 32 * 2**20
"""Bytes that glibc arrives at by itself in a process that frees large blocks, at most; what it leaves at the
heap's end is twice as much then."""
USUAL_MAX = 65536


def keep() -> None:
    """Keep what is freed; without effect where the C library is not glibc."""
    # Not by a larger M_MMAP_THRESHOLD: glibc before 2.35 refuses more than it arrives at by itself.
    _set({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: LARGEST})


def give_back() -> None:
    """Undo `keep`: free memory is given back from now on, as more is freed."""
    _set({M_MMAP_MAX: USUAL_MAX, M_MMAP_THRESHOLD: USUAL_BLOCK, M_TRIM_THRESHOLD: 2 * USUAL_BLOCK})


def _set(values: dict[int, int]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    for parameter, value in values.items():
        mallopt(parameter, value)
