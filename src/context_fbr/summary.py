"""From tables of results to the numbers of the study: data frames in, data frames and plain dicts out."""

from typing import Any

import numpy as np
import pandas as pd

from context_fbr.results import KEYS, Results

GROUP = KEYS[:3]
DIGITS = 6


def cell_table(results: Results, convergence_tolerance: float) -> pd.DataFrame:
    """One row a cell: how it trained, how it did on the test cases, what its patches held.

    Means are over the cases for which a score is defined; the undefined are counted beside them. `abs_diff`
    is undefined where Dice is: the label is empty.
    """
    scores = results.scores.groupby(KEYS, sort=False)
    table = scores.agg(
        cases=("filename", "size"),
        dice=("dsc", "mean"),
        hausdorff_voxels=("hausdorff", "mean"),
        abs_diff=("abs_diff", "mean"),
        undefined_dice=("dsc", lambda s: int(s.isna().sum())),
        undefined_hausdorff=("hausdorff", lambda s: int(s.isna().sum())),
    )
    # An empty prediction of a label with foreground: Dice 0 and no Hausdorff distance.
    empty = (results.scores["dsc"] == 0) & results.scores["hausdorff"].isna()
    table["empty_predictions"] = empty.groupby([results.scores[k] for k in KEYS], sort=False).sum()
    validated = results.history.dropna(subset=["validation_dice"]).groupby(KEYS, sort=False)[
        "validation_dice"
    ]
    table["epochs"] = results.history.groupby(KEYS, sort=False)["epoch"].max()
    table["best_validation_dice"] = validated.max()
    table["last_validation_change"] = validated.agg(
        lambda s: abs(s.iloc[-1] - s.iloc[-2]) if len(s) > 1 else None
    )
    # A comparison with a missing change is False: a cell that was validated once has not shown anything.
    table["converged"] = table["last_validation_change"].astype("float64") < convergence_tolerance
    ratios = results.foreground_ratios.groupby(KEYS, sort=False)["foreground_ratio"]
    table["training_ratio_mean"] = ratios.mean()
    table["training_ratio_min"] = ratios.min()
    table["training_ratio_max"] = ratios.max()
    table["training_ratio_zero_share"] = ratios.agg(lambda s: (s == 0).mean())
    return table.reset_index()


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """One row for each (task, model, patch size): means over seeds of the cells' means, counts summed."""
    return (
        cells.groupby(GROUP, sort=False)
        .agg(
            seeds=("seed", "size"),
            not_converged=("converged", lambda s: int((~s).sum())),
            cases=("cases", "sum"),
            empty_predictions=("empty_predictions", "sum"),
            undefined_dice=("undefined_dice", "sum"),
            undefined_hausdorff=("undefined_hausdorff", "sum"),
            dice=("dice", "mean"),
            hausdorff_voxels=("hausdorff_voxels", "mean"),
            abs_diff=("abs_diff", "mean"),
        )
        .reset_index()
    )


def summarise_baselines(baselines: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean Dice of each baseline by task, with the threshold."""
    means = baselines.groupby("task", sort=False)[["everything_dsc", "threshold_dsc", "threshold"]].mean()
    return {str(task): {str(k): _number(v) for k, v in row.items()} for task, row in means.iterrows()}


def nested(summary: pd.DataFrame) -> dict[str, Any]:
    """The summary as {task: {model: {patch size: {...}}}}; a mean without any defined value is null."""
    tree: dict[str, Any] = {}
    for row in summary.to_dict("records"):
        leaf = {key: _number(value) for key, value in row.items() if key not in GROUP}
        tree.setdefault(row["task"], {}).setdefault(row["model"], {})[str(row["patch_size"])] = leaf
    return tree


def headline(summary: pd.DataFrame) -> dict[str, Any]:
    """The few numbers that stand for the study: Dice at the smallest and the largest patch, by network."""
    tree: dict[str, Any] = {}
    for (task, model), rows in summary.groupby(["task", "model"], sort=False):
        sizes = rows.sort_values("patch_size")
        tree.setdefault(str(task), {})[str(model)] = {
            f"dice_{row.patch_size}": _number(row.dice) for row in (sizes.iloc[0], sizes.iloc[-1])
        }
    return tree


def _number(value: Any) -> Any:
    if pd.isna(value):
        return None
    return int(value) if isinstance(value, int | np.integer) else round(float(value), DIGITS)
