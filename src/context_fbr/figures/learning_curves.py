"""Learning curves of the cells."""

import pandas as pd
from matplotlib.axes import Axes

from context_fbr.analysis.display_names import name_of
from context_fbr.figures.style import GREY, drawing, png, seed_style, subplots

HEADER_INCHES = 0.4
"""Height of the title above the panels."""


def learning_curves(history: pd.DataFrame, title: str = "") -> bytes:
    """Draw validation Dice and training loss by epoch: rows are networks, columns patch sizes.

    Args:
        history: as `Results.history`.
        title: what the figure shows.
    """
    rows = list(history[["task", "model"]].drop_duplicates().itertuples(index=False))
    sizes = sorted(history["patch_size"].unique())
    seeds = list(history["seed"].unique())
    height = HEADER_INCHES + 0.4 + 1.7 * len(rows)
    several = history["task"].nunique() > 1
    with drawing():
        figure, axes = subplots(
            len(rows),
            len(sizes),
            figsize=(1.6 + 2.6 * len(sizes), height),
            sharey=True,
            sharex="row",
            squeeze=False,
        )
        for line, (task, model) in zip(axes, rows, strict=True):
            own = history[(history["task"] == task) & (history["model"] == model)]
            shown = []
            for axis, size in zip(line, sizes, strict=True):
                cells = own[own["patch_size"] == size]
                if cells.empty:
                    axis.set_axis_off()
                    continue
                shown.append(axis)
                for number, seed in enumerate(seeds):
                    _cell(axis, cells[cells["seed"] == seed], number)
                axis.set_ylim(0, 1.03)
            name = f"{task}, {name_of(model)}" if several else name_of(model)
            shown[0].annotate(name, (0, 1.05), xycoords="axes fraction", fontsize=9, weight="bold")
            shown[0].set_ylabel("Dice; loss")
            shown[0].tick_params(labelleft=True)
        for axis, size in zip(axes[0], sizes, strict=True):
            axis.set_title(f"patch {size}", fontsize=10, pad=20)
        for axis in axes[-1]:
            axis.set_xlabel("epoch")
        axes[0][-1].plot([], [], color=GREY, marker=".", label="validation Dice")
        axes[0][-1].plot([], [], color=GREY, linestyle=":", label="training loss")
        for number, seed in enumerate(seeds):
            axes[0][-1].plot([], [], **seed_style(number), marker=".", label=f"seed {seed}")
        axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.suptitle(title, fontsize=11, y=1 - 0.1 / height)
        figure.tight_layout(rect=(0, 0, 1, 1 - (HEADER_INCHES - 0.2) / height))
        return png(figure)


def _cell(axis: Axes, history: pd.DataFrame, number: int) -> None:
    """Draw both curves of the n-th seed (from 0)."""
    style = seed_style(number)
    axis.plot(history["epoch"], history["loss"], color=style["color"], linestyle=":", linewidth=1)
    validated = history.dropna(subset=["validation_dice"])
    axis.plot(validated["epoch"], validated["validation_dice"], **style, marker=".")
