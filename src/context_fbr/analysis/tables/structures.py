"""Scores of each structure of a task, and of their union: metrics/TASK/structures.csv."""

import pandas as pd

from context_fbr.analysis.foreground_ranges import score_columns
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.analysis.tables.windows import seed_range
from context_fbr.metrics.columns import STRUCTURE

MEANS = ("recall", "hausdorff_mm", "hd95_mm", "original_dsc")
"""Scores of which the mean alone is shown."""


def structure_table(structures: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return a row for each (task, model, patch size) and structure, the union (`whole`) first.

    Columns: seeds, cases that have the structure, mean Dice and Hausdorff distance with intervals, least and
    greatest mean Dice and surface Dice of a seed, and means of other scores.

    Args:
        structures: as `Results.structures`.
        confidence: of the intervals.
    """
    table = []
    for key, rows in structures.groupby([*CONFIG_COLUMNS, STRUCTURE.name], sort=False):
        row: dict[str, object] = dict(zip([*CONFIG_COLUMNS, STRUCTURE.name], key, strict=True))
        defined = rows[rows["dsc"].notna()]
        row |= {"seeds": rows["seed"].nunique(), "cases": defined["filename"].nunique()}
        row |= score_columns("dice", rows, confidence, nested=False)
        row |= seed_range("dice", rows, "dsc") | score_columns("hausdorff", rows, confidence, nested=False)
        row["surface_dice_mean"] = rows["surface_dice"].mean()
        row |= seed_range("surface_dice", rows, "surface_dice")
        table.append(row | {f"{name}_mean": rows[name].mean() for name in MEANS})
    return pd.DataFrame(table)
