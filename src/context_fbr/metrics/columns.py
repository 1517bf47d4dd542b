"""The columns of a table of scores, one row a test case."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports scipy, which who reads a table does without
    from context_fbr.metrics.overlap import Scores

SCORES = ("filename", "dsc", "hausdorff", "abs_diff", "fg_ratio")
"""The published ones: Dice, greatest surface distance in voxels, voxels that differ / foreground voxels,
foreground ratio of the prepared volume."""

PHYSICAL = ("hausdorff_mm", "hd95_mm", "surface_dice", "volume_difference_ml")
"""Greatest and 95th percentile of the surface distance, share of the surfaces within the tolerance of each
other, prediction - label."""

CASE_SCORES = (*SCORES, *PHYSICAL, "original_dsc", *(f"original_{name}" for name in PHYSICAL))
"""Those, and Dice and the physical ones on the grid of the original volume."""

CELL_SCORES = (*CASE_SCORES, "padded")
"""Of a network: whether (1) or not (0) the volume was smaller than the patch, and padded."""


def score_row(name: str, scores: "Scores", foreground_ratio: float) -> tuple[object, ...]:
    """A row of `SCORES`."""
    return name, scores.dice, scores.hausdorff_voxels, scores.absolute_difference, foreground_ratio
