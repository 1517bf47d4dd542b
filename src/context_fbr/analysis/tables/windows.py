"""Patch of the training against window of the inference: metrics/TASK/windows.csv."""

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.foreground_ranges import columns
from context_fbr.analysis.results import CONFIG_COLUMNS

INTERVALS = {"dice": "dsc", "surface_dice": "surface_dice"}
MEANS = ("recall", "false_positive_share")


def window_table(scores: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """A row for each (task, model, patch size) and inference window.

    Columns: seeds, cases, means of Dice and surface Dice with intervals and the least and greatest mean of a
    seed, means of recall and false-positive share. Means are over the cases for which a score is defined.

    Args:
        scores: as `Results.windows`.
        confidence: of the intervals.
    """
    table = []
    for key, rows in scores.groupby(CONFIG_COLUMNS, sort=False):
        for window, own in name_windows(rows).groupby("window", sort=False):
            row: dict[str, object] = dict(zip(CONFIG_COLUMNS, key, strict=True)) | {
                "window": window,
                "seeds": own["seed"].nunique(),
                "cases": own["filename"].nunique(),
            }
            for name, score in INTERVALS.items():
                found = interval([Term(1, own)], score, confidence, bounds=(0.0, 1.0))
                row |= columns(f"{name}_mean", found) | seed_range(name, own, score)
            table.append(row | {f"{name}_mean": own[name].mean() for name in MEANS})
    return pd.DataFrame(table)


def name_windows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with their windows as text: sizes in voxels, or `volume`."""
    return rows.assign(window=rows["window"].map(str))


def seed_range(name: str, rows: pd.DataFrame, score: str) -> dict[str, float]:
    """The least and the greatest mean of a seed as two columns, NAME_seed_min and NAME_seed_max."""
    means = rows.groupby("seed")[score].mean()
    return {f"{name}_seed_min": float(means.min()), f"{name}_seed_max": float(means.max())}
