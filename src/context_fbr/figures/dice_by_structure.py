"""Mean test Dice against patch size: a panel for each network, a line for each structure and the whole."""

from typing import Any

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.figures.style import (
    DASHES,
    MARKERS,
    dice_limits,
    drawing,
    label_lines,
    line_style,
    png,
    subplots,
)

MOST_IN_A_ROW = 4


def dice_by_structure(table: pd.DataFrame, cells: pd.DataFrame, title: str = "") -> bytes:
    """Draw the means of a task, with a mark for each seed.

    Args:
        table: as of `tables.structures.structure_table`, of one task.
        cells: columns model, patch_size, seed, structure, dice.
        title: the finding that the figure shows.
    """
    models, names = (list(dict.fromkeys(table[key])) for key in ("model", "structure"))
    sizes = sorted(table["patch_size"].unique())
    places = {size: place for place, size in enumerate(sizes)}
    columns = min(len(models), MOST_IN_A_ROW)
    rows = -(-len(models) // columns)
    with drawing():
        figure, axes = subplots(
            rows, columns, figsize=(0.8 + 3.0 * columns, 0.9 + 3.0 * rows), sharey=True, squeeze=False
        )
        axes[0][0].set_ylim(*dice_limits(pd.concat([table["dice_mean"], cells["dice"]])))
        for axis in axes.flat[len(models) :]:
            axis.set_axis_off()
        for model, axis in zip(models, axes.flat, strict=False):
            ends: dict[str, tuple[float, str]] = {}
            for number, name in enumerate(names):
                style = _style(model, number)
                own = table[(table["model"] == model) & (table["structure"] == name)].sort_values(
                    "patch_size"
                )
                axis.plot(own["patch_size"].map(places), own["dice_mean"], **style)
                ends[name] = float(own["dice_mean"].iloc[-1]), style["color"]
                seeds = cells[(cells["model"] == model) & (cells["structure"] == name)]
                marks = {"marker": style["marker"], "s": 16, "color": style["color"], "alpha": 0.55}
                axis.scatter(seeds["patch_size"].map(places), seeds["dice"], linewidths=0, **marks)
            label_lines(axis, ends, len(sizes) - 1 + 0.12)
            axis.set_title(name_of(model), fontsize=10)
            axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
            axis.set_xlim(-0.3, len(sizes) - 0.15)
            axis.set_xlabel("patch size (voxels)")
        for axis in axes[:, 0]:
            axis.set_ylabel("mean test Dice")
        figure.suptitle(title, fontsize=11)
        figure.tight_layout()
        return png(figure)


def _style(model: str, number: int) -> dict[str, Any]:
    """Return the colour of a network, and marker and dashes of its n-th structure (from 0)."""
    shape = {"marker": MARKERS[number % len(MARKERS)], "linestyle": DASHES[number % len(DASHES)]}
    return {"color": line_style(model)["color"], "linewidth": 1.3, "markersize": 5, **shape}
