"""Tables of the published results that this study's own have no use for: data frames in, data frames out."""

import numpy as np
import pandas as pd

from context_fbr.analysis.confidence_intervals import interval
from context_fbr.analysis.findings.detection import dice_lost
from context_fbr.analysis.findings.exploratory import slope
from context_fbr.analysis.findings.primary import loss, with_outside
from context_fbr.analysis.findings.task_scores import tasks
from context_fbr.analysis.foreground_ranges import assign_range_group, columns
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.config.analysis import Analysis

SPHERES = "spheres"
EDGE = 96
"""Voxels: of the published volumes with a sphere."""
RADII = (5, 10, 15, 20, 25, 30, 35, 40, 45)
"""Lowest radii of the bands; the published radii are 5 to 47 voxels."""


def networks(evidence: Evidence, settings: Analysis) -> pd.DataFrame:
    """Return a row for each task and network.

    Columns: slope of mean Dice per doubling of the patch size; Dice within minus outside of the training
    range, the mean over the patch sizes that have both, which `loss_patch_sizes` lists; each with limits.
    """
    table = []
    for task in tasks(evidence, settings):
        nested = task.name in evidence.nested
        for model in task.models:
            sizes, outside = task.sizes(model), with_outside(task, model)
            terms = {"slope": slope(task, model, sizes) if len(sizes) > 1 else []}
            terms["loss_outside"] = loss(task, model, outside)
            row: dict[str, object] = {"task": task.name, "model": model}
            for name, own in terms.items():
                if own:
                    row |= columns(name, interval(own, "dsc", settings.confidence, nested=nested))
            table.append(row | {"loss_patch_sizes": " ".join(map(str, outside))})
    return pd.DataFrame(table)


def radius(foreground_ratio: pd.Series) -> pd.Series:
    """Return the radius in voxels of the published sphere with this foreground ratio: a whole number."""
    volume = foreground_ratio.astype(float) * EDGE**3
    return np.cbrt(3 * volume / (4 * np.pi)).round().astype(int)


def detection(evidence: Evidence) -> pd.DataFrame:
    """Return found and falsely labelled voxels of the published spheres, by configuration and band of radii.

    Columns: task, model, patch_size, radii, scores, mean Dice, recall and falsely labelled share of the
    background; the last two are derived from Dice and the absolute difference.
    """
    scores = dice_lost(evidence.cells[evidence.cells["task"] == SPHERES])
    first = np.array(RADII)[np.searchsorted(RADII, radius(scores["fg_ratio"]), side="right") - 1]
    last = {low: high - 1 for low, high in zip(RADII, (*RADII[1:], EDGE // 2), strict=True)}
    scores = scores.assign(first=first)
    table = (
        scores.groupby([*CONFIG_COLUMNS, "first"], sort=False)
        .agg(
            scores=("dsc", "size"),
            dice_mean=("dsc", "mean"),
            recall_mean=("recall", "mean"),
            false_positive_share_mean=("false_positive_share", "mean"),
        )
        .reset_index()
        .sort_values([*CONFIG_COLUMNS, "first"], ignore_index=True)
    )
    radii = [f"{low}-{last[low]}" for low in table["first"]]
    table.insert(len(CONFIG_COLUMNS), "radii", radii)
    return table.drop(columns="first")


def decomposition(evidence: Evidence) -> pd.DataFrame:
    """Return the share of the variance of the spheres' Dice that each factor explains, by network.

    R2 of least squares on the classes of the patch size; on these and outside of the training range or not;
    on these and the radius (a class each); and on all three.
    """
    scores = assign_range_group(evidence)
    scores = scores[(scores["task"] == SPHERES) & scores["dsc"].notna()]
    scores = scores.assign(radius=radius(scores["fg_ratio"]), outside=scores["group"] != "within")
    table = []
    for (task, model), rows in scores.groupby(["task", "model"], sort=False):
        table.append(
            {
                "task": task,
                "model": model,
                "scores": len(rows),
                "r2_patch_size": _r2(rows, "patch_size"),
                "r2_patch_size_range": _r2(rows, "patch_size", "outside"),
                "r2_patch_size_radius": _r2(rows, "patch_size", "radius"),
                "r2_patch_size_radius_range": _r2(rows, "patch_size", "radius", "outside"),
            }
        )
    return pd.DataFrame(table)


def _r2(rows: pd.DataFrame, *factors: str) -> float:
    """Share of the variance of Dice that a linear model of classes explains."""
    dice = rows["dsc"].to_numpy(float)
    classes = [pd.get_dummies(rows[name].astype(str), drop_first=True).to_numpy(float) for name in factors]
    design = np.column_stack([np.ones(len(dice)), *classes])
    residual = dice - design @ np.linalg.lstsq(design, dice, rcond=None)[0]
    return float(1 - (residual**2).sum() / ((dice - dice.mean()) ** 2).sum())
