"""All scores of a predicted test case.

The published scores are those on the prepared grid, in voxels. The rest is ours: scores in mm and ml, and
all of them again on the original grid, where the prediction is compared with the label as it was drawn.
"""

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from context_fbr.core.geometry import to_original
from context_fbr.metrics.columns import score_row
from context_fbr.metrics.overlap import detect, dice, score
from context_fbr.metrics.surface import SurfaceScores, score_surface
from context_fbr.preprocessing.prepared import Case


def score_case(
    prediction: np.ndarray, label: np.ndarray, case: Case, original_label: np.ndarray, tolerance_mm: float
) -> tuple[tuple[object, ...], np.ndarray]:
    """Score a prediction on both grids.

    Args:
        prediction: (x, y, z) on the prepared grid, 0 or 1.
        label: (x, y, z) on the prepared grid, 0 or 1.
        case: of both.
        original_label: (i, j, k) on the original grid, 0 or 1.
        tolerance_mm: of the surface Dice.

    Returns:
        A row of `columns.CASE_SCORES`, None where a score is undefined; and the prediction (i, j, k) on
        the original grid.
    """
    where = case.geometry
    published = score(prediction, label)
    physical = score_surface(prediction, label, where.spacing_mm, tolerance_mm)
    original = to_original(prediction, where)
    if where.is_kept:  # the same grid, the same scores
        original_dice, original_physical = published.dice, physical
    else:
        original_dice = dice(
            int(np.count_nonzero(original & original_label)),
            int(np.count_nonzero(original)),
            int(np.count_nonzero(original_label)),
        )
        original_physical = score_surface(original, original_label, where.original_spacing_mm, tolerance_mm)
    row = (
        *score_row(case.name, published, case.foreground_ratio),
        *astuple(detect(prediction, label)),
        *_row(physical),
        original_dice,
        *_row(original_physical),
        case.design,
    )
    return row, original


def _row(scores: SurfaceScores) -> Sequence[float | None]:
    return scores.hausdorff_mm, scores.hd95_mm, scores.surface_dice, scores.volume_difference_ml
