"""Graphical abstract at the top of README, docs/abstract.svg: the question, and two answers in numbers."""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from context_fbr.config.document import Document
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.datasets import spheres
from context_fbr.figures.style import COLOURS, GREY, drawing, subplots
from context_fbr_tools.study.findings_text import read_json

FILE = Path("docs/abstract.svg")
METRICS = Path("metrics")
SIZES = (16, 32, 48)
NETWORKS = (
    ("UNet", "unet", "unet_instance"),
    ("Attention-UNet", "attention_unet_batch", "attention_unet"),
    ("UNETR", "unetr_batch", "unetr"),
)
"""Name, model with batch norm, model with instance norm."""


def text() -> str:
    """Return the SVG; the same numbers give the same text."""
    with drawing({"svg.hashsalt": "abstract", "axes.grid": False}):
        figure, (question, norm, context) = subplots(1, 3, figsize=(13.0, 4.3))
        _question(question)
        _norm(norm)
        _context(context)
        figure.tight_layout(w_pad=3.5)
        buffer = io.StringIO()
        with mpl.rc_context({"svg.fonttype": "path"}):
            figure.savefig(
                buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
            )
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _question(axis: Axes) -> None:
    """Draw a sphere with a patch of each size around its centre, and the foreground ratio of each."""
    raw = Document.read().section(("tasks", "spheres", "raw"), SpheresRaw)
    made = [spheres.generate(raw, spheres.TRAINING, number) for number in range(raw.training.count)]
    centres = [np.argwhere(label).mean(axis=0).round().astype(int) for _, label in made]
    nearest = min(range(len(made)), key=lambda i: float(np.abs(centres[i] - raw.edge / 2).sum()))
    (image, label), centre = made[nearest], centres[nearest]
    axis.imshow(image[:, :, centre[2]].T, cmap="gray", origin="lower", interpolation="nearest")
    for number, size in enumerate(SIZES):
        starts = [
            int(min(max(c - size // 2, 0), edge - size)) for c, edge in zip(centre, label.shape, strict=True)
        ]
        patch = label[tuple(slice(start, start + size) for start in starts)]
        colour = COLOURS[number + 1]
        corner = starts[0] - 0.5, starts[1] - 0.5
        axis.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=colour, linewidth=3))
        words = f"patch {size}: foreground ratio {patch.mean():.2f}"
        axis.plot([], [], color=colour, linewidth=3, label=words)
    axis.set_axis_off()
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=9)
    axis.set_title("The question: a larger patch has more context\nand a lower foreground ratio", fontsize=11)


def _norm(axis: Axes) -> None:
    """Draw mean Dice at the smallest patch by network and norm."""
    tree = read_json(METRICS / "spheres/summary.json")["spheres"]
    for place, (name, batch, instance) in enumerate(NETWORKS):
        values = [float(tree[model][str(SIZES[0])]["dice_mean"]) for model in (batch, instance)]
        axis.plot([place, place], values, color=GREY, linewidth=1.2, zorder=1)
        axis.scatter(place, values[0], s=90, color=COLOURS[0], zorder=2)
        axis.scatter(
            place, values[1], s=90, facecolors="white", edgecolors=COLOURS[0], linewidths=2, zorder=2
        )
        for value in values:
            axis.annotate(f"{value:.2f}", (place + 0.09, value), va="center", fontsize=9)
        axis.text(place, 0.33, name, ha="center", fontsize=10)
    axis.scatter([], [], s=70, color=COLOURS[0], label="batch norm")
    axis.scatter([], [], s=70, facecolors="white", edgecolors=COLOURS[0], linewidths=2, label="instance norm")
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.12), fontsize=9)
    axis.set(xlim=(-0.45, 2.6), ylim=(0.3, 1.02), xticks=[])
    axis.set_ylabel(f"mean test Dice, spheres, patch {SIZES[0]}")
    axis.set_title("Batch norm in place of instance norm\nraises Dice in every network", fontsize=11)


def _context(axis: Axes) -> None:
    """Draw what context and ratio change where only context tells the right object (task twins)."""
    table = pd.read_csv(METRICS / "compare/context_parts.csv")
    own = table[(table["task"] == "twins") & (table["network"] == "unet") & (table["score"] == "dice")]
    found = own.set_index("part")
    small, large = (int(own[name].iloc[0]) for name in ("small", "large"))
    parts = (
        ("published", f"patch {large}\nminus {small}"),
        ("context", "context alone\n(equal voxels)"),
        ("ratio", "ratio alone\n(equal windows)"),
    )
    for place, (part, _) in enumerate(parts):
        row: Any = found.loc[part]
        colour = COLOURS[place]
        axis.bar(place, row["difference"], width=0.55, color=colour, alpha=0.85)
        axis.plot([place] * 2, [row["difference_low"], row["difference_high"]], color="black", linewidth=1.2)
        side = 1 if row["difference"] >= 0 else -1
        edge = row["difference_high"] if side > 0 else row["difference_low"]
        va = "bottom" if side > 0 else "top"
        axis.text(place, edge + 0.01 * side, f"{row['difference']:+.2f}", ha="center", va=va, fontsize=9.5)
    axis.axhline(0, color=GREY, linewidth=1)
    axis.set_xticks(range(len(parts)), [words for _, words in parts])
    axis.margins(y=0.15)
    axis.set_ylabel("change of mean Dice, task twins, UNet")
    axis.set_title(
        "Context and foreground ratio, apart:\nsupervise the centre of a larger window", fontsize=11
    )
