"""All scores of a predicted test case.

The published scores are those on the prepared grid, in voxels. The rest is ours: scores in mm and ml, and
all of them again on the original grid, where the prediction is compared with the label as it was drawn.
"""

from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np

from context_fbr.config.prepare.preprocessing import WHOLE
from context_fbr.core.geometry import classes_to_original, to_original
from context_fbr.metrics.columns import Row, score_row
from context_fbr.metrics.distractor import score_distractor
from context_fbr.metrics.overlap import detect, dice, score
from context_fbr.metrics.surface import SurfaceScores, score_surface
from context_fbr.preprocessing.originals import Original
from context_fbr.preprocessing.prepared import Case


def score_structures(
    prediction: np.ndarray,
    label: np.ndarray,
    case: Case,
    original: Original,
    tolerance_mm: float,
    shared: bool = False,
) -> tuple[list[Row], np.ndarray]:
    """Score a prediction of one or several structures on both grids.

    Args:
        prediction: (x, y, z) on the prepared grid, the number of a structure or 0.
        label: (x, y, z) on the prepared grid, the number of a structure or 0.
        case: of both.
        original: label and distractor on the original grid.
        tolerance_mm: of the surface Dice.
        shared: whether a predicted voxel is one of every structure, as of a baseline that knows none.

    Returns:
        A row as of `score_case`; of several structures first one of their union, then one of each, with the
        name at the end. And the prediction (i, j, k) on the original grid.
    """
    if not case.structures:
        row, mask = score_case(prediction, label, case, original, tolerance_mm)
        return [row], mask
    found = classes_to_original(prediction, case.geometry, len(case.structures))
    union = Original((original.label > 0).astype(np.uint8), original.distractor)
    whole, _ = score_case(_mask(prediction), _mask(label), case, union, tolerance_mm, _mask(found))
    rows = [(*whole, WHOLE)]
    for number, name in enumerate(case.names, start=1):
        own = _mask(label, number)
        predicted = [_mask(part) if shared else _mask(part, number) for part in (prediction, found)]
        row, _ = score_case(
            predicted[0],
            own,
            replace(case, foreground_ratio=int(own.sum()) / own.size),
            Original(_mask(original.label, number)),
            tolerance_mm,
            predicted[1],
        )
        rows.append((*row, name))
    return rows, found


def _mask(classes: np.ndarray, number: int | None = None) -> np.ndarray:
    """Return 1 where a class is, or any of them."""
    return (classes > 0 if number is None else classes == number).astype(np.uint8)


def score_case(
    prediction: np.ndarray,
    label: np.ndarray,
    case: Case,
    original: Original,
    tolerance_mm: float,
    mask: np.ndarray | None = None,
) -> tuple[Row, np.ndarray]:
    """Score a mask on both grids.

    Args:
        prediction: (x, y, z) on the prepared grid, 0 or 1.
        label: (x, y, z) on the prepared grid, 0 or 1.
        case: of both.
        original: label and distractor on the original grid.
        tolerance_mm: of the surface Dice.
        mask: the prediction (i, j, k) on the original grid; None: it follows from the other one.

    Returns:
        A row of `columns.CASE_SCORES`, None where a score is undefined; and the prediction (i, j, k) on
        the original grid.
    """
    where = case.geometry
    published = score(prediction, label)
    physical = score_surface(prediction, label, where.spacing_mm, tolerance_mm)
    mask = to_original(prediction, where) if mask is None else mask
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
