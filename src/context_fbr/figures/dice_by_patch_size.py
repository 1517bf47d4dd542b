"""The answer: mean test Dice against patch size by network and norm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.observations import Evidence, is_baseline
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.figures.style import (
    GREY,
    SIZE_LABEL,
    dice_limits,
    drawing,
    family,
    line_style,
    png,
    subplots,
)

BASELINE_LINES: Mapping[str, Any] = {"threshold": ":", "everything": (0, (1, 4))}


def tables(means: pd.DataFrame, evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Select what the figure shows: means by configuration, and means of single cells.

    Args:
        means: as of `summary.summarise`.
        evidence: that the means are of.

    Returns:
        Both arguments of `dice_by_patch_size`.
    """
    lines = means.rename(columns={"dice_mean": "dice", "dice_mean_low": "low", "dice_mean_high": "high"})
    lines = lines[["task", "model", "patch_size", "dice", "low", "high", "not_converged"]]
    lines["patch_size"] = lines["patch_size"].where(~lines["model"].map(is_baseline)).astype("Int64")
    seeds = evidence.cells.groupby(CELL_COLUMNS, sort=False)["dsc"].mean()
    dots = seeds.rename("dice").reset_index()
    known = evidence.converged or {}
    keys = dots[CELL_COLUMNS].itertuples(index=False, name=None)
    dots["converged"] = pd.array([known.get(key) for key in keys], dtype="boolean")
    return lines, dots


def dice_by_patch_size(means: pd.DataFrame, seeds: pd.DataFrame) -> bytes:
    """Draw a row for each task, and a panel for each network with its variants, such as another norm.

    Single seeds are the marks, joined at their mean; baselines are level lines. Intervals belong to
    differences, see metrics/TASK/differences.csv.

    Args:
        means: columns task, model, patch_size, dice; a baseline's patch size is missing.
        seeds: columns task, model, patch_size, seed, dice, converged; a cell that has not converged is
            crossed out, one of which that is not known (missing) is not.
    """
    tasks = list(means["task"].unique())
    networks = means[~means["model"].map(is_baseline)]
    families = list(dict.fromkeys(family(model) for model in networks["model"]))
    places = {size: place for place, size in enumerate(sorted(networks["patch_size"].unique()))}
    with drawing():
        figure, axes = subplots(
            len(tasks),
            len(families),
            figsize=(2.2 + 2.9 * len(families), 0.6 + 3.2 * len(tasks)),
            sharey=True,
            squeeze=False,
        )
        for row, task in zip(axes, tasks, strict=True):
            for axis, name in zip(row, families, strict=True):
                of_task = networks[(networks["task"] == task) & (networks["model"].map(family) == name)]
                if of_task.empty:
                    axis.set_axis_off()
                    continue
                _panel(axis, of_task, seeds[seeds["task"] == task], places)
                _baselines(axis, means[(means["task"] == task) & means["model"].map(is_baseline)])
                axis.set_title(name_of(name) if len(tasks) == 1 else f"{task}, {name_of(name)}", fontsize=10)
            row[0].set_ylabel("mean test Dice")
        for axis in axes[-1]:
            axis.set_xlabel(SIZE_LABEL if len(families) < 3 else "patch size (voxels)")
        axes[0][0].set_ylim(*dice_limits(pd.concat([means["dice"], seeds["dice"]])))
        _legend(axes, list(dict.fromkeys(networks["model"])), seeds)
        figure.tight_layout()
        return png(figure)


def _panel(axis: Axes, means: pd.DataFrame, seeds: pd.DataFrame, places: Mapping[int, int]) -> None:
    """Draw the variants of a network side by side: seeds, and a line through their means."""
    models = list(means["model"].unique())
    for number, model in enumerate(models):
        style, shift = line_style(model), 0.16 * (number - (len(models) - 1) / 2)
        own = means[means["model"] == model].sort_values("patch_size")
        line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.2}
        axis.plot(own["patch_size"].map(places) + shift, own["dice"], **line, alpha=0.8)
        trained = seeds[seeds["model"] == model]
        x = trained["patch_size"].map(places) + shift
        face = style.get("markerfacecolor", style["color"])
        marks = {"s": 34, "marker": style["marker"], "facecolors": face, "edgecolors": style["color"]}
        axis.scatter(x, trained["dice"], **marks, linewidths=1.2, zorder=3)
        failed = trained["converged"].eq(False).fillna(False)
        axis.scatter(x[failed], trained["dice"][failed], s=46, marker="x", color=GREY, zorder=4)
    axis.set_xlim(-0.5, len(places) - 0.5)
    axis.set_xticks(range(len(places)), [str(int(size)) for size in places])


def _baselines(axis: Axes, means: pd.DataFrame) -> None:
    for row in means.itertuples():
        axis.axhline(row.dice, color=GREY, linestyle=BASELINE_LINES[row.model], linewidth=1)


def _legend(axes: np.ndarray, models: Sequence[str], seeds: pd.DataFrame) -> None:
    """Write one legend next to the panels: every network, the baselines, and what a cross means."""
    handles = [
        Line2D([], [], **{"markersize": 6, "linewidth": 1.2} | line_style(model), label=name_of(model))
        for model in models
    ]
    handles += [
        Line2D([], [], color=GREY, linestyle=dashes, linewidth=1, label=name_of(name))
        for name, dashes in BASELINE_LINES.items()
    ]
    if seeds["converged"].eq(False).any():
        handles.append(
            Line2D([], [], color=GREY, marker="x", linestyle="none", label="one seed, not converged")
        )
    axes[0][-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.03, 1))
