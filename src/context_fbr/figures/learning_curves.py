"""Learning curves of the cells."""

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.figures.style import GREY, drawing, png, seed_style, subplots


def learning_curves(history: pd.DataFrame) -> bytes:
    """Validation Dice and training loss by epoch; a row for each task and network, a column for each size."""
    rows = list(history[["task", "model"]].drop_duplicates().itertuples(index=False))
    sizes = sorted(history["patch_size"].unique())
    seeds = list(history["seed"].unique())
    with drawing():
        figure, axes = subplots(
            len(rows),
            len(sizes),
            figsize=(1.6 + 2.6 * len(sizes), 0.6 + 2.0 * len(rows)),
            sharey=True,
            sharex="row",
            squeeze=False,
        )
        for line, (task, model) in zip(axes, rows, strict=True):
            for axis, size in zip(line, sizes, strict=True):
                cell = history.query("task == @task and model == @model and patch_size == @size")
                if cell.empty:
                    axis.set_axis_off()
                    continue
                for number, seed in enumerate(seeds):
                    own = cell[cell["seed"] == seed]
                    validated = own.dropna(subset=["validation_dice"])
                    style = seed_style(number)
                    axis.plot(own["epoch"], own["loss"], color=style["color"], linestyle=":", linewidth=1)
                    axis.plot(
                        validated["epoch"],
                        validated["validation_dice"],
                        **style,
                        marker=".",
                        label=f"seed {seed}",
                    )
                axis.set_ylim(0, 1.03)
                axis.set_title(f"{task}, {name_of(model)}, {size}", fontsize=7)
        for axis in axes[-1]:
            axis.set_xlabel("epoch")
        for axis in axes[:, 0]:
            axis.set_ylabel("Dice; loss")
        axes[0][-1].plot([], [], color=GREY, marker=".", label="validation Dice")
        axes[0][-1].plot([], [], color=GREY, linestyle=":", label="training loss")
        axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.tight_layout()
        return png(figure)
