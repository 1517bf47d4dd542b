"""results.csv as a figure: how many times faster each part is."""

import csv
from collections.abc import Mapping
from pathlib import Path

from context_fbr.analysis.display_names import name_of
from context_fbr.figures.style import COLOURS, GREY, MARKERS, drawing, png, subplots

NETWORKS = ("unet", "attention_unet", "unetr")


def draw(path: Path) -> bytes:
    """A line for each row of the table at `path`, as PNG: median ratio, least to greatest."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with drawing():
        figure, axis = subplots(figsize=(7.0, 1.2 + 0.3 * len(rows)))
        for place, row in enumerate(rows):
            median, least, greatest = (float(row[f"ratio_{kind}"]) for kind in ("median", "min", "max"))
            number = 1 + NETWORKS.index(row["network"]) if row["network"] in NETWORKS else 0
            colour = COLOURS[number - 1] if number else GREY
            axis.hlines(place, least, greatest, color=colour, linewidth=2)
            axis.plot(median, place, color=colour, marker=MARKERS[number], linestyle="")
            axis.annotate(
                f"{median:.3g}",
                (greatest, place),
                (6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.axvline(1, color=GREY, linestyle="--", linewidth=1)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_yticks(range(len(rows)), [label(row) for row in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel("original's seconds / ours: median, least and greatest of the pairs (log axis)")
        figure.tight_layout()
        return png(figure)


def label(row: Mapping[str, str]) -> str:
    """What a row measured."""
    words = [row["part"].replace("_", " ")]
    if row["network"]:
        words.append(name_of(row["network"]))
    if row["patch_size"]:
        words.append(row["patch_size"])
    return ", ".join(words) + f" ({row['device']}, {row['precision']})"
