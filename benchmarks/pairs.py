"""Two ways of doing the same, timed in turns."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from context_fbr.core.progress import progress
from context_fbr.networks import allocator

Work = Callable[[], object]


@dataclass(frozen=True)
class Pairs:
    """Seconds of the two ways; one pair was measured back to back."""

    original_s: tuple[float, ...]
    ours_s: tuple[float, ...]

    @classmethod
    def joined(cls, parts: Sequence["Pairs"]) -> "Pairs":
        """All pairs of several, in their order."""
        return cls(
            tuple(s for part in parts for s in part.original_s),
            tuple(s for part in parts for s in part.ours_s),
        )

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


def units(repeats: int) -> int:
    """How often `measure` calls each way at most."""
    return 2 * repeats


def measure(
    original: Work,
    ours: Work,
    repeats: int,
    device: torch.device,
    what: str,
    settle: bool = True,
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
        settle: whether a way that takes over does its work once untimed: it finds caches and memory as the
            other left them. For long work that is not worth its time.
        before: what is done ahead of each, and not timed.
    """
    times: dict[Work, list[float]] = {original: [], ours: []}
    last: Work | None = None
    for number in progress(range(repeats), repeats, what, "pair"):
        for work in (original, ours) if number % 2 == 0 else (ours, original):
            if work is not last:
                (allocator.give_back if work is original else allocator.keep)()
                if settle:
                    work()
            last = work
            before()
            times[work].append(seconds(work, device))
    return Pairs(tuple(times[original]), tuple(times[ours]))
