"""Memory that a process has once taken from the system stays its own.

A network's maps come and go with each step. The C library takes the large ones from the system and gives them
back, and the system clears each of their pages anew: a third of a step with patches of 96 voxels.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3): free bytes at the end of the heap that are given back, and bytes of a block from
which on it is taken by itself, and given back by itself."""
LARGEST = 2**31 - 1  # bytes: mallopt takes an int
USUAL = 32 * 2**20
"""Bytes that glibc arrives at by itself in a process that frees large blocks, at most; the other parameter is
twice as large then."""


def keep() -> None:
    """Keep what is freed, for blocks of up to two GB; without effect where the C library is not glibc."""
    _set(LARGEST, LARGEST)


def give_back() -> None:
    """As if nobody had called `keep`: what is free is given back now, and large blocks as they are freed."""
    if _set(USUAL, 2 * USUAL):
        ctypes.CDLL(None).malloc_trim(0)


def _set(own_block: int, end_of_heap: int) -> bool:
    """Whether the C library could be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, own_block)) and bool(mallopt(M_TRIM_THRESHOLD, end_of_heap))
