"""Style of all figures: colours for the colour-blind, and markers that differ in grey print."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from types import MappingProxyType
from typing import Any
from zlib import crc32

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

# Okabe and Ito's colours, for the colour-blind; markers and dashes differ in grey too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (3, 1, 1, 1)), (0, (5, 1)))
KNOWN = ("unet", "attention_unet", "unetr")
"""Networks with the first colours, markers and dashes."""
GREY = "#555555"
SEED_GREYS = ("#111111", "#777777", "#AAAAAA")
"""Styles of seeds: the colours belong to the networks."""
RATIO_LABEL = "foreground ratio (foreground voxels / all voxels)"
LINE_SHARE = 0.055
"""Height of a line of small text as a share of a panel of three inches."""
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


@contextmanager
def drawing(extra: Mapping[str, Any] = MappingProxyType({})) -> Iterator[None]:
    """Draw with this project's settings alone, whatever the user's matplotlibrc and backend are."""
    backend = {"backend", "backend_fallback", "interactive", "toolbar"}
    settings: dict[Any, Any] = {n: value for n, value in mpl.rcParamsDefault.items() if n not in backend}
    settings.update(STYLE)
    settings.update(extra)
    with mpl.rc_context(settings):
        yield


def subplots(rows: int = 1, columns: int = 1, *, figsize: tuple[float, float], **options: Any) -> Any:
    """Return a figure and its axes, as `pyplot.subplots` does, without pyplot's global state."""
    figure = Figure(figsize=figsize)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def family(model: str) -> str:
    """Return the network that a model is a variant of, as unet of unet_instance; else the model itself."""
    known = [name for name in KNOWN if model == name or model.startswith(f"{name}_")]
    return max(known, key=len, default=model)


def line_style(model: str) -> dict[str, Any]:
    """Return colour, marker and dashes of a network: the same in every figure of every study.

    A variant of a published network has its colour, another, hollow marker and other dashes.
    """
    network = family(model)
    number = crc32(model.encode())
    if model in KNOWN:
        place = KNOWN.index(model)
        return {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": DASHES[place]}
    dashes, marker = DASHES[number // 61 % len(DASHES)], MARKERS[number // 7 % len(MARKERS)]
    if network in KNOWN:
        place = KNOWN.index(network)
        others = [other for other in MARKERS if other != MARKERS[place]]
        marker = others[crc32(model.removeprefix(network).encode()) // 13 % len(others)]
        return {"color": COLOURS[place], "marker": marker, "linestyle": dashes, "markerfacecolor": "white"}
    first = len(KNOWN)
    return {"color": COLOURS[first + number % (len(COLOURS) - first)], "marker": marker, "linestyle": dashes}


def seed_style(number: int) -> dict[str, Any]:
    """Return grey and dashes of the n-th seed (from 0)."""
    return {"color": SEED_GREYS[number % len(SEED_GREYS)], "linestyle": DASHES[number % 3]}


def dice_limits(values: Iterable[float]) -> tuple[float, float]:
    """Limits of a Dice axis: up to just over 1, down to the tenth under the smallest defined value."""
    lowest = min((value for value in values if value == value), default=0.0)
    floor = math.floor(10 * lowest) / 10
    return floor - 0.03 * (1 - floor), 1 + 0.03 * (1 - floor)


def label_lines(axis: Axes, ends: Mapping[str, tuple[float, str]], x: float) -> None:
    """Write the name of each line at its right end, without overlaps and not below the axis.

    Args:
        axis: with its final limits of y.
        ends: value of y and colour by name.
        x: of all names.
    """
    low, high = axis.get_ylim()
    names = sorted(ends, key=lambda name: -ends[name][0])
    halves = [(high - low) * LINE_SHARE * (1 + name.count("\n")) / 2 for name in names]
    middles: list[float] = []
    free = math.inf
    for name, half in zip(names, halves, strict=True):
        middles.append(min(ends[name][0], free - half))
        free = middles[-1] - half
    taken = low
    for place in reversed(range(len(names))):
        middles[place] = max(middles[place], taken + halves[place])
        taken = middles[place] + halves[place]
    background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # a level line does not cross it
    for name, middle in zip(names, middles, strict=True):
        axis.text(x, middle, name, va="center", fontsize=8.5, color=ends[name][1], bbox=background)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG, without date and version."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def axis_start(ratios: pd.Series) -> float:
    """Return where a logarithmic axis of ratios starts: just below the smallest one above 0."""
    positive = ratios[ratios > 0]
    return float(positive.min()) / 1.5 if len(positive) else 1e-4


def log_ratio_axis(axis: Axes, first: float) -> None:
    """Make the x-axis logarithmic, from `first` to 1."""
    axis.set_xscale("log")
    axis.set_xlim(first, 1.0)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
