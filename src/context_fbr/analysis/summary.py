"""Numbers of the study from tables of results: data frames in, data frames and plain dicts out."""

from typing import Any

import numpy as np
import pandas as pd

from context_fbr.analysis.foreground_ranges import score_columns
from context_fbr.analysis.observations import Evidence, is_baseline
from context_fbr.analysis.result_files import DIGITS
from context_fbr.analysis.results import CELL_COLUMNS, CONFIG_COLUMNS, Results
from context_fbr.config.analysis import Analysis
from context_fbr.core.patch_size import PatchSize
from context_fbr.metrics.columns import AVERAGED, OPTIONAL

ALL_SIZES = "all"  # a baseline has no patch: it is the same at all sizes


def cell_table(results: Results, settings: Analysis) -> pd.DataFrame:
    """Return one row a cell: its training, its scores on the test cases, the ratios of its patches.

    Means are over the cases for which a score is defined; the undefined cases are counted. `abs_diff`
    is undefined where Dice is: the label is empty.
    """
    scores = results.scores.groupby(CELL_COLUMNS, sort=False)
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
    table["empty_predictions"] = empty.groupby([results.scores[k] for k in CELL_COLUMNS], sort=False).sum()
    validated = results.history.dropna(subset=["validation_dice"]).groupby(CELL_COLUMNS, sort=False)[
        "validation_dice"
    ]
    for name in AVERAGED:
        if name in averaged_scores(results.scores):
            table[name] = scores[name].mean()
    if "padded" in results.scores:
        table["padded_cases"] = scores["padded"].sum()
    table["epochs"] = results.history.groupby(CELL_COLUMNS, sort=False)["epoch"].max()
    table["best_validation_dice"] = validated.max()
    table["last_validation_change"] = validated.agg(
        lambda s: abs(s.iloc[-1] - s.iloc[-2]) if len(s) > 1 else None
    )
    table["converged"] = has_converged(table, settings)
    table["low_validation_dice"] = table["best_validation_dice"] < settings.minimum_validation_dice
    ratios = results.foreground_ratios.groupby(CELL_COLUMNS, sort=False)["foreground_ratio"]
    table["training_ratio_mean"] = ratios.mean()
    table["training_ratio_min"] = ratios.min()
    table["training_ratio_max"] = ratios.max()
    table["training_ratio_zero_share"] = ratios.agg(lambda s: (s == 0).mean())
    return table.reset_index()


def averaged_scores(scores: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of `AVERAGED` that a table has; optional ones without a value do not count."""
    return tuple(
        name for name in AVERAGED if name in scores and (name not in OPTIONAL or scores[name].notna().any())
    )


def has_converged(cells: pd.DataFrame, settings: Analysis) -> pd.Series:
    """Return whether the last two validations of each cell are close, by column last_validation_change.

    How good they are does not count: to select by Dice would be to select by the outcome.
    """
    # A comparison with a missing change is False: a cell that was validated once has not shown anything.
    return cells["last_validation_change"].astype("float64") < settings.convergence_tolerance


def convergence(cells: pd.DataFrame) -> dict[tuple[str, str, PatchSize, int], bool]:
    """Return for each cell of a cell table whether it has converged."""
    keys = cells[CELL_COLUMNS].itertuples(index=False, name=None)
    return dict(zip(keys, cells["converged"].map(bool), strict=True))


def summarise(evidence: Evidence, confidence: float) -> pd.DataFrame:
    """One row for each (task, model, patch size), the baselines with patch size `ALL_SIZES`.

    Columns: seeds, cells that have not converged, test cases, scores of all seeds on them; how many of these
    are undefined or of empty predictions; mean Dice and Hausdorff distance with their intervals and their
    standard deviations over seeds and over cases; mean absolute difference; means of the scores in mm and on
    the original grid, where there are any.
    """
    table = []
    for (task, model, size), rows in evidence.scores.groupby(CONFIG_COLUMNS, sort=False, dropna=False):
        nested = task in evidence.nested
        table.append(
            {
                "task": task,
                "model": model,
                "patch_size": ALL_SIZES if is_baseline(model) else size,
                "seeds": rows["seed"].nunique(),
                "not_converged": evidence.not_converged(rows),
                "cases": rows["filename"].nunique() if not nested else len(rows),
                "scores": len(rows),
                "undefined_dice": int(rows["dsc"].isna().sum()),
                "undefined_hausdorff": int(rows["hausdorff"].isna().sum()),
                # An empty prediction of a label with foreground: Dice 0 and no Hausdorff distance.
                "empty_predictions": int(((rows["dsc"] == 0) & rows["hausdorff"].isna()).sum()),
                **score_columns("dice", rows, confidence, nested),
                **score_columns("hausdorff", rows, confidence, nested),
                "abs_diff_mean": rows["abs_diff"].mean(),
                **{f"{name}_mean": rows[name].mean() for name in averaged_scores(rows)},
            }
        )
    return pd.DataFrame(table)


def thresholds(baselines: pd.DataFrame) -> dict[str, float]:
    """The fitted threshold of each task."""
    return {str(task): float(value) for task, value in baselines.groupby("task")["threshold"].first().items()}


def tree_of(summary: pd.DataFrame) -> dict[str, Any]:
    """The summary as {task: {model: {patch size: {...}}}}; a mean without any defined value is null."""
    tree: dict[str, Any] = {}
    for row in summary.to_dict("records"):
        leaf = {key: number(value) for key, value in row.items() if key not in CONFIG_COLUMNS}
        tree.setdefault(row["task"], {}).setdefault(row["model"], {})[str(row["patch_size"])] = leaf
    return tree


def headline(summary: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers that summarise each task: mean Dice of each network at each patch size.

    Also the number of cells that have not converged, which limits the trust in the others.
    """
    tree: dict[str, Any] = {
        str(task): {"cells_not_converged": int(rows["not_converged"].sum())}
        for task, rows in summary.groupby("task", sort=False)
    }
    networks = summary[summary["patch_size"] != ALL_SIZES]
    for (task, model), rows in networks.groupby(["task", "model"], sort=False):
        sizes = rows.sort_values("patch_size")
        tree[str(task)][str(model)] = {
            f"dice_{row.patch_size}": number(row.dice_mean) for row in sizes.itertuples()
        }
    return tree


def number(value: Any) -> Any:
    """A value as JSON takes it: rounded, None where it is undefined."""
    if pd.isna(value):
        return None
    return int(value) if isinstance(value, int | np.integer) else round(float(value), DIGITS)
