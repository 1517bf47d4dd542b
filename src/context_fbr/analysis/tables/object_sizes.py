"""Scores by the size of the object: metrics/TASK/sizes.csv.

The groups are the quarters of a task's test cases by the label's foreground voxels, 1 the smallest: the
quartiles of the different test cases divide them, and a case at a quartile belongs to the lower group.
"""

import numpy as np
import pandas as pd

from context_fbr.analysis.observations import Evidence, is_baseline
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.analysis.summary import ALL_SIZES
from context_fbr.analysis.tables.windows import seed_range

MEANS = {
    "dice": "dsc",
    "surface_dice": "surface_dice",
    "recall": "recall",
    "false_positive_share": "false_positive_share",
    "false_positives": "false_positives",
}
"""Prefix of the table's columns, and the score that it is of."""


def size_table(evidence: Evidence) -> pd.DataFrame:
    """A row for each (task, model, patch size) and quarter of the test cases by size.

    Columns: `quarter` (1 to 4), least and greatest number of label voxels, cases, means, and the least and
    greatest mean Dice and surface Dice of a seed (of a baseline both are undefined). Means are over the cases
    for which a score is defined.
    """
    table = []
    for _, scores in evidence.scores.groupby("task", sort=False):
        grouped = scores.assign(quarter=quarters(scores))
        for key, rows in grouped.groupby([*CONFIG_COLUMNS, "quarter"], sort=False, dropna=False):
            row: dict[str, object] = dict(zip([*CONFIG_COLUMNS, "quarter"], key, strict=True))
            if is_baseline(str(row["model"])):
                row["patch_size"] = ALL_SIZES
            row |= {
                "voxels_min": int(rows["label_voxels"].min()),
                "voxels_max": int(rows["label_voxels"].max()),
                "cases": rows["filename"].nunique(),
            }
            row |= {f"{name}_mean": rows[score].mean() for name, score in MEANS.items()}
            for name in ("dice", "surface_dice"):
                row |= seed_range(name, rows, MEANS[name])
            table.append(row)
    order = ["task", "model", "patch_size"]
    frame = pd.DataFrame(table)
    rank = frame.groupby(order, sort=False, dropna=False).ngroup()
    return frame.assign(rank=rank).sort_values(["rank", "quarter"], ignore_index=True).drop(columns="rank")


def quarters(scores: pd.DataFrame) -> pd.Series:
    """The quarter of each row's case, 1 to 4, by the label's voxels among the different cases of a task."""
    sizes = scores.drop_duplicates("filename")["label_voxels"]
    quartiles = np.quantile(sizes, [0.25, 0.5, 0.75])
    return pd.Series(1 + np.searchsorted(quartiles, scores["label_voxels"], side="left"), scores.index)
