"""Pages that the system hands out, counted in a process of its own."""

import platform
import subprocess
import sys

import pytest

PROBE = """
import ctypes, resource, sys
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KB, whatever the system prefers
import torch
from context_fbr.networks import allocator

def faults(block_mb):
    found = []
    for _ in range(3):  # a system that takes pages back by itself adds some at any time
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.zeros(block_mb * 2**18)
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(found)

for way in sys.argv[1:]:
    getattr(allocator, way)()
    faults(64)
    print(faults(64), faults(8))
"""
PAGES = 64 * 2**20 // 4096


def probe(*ways: str) -> list[tuple[int, int]]:
    """Page faults of ten blocks of 64 MB, and of ten of 8 MB, after each way in one process."""
    command = [sys.executable, "-W", "error", "-c", PROBE, *ways]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [(int(large), int(small)) for large, small in map(str.split, text.splitlines())]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
@pytest.mark.slow
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    ((large, small),) = probe("keep")
    assert large < PAGES // 10
    assert small < PAGES // 10
    (_, (large_after, _), (large_again, _)) = probe("keep", "give_back", "keep")
    assert large_after > 9 * PAGES  # each of ten blocks again
    assert large_again < PAGES // 10


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from context_fbr.networks import allocator

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    allocator.keep()
    allocator.give_back()
