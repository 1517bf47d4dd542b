"""All scores of a predicted test case.

The published scores are those on the prepared grid, in voxels. The rest is ours: scores in mm and ml, and
all of them again on the original grid, where the prediction is compared with the label as it was drawn.
"""

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from context_fbr.core.geometry import to_original
from context_fbr.metrics.columns import score_row
from context_fbr.metrics.distractor import score_distractor
from context_fbr.metrics.overlap import detect, dice, score
from context_fbr.metrics.surface import SurfaceScores, score_surface
from context_fbr.preprocessing.originals import Original
from context_fbr.preprocessing.prepared import Case


def score_case(
    prediction: np.ndarray, label: np.ndarray, case: Case, original: Original, tolerance_mm: float
) -> tuple[tuple[object, ...], np.ndarray]:
    """Score a prediction on both grids.

    Args:
        prediction: (x, y, z) on the prepared grid, 0 or 1.
        label: (x, y, z) on the prepared grid, 0 or 1.
        case: of both.
        original: label and distractor on the original grid.
        tolerance_mm: of the surface Dice.

    Returns:
        A row of `columns.CASE_SCORES`, None where a score is undefined; and the prediction (i, j, k) on
        the original grid.
    """
    where = case.geometry
    published = score(prediction, label)
    physical = score_surface(prediction, label, where.spacing_mm, tolerance_mm)
    mask = to_original(prediction, where)
    if where.is_kept:  # the same grid, the same scores
        original_dice, original_physical = published.dice, physical
    else:
        original_dice = dice(
            int(np.count_nonzero(mask & original.label)),
            int(np.count_nonzero(mask)),
            int(np.count_nonzero(original.label)),
        )
        original_physical = score_surface(mask, original.label, where.original_spacing_mm, tolerance_mm)
    found = score_distractor(mask, original.label, original.distractor)
    row = (
        *score_row(case.name, published, case.foreground_ratio),
        *astuple(detect(prediction, label)),
        *_row(physical),
        original_dice,
        *_row(original_physical),
        case.design,
        found.recall,
        found.elsewhere,
        case.variant,
    )
    return row, mask


def _row(scores: SurfaceScores) -> Sequence[float | None]:
    return scores.hausdorff_mm, scores.hd95_mm, scores.surface_dice, scores.volume_difference_ml
