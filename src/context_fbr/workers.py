"""How much of this machine may be used at once."""

import os
import sys

import psutil


def usable_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def usable_workers(jobs: int, memory_each: int) -> int:
    """How many jobs may run at once, at least 1: by their number, by cores, by free memory (bytes each)."""
    return max(min(jobs, usable_cores(), psutil.virtual_memory().available // memory_each), 1)
