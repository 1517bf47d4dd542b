"""Dice of test cases as drawn and with a random crop: metrics/TASK/shifted_crops.csv."""

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.foreground_ranges import columns
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.analysis.tables.variants import AS_DRAWN, with_drawn
from context_fbr.config.prepare.preprocessing import WHOLE
from context_fbr.metrics.columns import STRUCTURE
from context_fbr.preprocessing.shifted_crops import VARIANT


def shifted_table(drawn: pd.DataFrame, variants: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return a row for each (task, model, patch size) and structure: how much Dice is lost to a random crop.

    Columns: cases that have both, mean Dice as drawn and shifted, and their difference with its interval. A
    network that takes the border of the volume as a cue has a difference below 0.

    Args:
        drawn: as `Results.structures`, or as `Results.scores` of a task with one structure.
        variants: as `drawn`, of test cases with a change, named in column `variant`.
        confidence: of the intervals.
    """
    shifted = variants[variants["variant"] == VARIANT]
    if STRUCTURE.name not in drawn:
        drawn, shifted = (rows.assign(**{STRUCTURE.name: WHOLE}) for rows in (drawn, shifted))
    table = []
    for structure, own in drawn.groupby(STRUCTURE.name, sort=False):
        both = with_drawn(own, shifted[shifted[STRUCTURE.name] == structure])
        for key, rows in both.groupby(CONFIG_COLUMNS, sort=False):
            before, after = (rows[rows["variant"] == name] for name in (AS_DRAWN, VARIANT))
            found = interval([Term(1, after), Term(-1, before)], "dsc", confidence)
            row: dict[str, object] = dict(zip(CONFIG_COLUMNS, key, strict=True))
            row |= {STRUCTURE.name: structure, "cases": rows["filename"].nunique()}
            row |= {"dice": before["dsc"].mean(), "dice_shifted": after["dsc"].mean()}
            table.append(row | columns("difference", found))
    return pd.DataFrame(table)
