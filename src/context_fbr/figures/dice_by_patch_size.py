"""The answer: mean test Dice against patch size by network."""

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.observations import Evidence, is_baseline
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.figures.style import GREY, SIZE_LABEL, dice_limits, drawing, line_style, png, subplots

BASELINE_LINES = {"threshold": ":", "everything": (0, (1, 4))}


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


def dice_by_patch_size(means: pd.DataFrame, seeds: pd.DataFrame, confidence: float) -> bytes:
    """A line for each network with its confidence intervals, single seeds as dots, baselines as level lines.

    Args:
        means: columns task, model, patch_size, dice, low, high; a baseline's patch size is missing.
        seeds: columns task, model, patch_size, seed, dice, converged; a cell that has not converged is
            hollow, one of which that is not known (missing) is full.
        confidence: of the intervals, for the legend.
    """
    tasks = list(means["task"].unique())
    with drawing():
        figure, axes = subplots(1, len(tasks), figsize=(1.8 + 5.2 * len(tasks), 4.4), squeeze=False)
        for axis, task in zip(axes[0], tasks, strict=True):
            _panel(axis, means[means["task"] == task], seeds[seeds["task"] == task])
            axis.plot([], [], color=GREY, linewidth=2.2, label=f"{confidence:.0%} interval")
            axis.set(title=task, xlabel=SIZE_LABEL, ylabel="mean test Dice")
        axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.08, 1))
        return png(figure)


def _panel(axis: Axes, means: pd.DataFrame, seeds: pd.DataFrame) -> None:
    networks = means[~means["model"].map(is_baseline)]
    models = list(networks["model"].unique())
    places = {size: place for place, size in enumerate(sorted(networks["patch_size"].unique()))}
    for number, model in enumerate(models):
        own = networks[networks["model"] == model].sort_values("patch_size")
        shift = 0.14 * (number - (len(models) - 1) / 2)
        x = own["patch_size"].map(places) + shift
        style = line_style(model)
        axis.plot(x, own["dice"], **style, label=name_of(model))
        known = own["low"].notna()
        axis.vlines(x[known], own["low"][known], own["high"][known], color=style["color"], linewidth=2.2)
        trained = seeds[seeds["model"] == model]
        for hollow in (False, True):
            some = trained[trained["converged"].eq(False).fillna(False) == hollow]
            axis.scatter(
                some["patch_size"].map(places) + shift + 0.045,
                some["dice"],
                s=14,
                marker=style["marker"],
                facecolors="white" if hollow else style["color"],
                edgecolors=style["color"],
                linewidths=0.9,
                alpha=0.85,
                zorder=3,
            )
    for row in means[means["model"].map(is_baseline)].itertuples():
        axis.axhline(row.dice, color=GREY, linestyle=BASELINE_LINES[row.model], label=name_of(row.model))
        axis.annotate(f"{row.dice:.3f}", (1, row.dice), xycoords=("axes fraction", "data"), fontsize=8)
    axis.scatter([], [], s=14, facecolors=GREY, edgecolors=GREY, label="one seed")
    if seeds["converged"].eq(False).any():
        axis.scatter([], [], s=14, facecolors="white", edgecolors=GREY, label="one seed, not converged")
    axis.set_xlim(-0.5, len(places) - 0.5)
    axis.set_xticks(range(len(places)), [str(size) for size in places])
    shown = pd.concat([means["dice"], means["low"], seeds["dice"]])
    axis.set_ylim(*dice_limits(shown))
