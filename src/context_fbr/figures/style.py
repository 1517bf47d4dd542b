"""What all figures share: colours that the colour-blind tell apart, markers that grey print tells apart."""

import math
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; markers and dashes tell lines apart in grey too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (3, 1, 1, 1)), (0, (5, 1)))
GREY = "#555555"
RATIO_LABEL = "foreground ratio (foreground voxels / all voxels)"
SIZE_LABEL = "patch size (voxels, edge of the cube)"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def look(models: Sequence[str], model: str) -> dict[str, Any]:
    """Colour, marker and dashes of a network, by its place among all."""
    number = list(models).index(model)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def dice_limits(values: Iterable[float]) -> tuple[float, float]:
    """Limits of a Dice axis: up to just over 1, down to the tenth under the smallest defined value."""
    lowest = min((value for value in values if value == value), default=0.0)
    floor = math.floor(10 * lowest) / 10
    return floor - 0.03 * (1 - floor), 1 + 0.03 * (1 - floor)


def png(figure: Figure) -> bytes:
    """The figure as PNG, without date and version, and closed."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
