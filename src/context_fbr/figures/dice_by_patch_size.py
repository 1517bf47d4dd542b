"""The answer: mean test Dice against patch size by network and norm."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.observations import Evidence, is_baseline
from context_fbr.analysis.result_files import sizes
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.core.patch_size import Edges, PatchSize
from context_fbr.figures.norms import NO_NORMS, compared, norm_style
from context_fbr.figures.style import (
    GREY,
    SIZE_LABEL,
    dice_limits,
    drawing,
    family,
    label_lines,
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
    known = lines["patch_size"].where(~lines["model"].map(is_baseline))
    lines["patch_size"] = sizes(known, nullable=True)
    seeds = evidence.cells.groupby(CELL_COLUMNS, sort=False)["dsc"].mean()
    dots = seeds.rename("dice").reset_index()
    known = evidence.converged or {}
    keys = dots[CELL_COLUMNS].itertuples(index=False, name=None)
    dots["converged"] = pd.array([known.get(key) for key in keys], dtype="boolean")
    return lines, dots


def dice_by_patch_size(
    means: pd.DataFrame, seeds: pd.DataFrame, norms: Mapping[str, str] = NO_NORMS, title: str = ""
) -> bytes:
    """Draw a row for each task, and a panel for each network with its variants, such as another norm.

    Single seeds are the marks, joined at their mean; baselines are level lines. Intervals belong to
    differences, see metrics/TASK/differences.csv.

    Args:
        means: columns task, model, patch_size, dice; a baseline's patch size is missing.
        seeds: columns task, model, patch_size, seed, dice, converged; a cell that has not converged is
            crossed out, one of which that is not known (missing) is not.
        norms: as of `norms_of`; they decide marks and dashes.
        title: the finding that the figure shows.
    """
    tasks = list(means["task"].unique())
    networks = means[~means["model"].map(is_baseline)]
    families = list(dict.fromkeys(family(model) for model in networks["model"]))
    places = {size: place for place, size in enumerate(sorted(networks["patch_size"].unique()))}
    with drawing():
        figure, axes = subplots(
            len(tasks),
            len(families),
            figsize=(0.9 + 3.5 * len(families), 0.9 + 3.2 * len(tasks)),
            sharey=True,
            squeeze=False,
        )
        axes[0][0].set_ylim(*dice_limits(pd.concat([means["dice"], seeds["dice"]])))
        for row, task in zip(axes, tasks, strict=True):
            for axis, name in zip(row, families, strict=True):
                of_task = networks[(networks["task"] == task) & (networks["model"].map(family) == name)]
                if of_task.empty:
                    axis.set_axis_off()
                    continue
                axis.set_xlim(-0.35, len(places) + 0.75)  # lines are named on their right
                level = means[(means["task"] == task) & means["model"].map(is_baseline)]
                for row_of_level in level.itertuples():
                    axis.axhline(
                        row_of_level.dice,
                        color=GREY,
                        linestyle=BASELINE_LINES[row_of_level.model],
                        linewidth=1,
                    )
                labels = _panel(axis, of_task, seeds[seeds["task"] == task], places, norms)
                if name == families[0]:
                    labels |= {name_of(r.model): (r.dice, GREY) for r in level.itertuples()}
                label_lines(axis, labels, len(places) - 1 + 0.12)
                axis.set_title(name_of(name) if len(tasks) == 1 else f"{task}, {name_of(name)}", fontsize=11)
            row[0].set_ylabel("mean test Dice")
        for axis in axes[-1]:
            cubes = len(families) < 3 and not any(isinstance(size, Edges) for size in places)
            axis.set_xlabel(SIZE_LABEL if cubes else "patch size (voxels)")
        crossed = seeds["converged"].eq(False) & (seeds["model"].isin(norms) | (not norms))
        if crossed.any():
            figure.text(0.995, 0.005, "x: one seed, not converged", ha="right", fontsize=8, color=GREY)
        figure.suptitle(title, fontsize=11)
        figure.tight_layout()
        return png(figure)


def _panel(
    axis: Axes,
    means: pd.DataFrame,
    seeds: pd.DataFrame,
    places: Mapping[PatchSize, int],
    norms: Mapping[str, str],
) -> dict[str, tuple[float, str]]:
    """Draw the variants of a network: seeds, and a line through their means.

    Where norms are exchanged only they are drawn: other variants have tables.

    Returns:
        Value at the right end of each line and its colour, by the line's name.
    """
    labels: dict[str, tuple[float, str]] = {}
    models = list(means["model"].unique())
    for model in compared(models, norms):
        style = norm_style(model, norms)
        own = means[means["model"] == model].sort_values("patch_size")
        line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.3}
        axis.plot(own["patch_size"].map(places), own["dice"], **line, alpha=0.8)
        trained = seeds[seeds["model"] == model]
        x = trained["patch_size"].map(places)
        face = style.get("markerfacecolor", style["color"])
        marks = {"s": 28, "marker": style["marker"], "facecolors": face, "edgecolors": style["color"]}
        axis.scatter(x, trained["dice"], **marks, linewidths=1.2, zorder=3)
        failed = trained["converged"].eq(False).fillna(False)
        axis.scatter(x[failed], trained["dice"][failed], s=46, marker="x", color=GREY, zorder=4)
        labels[_label(model, norms)] = float(own["dice"].iloc[-1]), style["color"]
    axis.set_xticks(range(len(places)), [str(size) for size in places])
    return labels if len(models) > 1 or models[0] in norms else {}


def _label(model: str, norms: Mapping[str, str]) -> str:
    """Return the name of a variant within the panel of its network."""
    name = name_of(model).removeprefix(f"{name_of(family(model))}, ")
    if model != family(model):
        return name
    return f"{norms[model]},\nas published" if model in norms else name
