"""Dice and hit - false against the needed distance, a line for each patch size, with the ideal observer."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.tables.context import ALL
from context_fbr.analysis.tables.core_cells import CONTEXT
from context_fbr.core.patch_size import PatchSize, plain
from context_fbr.figures.style import COLOURS, DASHES, GREY, MARKERS, drawing, png, subplots

ROWS = (
    ("dice", "mean test Dice", 2 / 3, "2/3: both balls"),
    (CONTEXT, "right ball found\nminus wrong ball found", 0.0, "0: as often one ball as the other"),
)
"""Score, label of the axis, value at best without context, and its name."""


def context_by_distance(table: pd.DataFrame) -> bytes:
    """Draw a column for each network with the whole patch supervised.

    Vertical lines are intervals, dotted lines the ideal observer of the same windows, dashed ones what is
    reached without context.

    Args:
        table: as `context_table` returns it; without any group of distances there is one point, `all`.
    """
    shown = table[table["core"] == table["patch_size"]]
    if (shown["distance"] != ALL).any():
        shown = shown[shown["distance"] != ALL]
    networks = list(dict.fromkeys(shown["network"]))
    sizes = sorted(plain(size) for size in shown["patch_size"].unique())
    with drawing():
        figure, axes = subplots(
            2,
            len(networks),
            figsize=(1.9 + 2.6 * len(networks), 6.4),
            sharex=True,
            sharey="row",
            squeeze=False,
        )
        for place, network in enumerate(networks):
            own = shown[shown["network"] == network]
            for axis, (score, _, without, _) in zip(axes[:, place], ROWS, strict=True):
                _panel(axis, own, score, sizes)
                axis.axhline(without, color=GREY, linestyle="--", linewidth=1)
            axes[0][place].set_title(_lines(name_of(network)), fontsize=10)
            axes[1][place].set_xlabel("distance of the needed\ncontext (voxels)")
        for axis, (_, label, without, name) in zip(axes[:, 0], ROWS, strict=True):
            axis.set_ylabel(label)
            axis.annotate(
                name,
                (0.02, without),
                xycoords=("axes fraction", "data"),
                xytext=(0, -10),
                textcoords="offset points",
                fontsize=8,
                color=GREY,
            )
        axes[0][0].set_ylim(min(0.5, float(shown["dice"].min())) - 0.04, 1.03)
        axes[1][0].set_ylim(min(-0.2, float(shown[CONTEXT].min()) - 0.08), 1.05)
        for number, size in enumerate(sizes):
            axes[0][-1].plot([], [], **_style(number), label=f"patch {size}")
        axes[0][-1].plot([], [], color=GREY, linestyle=":", label="ideal observer\nof these windows")
        axes[0][-1].plot([], [], color=GREY, linestyle="--", linewidth=1, label="without context")
        axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.03, 1))
        figure.suptitle(_title(shown), y=0.99)
        figure.tight_layout()
        return png(figure)


def _title(shown: pd.DataFrame) -> str:
    """Return what the first network reaches where the context is farthest, by patch size."""
    own = shown[shown["network"] == shown["network"].iloc[0]]
    far = own[own["distance"] == own["distance"].iloc[-1]].sort_values("patch_size")
    if far["distance"].iloc[0] == ALL:
        return "Share of the right ball that is found, minus that of the wrong one"
    values = [f"{getattr(row, CONTEXT):+.2f} with patch {row.patch_size}" for row in far.itertuples()]
    place = f"{name_of(own['network'].iloc[0])}, context {far['distance'].iloc[0]} voxels away"
    score = "share of the right ball that is found,\nminus that of the wrong ball"
    return f"{place}: {score}: {', '.join(values)}"


def _lines(name: str) -> str:
    """Return a name with its variant on a line of its own."""
    return name.replace(", ", "\n", 1)


def _style(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of the n-th patch size (from 0)."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[0],
        "markersize": 4.5,
    }


def _panel(axis: Axes, rows: pd.DataFrame, score: str, sizes: Sequence[PatchSize]) -> None:
    """Draw a network's lines of one score."""
    for number, size in enumerate(sizes):
        own = rows[rows["patch_size"] == size]
        if own.empty:
            continue
        places = own["distance"].map(_middle)
        style = _style(number)
        axis.plot(places, own[score], **style, zorder=3)
        apart = places + 0.35 * (number - (len(sizes) - 1) / 2)
        axis.vlines(
            apart, own[f"{score}_low"], own[f"{score}_high"], color=style["color"], alpha=0.45, linewidth=1.2
        )
        # Observers of windows that hold all would cover each other: each a little apart.
        best = own[f"observer_{score}"] - 0.006 * number
        axis.plot(places, best, color=style["color"], linestyle=":", linewidth=1.5)


def _middle(distance: str) -> float:
    """Return the middle of a group, 7 of `6-8`."""
    if distance == ALL:
        return 0.0
    low, high = map(int, distance.split("-"))
    return (low + high) / 2
