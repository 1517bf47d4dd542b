"""Dice against the patch, a line for each supervised core: context along a line, ratio from line to line."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.foreground_ranges import columns
from context_fbr.analysis.tables.core_cells import has_distractor
from context_fbr.figures.style import COLOURS, GREY, MARKERS, dice_limits, drawing, png, subplots


def tables(cells: pd.DataFrame, confidence: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Select what the figure shows: the networks that have a core smaller than the patch.

    Args:
        cells: as `core_cells` returns them.
        confidence: of the intervals.

    Returns:
        Means with limits by task, network, patch and core, and means of single seeds. `needs_context` is true
        of a task with a distractor.
    """
    keys = ["task", "network", "patch_size", "core"]
    cored = cells.loc[cells["core"] < cells["patch_size"], ["task", "network"]].drop_duplicates()
    shown = cells.merge(cored, on=["task", "network"])
    means = []
    for key, rows in shown.groupby(keys, sort=False):
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        row["needs_context"] = has_distractor(rows)
        means.append(row | columns("dice", interval([Term(1, rows)], "dsc", confidence, bounds=(0.0, 1.0))))
    names = [*keys, "needs_context", "dice", "dice_low", "dice_high"]
    seeds = shown.groupby([*keys, "seed"], sort=False)["dsc"].mean().rename("dice").reset_index()
    order = ["needs_context", "task", "network", "core", "patch_size"]
    lines = pd.DataFrame(means, columns=names)
    return lines.sort_values(order, ascending=[False, True, False, True, True], ignore_index=True), seeds


def context_and_ratio(means: pd.DataFrame, seeds: pd.DataFrame, title: str = "") -> bytes:
    """Draw a panel for each task and network, tasks that need context first.

    Args:
        means: as of `tables`; at least one row.
        seeds: as of `tables`.
        title: the finding that the figure shows.
    """
    panels = list(means[["task", "network", "needs_context"]].drop_duplicates().itertuples(index=False))
    styles = {core: place for place, core in enumerate(sorted(means["core"].unique()))}
    places = {size: place for place, size in enumerate(sorted(means["patch_size"].unique()))}
    with drawing():
        figure, axes = subplots(
            1, len(panels), figsize=(2.2 + 3.1 * len(panels), 4.0), sharey=True, squeeze=False
        )
        for axis, (task, network, needed) in zip(axes[0], panels, strict=True):
            own, dots = (
                frame[(frame["task"] == task) & (frame["network"] == network)] for frame in (means, seeds)
            )
            _panel(axis, own, dots, styles, places)
            kind = "context is needed" if needed else "no context is needed"
            axis.set_title(f"{task}: {kind}\n{name_of(network)}", fontsize=10)
            axis.set_xlabel("patch: edge of the window (voxels)")
        axes[0][0].set_ylabel("mean test Dice")
        axes[0][0].set_ylim(*dice_limits(pd.concat([means["dice"], seeds["dice"]])))
        legend = axes[0][-1]
        for core, number in styles.items():
            legend.plot([], [], **_style(number), label=f"core {core}")
        legend.plot([], [], **DIAGONAL, label="patch = core,\nas published")
        legend.scatter([], [], s=10, color=GREY, label="one seed")
        legend.legend(loc="upper left", bbox_to_anchor=(1.03, 1), title="supervised core (voxels)")
        figure.suptitle(title, fontsize=11)
        figure.tight_layout()
        return png(figure)


DIAGONAL: Mapping[str, Any] = {
    "color": GREY, "linestyle": (0, (2, 2)), "linewidth": 1, "marker": "o", "markersize": 11,
    "markerfacecolor": "none", "zorder": 1,
}  # fmt: skip


def _style(number: int) -> dict[str, Any]:
    """Colour and marker of the n-th core (from 0)."""
    return {
        "color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 5,
    }  # fmt: skip


def _panel(
    axis: Axes,
    means: pd.DataFrame,
    seeds: pd.DataFrame,
    styles: Mapping[int, int],
    places: Mapping[int, int],
) -> None:
    for core, number in styles.items():
        own, dots = means[means["core"] == core], seeds[seeds["core"] == core]
        shift = 0.05 * (number - (len(styles) - 1) / 2)
        style = _style(number)
        axis.plot(own["patch_size"].map(places) + shift, own["dice"], **style, zorder=3)
        x = dots["patch_size"].map(places) + shift + 0.09
        axis.scatter(x, dots["dice"], s=9, color=style["color"], alpha=0.7, linewidths=0, zorder=3)
    diagonal = means[means["core"] == means["patch_size"]].sort_values("patch_size")
    shifts = diagonal["core"].map(styles).map(lambda number: 0.05 * (number - (len(styles) - 1) / 2))
    axis.plot(diagonal["patch_size"].map(places) + shifts, diagonal["dice"], **DIAGONAL)
    axis.set_xlim(-0.4, len(places) - 0.6)
    axis.set_xticks(range(len(places)), [str(size) for size in places])
