"""The study's figures: data frames in, PNG bytes out; the same frame gives the same bytes."""

from io import BytesIO
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; markers and dashes tell lines apart in grey too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1)), (0, (5, 1)))
NAMES = {"unet": "UNet", "attention_unet": "Attention-UNet", "unetr": "UNETR"}
GREY = "#555555"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def dice_by_patch_size(cells: pd.DataFrame, baselines: dict[str, dict[str, float]]) -> bytes:
    """Mean test Dice against patch size, a line for each network.

    Dots are seeds, hollow where the cell has not converged; the intensity threshold is a dotted line.
    """
    tasks = list(cells["task"].unique())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(tasks), figsize=(1.8 + 5.2 * len(tasks), 4.2), squeeze=False)
        for axis, task in zip(axes[0], tasks, strict=True):
            rows = cells[cells["task"] == task]
            _dice_panel(axis, rows)
            threshold = baselines[task]["threshold_dsc"]
            axis.axhline(threshold, color=GREY, linestyle=":", label="intensity threshold (no network)")
            axis.set(title=task, xlabel="patch size (voxels, edge of the cube)", ylabel="mean test Dice")
            axis.set_ylim(0, 1.03)
        axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.01, 1))
        return _png(figure)


def _dice_panel(axis: Axes, rows: pd.DataFrame) -> None:
    sizes = sorted(rows["patch_size"].unique())
    places = {size: place for place, size in enumerate(sizes)}
    models = list(rows["model"].unique())
    for number, model in enumerate(models):
        own = rows[rows["model"] == model]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        shift = 0.08 * (number - (len(models) - 1) / 2)
        mean = own.groupby("patch_size")["dice"].mean()
        axis.plot(
            [places[size] + shift for size in mean.index],
            mean.to_numpy(),
            color=colour,
            linestyle=DASHES[number % len(DASHES)],
            marker=marker,
            label=NAMES.get(model, model),
        )
        for converged, fill in ((True, colour), (False, "white")):
            some = own[own["converged"] == converged]
            axis.scatter(
                [places[size] + shift for size in some["patch_size"]],
                some["dice"],
                s=16,
                marker=marker,
                facecolors=fill,
                edgecolors=colour,
                linewidths=0.9,
                alpha=0.8,
                zorder=3,
            )
    axis.scatter([], [], s=16, facecolors=GREY, edgecolors=GREY, label="one seed")
    if not rows["converged"].all():
        axis.scatter([], [], s=16, facecolors="white", edgecolors=GREY, label="one seed, not converged")
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])


def learning_curves(history: pd.DataFrame) -> bytes:
    """Validation Dice and training loss by epoch; a row for each task and network, a column for each size."""
    rows = list(history[["task", "model"]].drop_duplicates().itertuples(index=False))
    sizes = sorted(history["patch_size"].unique())
    seeds = list(history["seed"].unique())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
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
                for number, seed in enumerate(seeds):
                    own = cell[cell["seed"] == seed]
                    validated = own.dropna(subset=["validation_dice"])
                    colour = COLOURS[number % len(COLOURS)]
                    axis.plot(own["epoch"], own["loss"], color=colour, linestyle=":", linewidth=1)
                    axis.plot(
                        validated["epoch"],
                        validated["validation_dice"],
                        color=colour,
                        marker=".",
                        label=f"seed {seed}",
                    )
                axis.set_ylim(0, 1.03)
                axis.set_title(f"{task}, {NAMES.get(model, model)}, {size}", fontsize=9)
        for axis in axes[-1]:
            axis.set_xlabel("epoch")
        axes[0][-1].plot([], [], color=GREY, marker=".", label="validation Dice")
        axes[0][-1].plot([], [], color=GREY, linestyle=":", label="training loss")
        axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.tight_layout()
        return _png(figure)


def ratio_histogram(ratios: pd.DataFrame, bins: int = 40) -> pd.DataFrame:
    """Share of the training patches by foreground ratio, for each task and patch size, seeds pooled.

    Networks draw the same patches, so one network's are counted.
    """
    first = ratios.groupby("task", sort=False)["model"].transform("first")
    own = ratios[ratios["model"] == first]
    edges = np.linspace(0, 1, bins + 1)
    frames = []
    for (task, size), rows in own.groupby(["task", "patch_size"], sort=False):
        counts, _ = np.histogram(rows["foreground_ratio"], bins=edges)
        share = counts / counts.sum()
        frames.append(
            pd.DataFrame(
                {
                    "task": task,
                    "patch_size": size,
                    "ratio_from": edges[:-1],
                    "ratio_to": edges[1:],
                    "share": share,
                }
            )
        )
    return pd.concat(frames, ignore_index=True).round(6)


def foreground_ratio_by_patch_size(histogram: pd.DataFrame, scores: pd.DataFrame) -> bytes:
    """Distribution of the training patches' foreground ratio, a panel for each task and patch size.

    The ticks under it are the test volumes.
    """
    panels = list(histogram[["task", "patch_size"]].drop_duplicates().itertuples(index=False))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(panels), 1, figsize=(7.5, 0.9 + 1.25 * len(panels)), sharex=True, squeeze=False
        )
        for axis, (task, size) in zip(axes[:, 0], panels, strict=True):
            rows = histogram.query("task == @task and patch_size == @size")
            test = scores[scores["task"] == task].drop_duplicates("filename")["fg_ratio"]
            axis.stairs(
                rows["share"],
                [*rows["ratio_from"], 1.0],
                fill=True,
                color=COLOURS[0],
                alpha=0.6,
                label="training patches",
            )
            axis.plot(
                test,
                np.zeros(len(test)),
                "|",
                color="black",
                markersize=9,
                clip_on=False,
                zorder=3,
                label="test volumes",
            )
            axis.set_ylim(0, 1.15 * rows["share"].max())
            axis.set_ylabel(f"{task}\n{size} voxels\nshare")
        axes[-1, 0].set_xlabel("foreground ratio (foreground voxels / all voxels)")
        axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        figure.align_ylabels()
        figure.tight_layout()
        return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
