"""Percentiles of more voxels than fit into memory."""

import math
from dataclasses import dataclass

import numpy as np

BINS = 1 << 16
_BLOCK = 1 << 20  # voxels that are converted to float64 at once


@dataclass(frozen=True)
class Histogram:
    """How many voxels lie in each bin between two intensities, and their sum.

    The sum makes percentiles of whole numbers exact where the range is no wider than `BINS`, as in CT: such a
    bin holds one value, which is its mean. Elsewhere a percentile is off by a bin's width at most.
    """

    counts: np.ndarray
    """(BINS,) int64."""
    sums: np.ndarray
    """(BINS,) float64."""

    @property
    def voxels(self) -> int:
        """How many were counted."""
        return int(self.counts.sum())

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(self.counts + other.counts, self.sums + other.sums)

    def percentile(self, percent: float) -> float:
        """The intensity that `percent` of the voxels do not exceed (numpy's method `inverted_cdf`).

        Raises:
            ValueError: if there are no voxels.
        """
        if not self.voxels:
            raise ValueError("no voxels, no percentile")
        rank = max(math.ceil(percent / 100 * self.voxels), 1)
        found = int(np.searchsorted(np.cumsum(self.counts), rank))
        return float(self.sums[found] / self.counts[found])


def empty() -> Histogram:
    """Of no voxels."""
    return Histogram(np.zeros(BINS, np.int64), np.zeros(BINS, np.float64))


def histogram(voxels: np.ndarray, low: float, high: float) -> Histogram:
    """Count voxels.

    Args:
        voxels: any shape, finite, from `low` to `high`.
        low: histograms that are added have the same limits.
        high: likewise.
    """
    total = empty()
    width = (high - low) / (BINS - 1) or 1.0
    flat = voxels.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        bins = ((block - low) / width).astype(np.int64)
        total.counts[:] += np.bincount(bins, minlength=BINS)
        total.sums[:] += np.bincount(bins, weights=block, minlength=BINS)
    return total
