"""Dice and Hausdorff distance of test cases against their foreground ratio, by patch size."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.foreground_ranges import shown_model
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.figures.norms import BATCH, NO_NORMS, compared, norm_style
from context_fbr.figures.style import (
    GREY,
    RATIO_LABEL,
    axis_start,
    dice_limits,
    drawing,
    log_ratio_axis,
    png,
    subplots,
)

BINS = 32  # of the logarithmic axis


def case_scores(evidence: Evidence) -> pd.DataFrame:
    """Scores of each test case by task, model and patch size: means over seeds, if these share the cases."""
    frames = []
    for task, rows in evidence.cells.groupby("task", sort=False):
        keys = [*CONFIG_COLUMNS, *(["seed"] if task in evidence.nested else []), "filename", "fg_ratio"]
        means = rows.groupby(keys, sort=False)[["dsc", "hausdorff"]].mean().reset_index()
        frames.append(means[[*CONFIG_COLUMNS, "filename", "fg_ratio", "dsc", "hausdorff"]])
    return pd.concat(frames, ignore_index=True)


def ratio_histogram(evidence: Evidence) -> pd.DataFrame:
    """Return the share of training patches by foreground ratio for each task and patch size, seeds pooled.

    The patches counted are those of one network, see `shown_model`. Bins are even on a logarithmic axis
    that begins just below the smallest test case; the first bin holds all smaller ratios, `empty` the
    share without any foreground.
    """
    frames = []
    for task, of_task in evidence.ratios.groupby("task", sort=False):
        tests = evidence.scores.loc[evidence.scores["task"] == task, "fg_ratio"]
        first = axis_start(tests)
        edges = np.concatenate([[0.0], np.geomspace(first, 1, BINS + 1)])
        shown = of_task[of_task["model"] == shown_model(of_task)]
        for size, rows in shown.groupby("patch_size"):
            values = rows["foreground_ratio"].to_numpy(float)
            counts, _ = np.histogram(values, bins=edges)
            frames.append(
                pd.DataFrame(
                    {
                        "task": task,
                        "patch_size": size,
                        "ratio_from": edges[:-1],
                        "ratio_to": edges[1:],
                        "share": counts / len(values),
                        "empty": [float((values == 0).mean()), *[0.0] * BINS],
                    }
                )
            )
    columns = ["task", "patch_size", "ratio_from", "ratio_to", "share", "empty"]
    return pd.concat(frames, ignore_index=True).round(6) if frames else pd.DataFrame(columns=columns)


def scores_by_foreground_ratio(
    cases: pd.DataFrame,
    histogram: pd.DataFrame,
    ranges: pd.DataFrame,
    norms: Mapping[str, str] = NO_NORMS,
    title: str = "",
) -> bytes:
    """A column for each patch size: training patches on top, Dice and Hausdorff distance of test cases below.

    Args:
        cases: as of `case_scores`, of one task.
        histogram: as of `ratio_histogram`, of the same task; may lack patch sizes.
        ranges: as of `training_ranges` by (task, model, patch size), of the same task; may lack some.
        norms: as of `norms.norms_of`; they decide marks, and leave other variants to the tables.
        title: the finding that the figure shows.
    """
    sizes = sorted(cases["patch_size"].unique())
    models = compared(cases["model"].unique(), norms)
    first = axis_start(cases["fg_ratio"])
    with drawing():
        figure, axes = subplots(
            3,
            len(sizes),
            figsize=(1.4 + 2.9 * len(sizes), 7.0),
            sharex=True,
            sharey="row",
            squeeze=False,
            height_ratios=[1, 2, 2],
        )
        for column, size in enumerate(sizes):
            top, *below = axes[:, column]
            _distribution(top, histogram[histogram["patch_size"] == size])
            top.set_title(f"patch {size}")
            for axis, score in zip(below, ("dsc", "hausdorff"), strict=True):
                span = ranges[ranges["patch_size"] == size]
                if len(span):
                    left = max(float(span["low"].min()), first)
                    axis.axvspan(left, float(span["high"].max()), color=GREY, alpha=0.13, linewidth=0)
                for model in models:
                    own = cases[(cases["patch_size"] == size) & (cases["model"] == model)]
                    axis.scatter(own["fg_ratio"], own[score], s=13, **_marks(model, norms))
        axes[0, 0].set_ylabel("share of training\npatches")
        axes[1, 0].set_ylabel("Dice of test cases")
        axes[1, 0].set_ylim(*dice_limits(cases["dsc"]))
        axes[2, 0].set_ylabel("Hausdorff distance (voxels)")
        axes[2, 0].set_yscale("symlog", linthresh=1, linscale=0.3)
        axes[2, 0].set_ylim(0, 1.5 * cases["hausdorff"].fillna(0).clip(lower=1).max())
        axes[2, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for axis in axes[2]:
            log_ratio_axis(axis, first)
        for model in models:
            axes[0, -1].scatter([], [], **_marks(model, norms), label=name_of(model))
        axes[0, -1].fill_between([], [], color=GREY, alpha=0.13, label="range of the\ntraining patches")
        legend = axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        legend.set_in_layout(False)  # or a long one would spread the rows
        figure.supxlabel(RATIO_LABEL, fontsize=10)
        figure.suptitle(title, fontsize=11)
        figure.tight_layout()
        legend.set_in_layout(True)  # of what is saved
        return png(figure)


def _marks(model: str, norms: Mapping[str, str]) -> dict[str, Any]:
    """Return the marks of a network: filled with batch norm where norms are compared, else hollow."""
    style = norm_style(model, norms)
    filled = norms.get(model) == BATCH
    return {
        "marker": style["marker"],
        "facecolors": style["color"] if filled else "none",
        "edgecolors": style["color"],
        "linewidths": 0.9,
        "alpha": 0.75,
    }


def _distribution(axis: Axes, histogram: pd.DataFrame) -> None:
    if histogram.empty:
        axis.text(0.5, 0.5, "not known", ha="center", va="center", transform=axis.transAxes)
        return
    shown = histogram[histogram["ratio_from"] > 0]
    axis.stairs(
        shown["share"], [*shown["ratio_from"], shown["ratio_to"].iloc[-1]], fill=True, color=GREY, alpha=0.7
    )
    below = histogram[histogram["ratio_from"] == 0]
    if below["share"].sum() > 0:
        text = f"{below['share'].sum():.0%} further left,\n{below['empty'].sum():.0%} empty"
        axis.text(0.03, 0.95, text, transform=axis.transAxes, va="top", fontsize=8)
