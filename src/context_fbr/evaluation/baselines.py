"""Baselines without a network: every voxel is foreground, or every voxel at least as bright as a threshold.

A task that the threshold solves can be solved voxel by voxel, without context.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from context_fbr.core.csv_text import csv_text
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import Row, of_cases

Case = TypeVar("Case")

BASELINES = ("everything", "threshold")
THRESHOLDS = 1001  # candidates, evenly spaced from the darkest voxel to the brightest


def threshold_dice(image: np.ndarray, label: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the Dice of `image >= threshold` for each of the ascending thresholds.

    Args:
        image: (x, y, z).
        label: (x, y, z), foreground where above 0, at least one voxel.
        thresholds: (n,) ascending.

    Returns:
        (n,) float64.
    """
    levels = np.searchsorted(thresholds, image.ravel(), side="right")  # how many thresholds a voxel passes
    count = len(thresholds) + 1
    passed = np.bincount(levels, minlength=count)[::-1].cumsum()[::-1][1:]
    shared = np.bincount(levels[label.ravel() > 0], minlength=count)[::-1].cumsum()[::-1][1:]
    return 2 * shared / (passed + int((label > 0).sum()))


def candidates(volumes: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the thresholds to try for (image, label) pairs, ascending."""
    low = min(float(image.min()) for image, _ in volumes)
    return np.linspace(low, max(float(image.max()) for image, _ in volumes), THRESHOLDS)


def fit_threshold(volumes: Iterable[tuple[np.ndarray, np.ndarray]], thresholds: np.ndarray) -> float:
    """Return the lowest of the thresholds with the greatest mean Dice over (image, label) pairs.

    Raises:
        UserError: if no label has foreground.
    """
    scores = [threshold_dice(image, label, thresholds) for image, label in volumes if label.any()]
    if not scores:
        raise UserError("no validation volume has foreground: no threshold can be fitted")
    return float(thresholds[np.mean(scores, axis=0).argmax()])


def predict(baseline: str, image: np.ndarray, threshold: float) -> np.ndarray:
    """Return the mask (x, y, z) uint8 of a baseline for an image (x, y, z)."""
    if baseline == "everything":
        return np.ones(image.shape, np.uint8)
    return (image >= threshold).astype(np.uint8)


def evaluate(
    cases: Iterable[tuple[np.ndarray, Case]],
    threshold: float,
    score: Callable[[np.ndarray, Case], Sequence[Row]],
    columns: Sequence[str] | None = None,
) -> str:
    """Score every baseline on every case and return the table as CSV text.

    Args:
        cases: image (x, y, z) and the second argument of `score`.
        threshold: of the second baseline.
        score: returns the rows of a mask (x, y, z) and its case, one for each structure.
        columns: of these rows; None: those of `case_scores.score_structures`.
    """
    found: dict[str, list[Row]] = {baseline: [] for baseline in BASELINES}
    for image, case in cases:
        for baseline, own in found.items():
            own += score(predict(baseline, image, threshold), case)
    rows = [(baseline, threshold, *row) for baseline, own in found.items() for row in own]
    return csv_text(("baseline", "threshold", *(columns or of_cases(found[BASELINES[0]]))), rows)
