"""Two ways of doing the same, timed in turns."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from context_fbr import allocator
from context_fbr.progress import progress

Work = Callable[[], object]


@dataclass(frozen=True)
class Pairs:
    """Seconds of the two ways; one pair was measured back to back."""

    original_s: tuple[float, ...]
    ours_s: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times as long the original's way took, by pair."""
        return tuple(theirs / own for theirs, own in zip(self.original_s, self.ours_s, strict=True))

    @property
    def summary(self) -> tuple[float, float, float, float, float]:
        """Median seconds of the original's way and of ours; median, least and greatest ratio."""
        middle, ratios = statistics.median, self.ratios
        return middle(self.original_s), middle(self.ours_s), middle(ratios), min(ratios), max(ratios)


def seconds(work: Work, device: torch.device) -> float:
    """By the clock, until the device has done all of it."""
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for a GPU; a CPU has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    original: Work,
    ours: Work,
    repeats: int,
    device: torch.device,
    what: str,
    warm_up: bool = True,
    before: Work = lambda: None,
) -> Pairs:
    """Time both ways in turns, each first in every other pair, so that a machine that slows down harms none.

    The C library gives memory back as it does by itself during the one way, and keeps it during ours.

    Args:
        original: one way.
        ours: the other.
        repeats: pairs to measure.
        device: that both compute on.
        what: for the progress line.
        warm_up: whether to do each once before.
        before: what is done ahead of each, and not timed.
    """
    times: dict[Work, list[float]] = {original: [], ours: []}

    def take(work: Work) -> float:
        (allocator.give_back if work is original else allocator.keep)()
        before()
        return seconds(work, device)

    if warm_up:
        take(original)
        take(ours)
    for number in progress(range(repeats), repeats, what, "pair"):
        for work in (original, ours) if number % 2 == 0 else (ours, original):
            times[work].append(take(work))
    return Pairs(tuple(times[original]), tuple(times[ours]))
