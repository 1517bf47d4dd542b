"""Mean test Dice against the window of inference, a line for each patch size of the training."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.analysis.tables.windows import VOLUME, name_windows
from context_fbr.figures.style import COLOURS, DASHES, GREY, MARKERS, dice_limits, drawing, png, subplots

ACROSS = 3  # panels side by side


def windows(scores: pd.DataFrame) -> bytes:
    """A panel for each task and network: means over seeds as lines, single seeds as small marks.

    Args:
        scores: as `Results.windows`.
    """
    named = pd.concat([name_windows(rows) for _, rows in scores.groupby(CELL_COLUMNS[:3], sort=False)])
    means = named.groupby([*CELL_COLUMNS, "window"], sort=False)["dsc"].mean().rename("dice").reset_index()
    several = means.groupby(["task", "model"])["window"].transform("nunique") > 1
    means = means[several] if several.any() else means  # one point says nothing about windows
    panels = list(means[["task", "model"]].drop_duplicates().itertuples(index=False))
    sizes = sorted(means["patch_size"].unique())
    edges = sorted(set(means["window"]) - {VOLUME}, key=int) + [VOLUME] * (VOLUME in set(means["window"]))
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    with drawing():
        figure, axes = subplots(
            down, across, figsize=(1.6 + 3.3 * across, 0.7 + 2.7 * down), sharey=True, squeeze=False
        )
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis, (task, model) in zip(axes.flat, panels, strict=False):
            _panel(axis, means[(means["task"] == task) & (means["model"] == model)], sizes, edges)
            title = f"{task}, {name_of(model)}" if means["task"].nunique() > 1 else name_of(model)
            axis.set_title(title, fontsize=9)
        axes.flat[0].set_ylim(*dice_limits(means["dice"]))
        for place, axis in enumerate(axes.flat[: len(panels)]):
            if place % across == 0:
                axis.set_ylabel("mean test Dice")
            if place + across >= len(panels):
                axis.set_xlabel("inference window (voxels)")
        legend = axes[0][-1]
        for number, size in enumerate(sizes):
            legend.plot([], [], **_style(number), label=f"trained with patch {size}")
        legend.scatter([], [], s=10, color=GREY, label="one seed")
        legend.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.tight_layout()
        return png(figure)


def _style(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of the n-th patch size (from 0)."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
        "markersize": 5,
    }


def _panel(axis: Axes, means: pd.DataFrame, sizes: Sequence[int], edges: Sequence[str]) -> None:
    """Draw the lines of a network, the patch sizes a little apart."""
    places = {edge: place for place, edge in enumerate(edges)}
    for number, size in enumerate(sizes):
        own = means[means["patch_size"] == size]
        shift = 0.1 * (number - (len(sizes) - 1) / 2)
        line = own.groupby("window")["dice"].mean()
        line = line[[edge for edge in edges if edge in line.index]]
        style = _style(number)
        axis.plot([places[edge] + shift for edge in line.index], line, **style)
        x = own["window"].map(places) + shift + 0.06
        axis.scatter(x, own["dice"], s=9, color=style["color"], alpha=0.7, zorder=3, linewidths=0)
    axis.set_xlim(-0.5, len(edges) - 0.5)
    axis.set_xticks(range(len(edges)), list(edges))
