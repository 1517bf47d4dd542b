"""Mean test Dice against the window of inference, a line for each patch size of the training."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.results import CELL_COLUMNS, CONFIG_COLUMNS
from context_fbr.analysis.tables.windows import name_windows
from context_fbr.core.patch_size import Edges, PatchSize, parse
from context_fbr.figures.norms import NO_NORMS, compared
from context_fbr.figures.style import COLOURS, DASHES, GREY, MARKERS, dice_limits, drawing, png, subplots
from context_fbr.metrics.columns import VOLUME

ACROSS = 4
"""Panels side by side."""


def windows(scores: pd.DataFrame, norms: Mapping[str, str] = NO_NORMS, title: str = "") -> bytes:
    """Draw a panel for each task and network: means over seeds as lines, single seeds as small marks.

    Args:
        scores: as `Results.windows`.
        norms: as of `norms.norms_of`; they leave other variants to the tables.
        title: the finding that the figure shows.
    """
    named = pd.concat([name_windows(rows) for _, rows in scores.groupby(CONFIG_COLUMNS, sort=False)])
    means = named.groupby([*CELL_COLUMNS, "window"], sort=False)["dsc"].mean().rename("dice").reset_index()
    several = means.groupby(CONFIG_COLUMNS)["window"].transform("nunique") > 1
    means = means[several] if several.any() else means  # one point says nothing about windows
    means = means[means["model"].isin(compared(means["model"].unique(), norms))]
    panels = list(means[["task", "model"]].drop_duplicates().itertuples(index=False))
    sizes = sorted(means["patch_size"].unique())
    named_sizes = set(means["window"]) - {VOLUME}
    edges = sorted(named_sizes, key=parse) + [VOLUME] * (VOLUME in set(means["window"]))
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    with drawing():
        figure, axes = subplots(
            down, across, figsize=(2.4 + 2.8 * across, 0.9 + 2.7 * down), sharey=True, squeeze=False
        )
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis, (task, model) in zip(axes.flat, panels, strict=False):
            _panel(axis, means[(means["task"] == task) & (means["model"] == model)], sizes, edges)
            name = f"{task}, {name_of(model)}" if means["task"].nunique() > 1 else name_of(model)
            axis.set_title(name, fontsize=9)
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
        figure.suptitle(title, fontsize=11)
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


def _panel(axis: Axes, means: pd.DataFrame, sizes: Sequence[PatchSize], edges: Sequence[str]) -> None:
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
    boxes = any(isinstance(parse(edge), Edges) for edge in edges if edge != VOLUME)  # long names
    axis.set_xticks(range(len(edges)), list(edges), rotation=30 if boxes else 0)
