"""Long work shows that it moves: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from context_fbr.core.errors import visible

Item = TypeVar("Item")

LOG_INTERVAL_S = 10.0


def progress(items: Iterable[Item], total: int, description: str, unit: str) -> Iterator[Item]:
    """Yield the items and show how many are done.

    On a terminal this is a bar; elsewhere a line at most every `LOG_INTERVAL_S` seconds and one at the end.
    """
    description = visible(description)
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=description, unit=unit, leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if done == total or now - last >= LOG_INTERVAL_S:
            last = now
            print(f"{description}: {done}/{total} {unit}s, {now - start:.0f} s", file=sys.stderr, flush=True)
