"""Slices of two test volumes of twins, with a near and a far shell, and windows around the right ball."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.datasets.twins import TEST, Twins, generate
from context_fbr.figures.style import COLOURS, drawing, png, subplots

NEAR, FAR = 9, 16
"""Least distances of the examples, in voxels."""
SPAN = 3
"""Distances from there on of which the example is chosen."""
RIGHT, WRONG = "#E69F00", "#CC79A7"


@dataclass(frozen=True, eq=False)
class Slice:
    """A plane of a volume."""

    image: np.ndarray
    """(x, y)."""
    label: np.ndarray
    """(x, y): 1 in the foreground ball, 2 in the distractor."""
    centres: tuple[tuple[int, int], tuple[int, int]]
    """Centres of both balls."""
    distance: int


def examples(raw: TwinsRaw) -> list[Slice]:
    """Return a slice with a near and one with a far shell, of the test volumes as drawn.

    Of the test volumes of similar distance that one is taken whose balls are most nearly in one plane.
    """
    low, high = raw.test.distance
    starts = dict.fromkeys(min(max(start, low), high) for start in (NEAR, FAR))
    volumes = [generate(raw, TEST, index) for index in range(raw.test.count)]
    found = []
    for start in starts:
        near = [own for own in volumes if start <= own.distance < start + SPAN]
        if near:
            found.append(_slice(min(near, key=lambda own: min(_apart(own)))))
    return found


def _apart(volume: Twins) -> list[int]:
    """Return how far the balls' centres are from each other along each axis."""
    first, second = volume.centres
    return [abs(a - b) for a, b in zip(first, second, strict=True)]


def _slice(volume: Twins) -> Slice:
    """Return the plane between the centres, across the axis along which these are nearest to each other."""
    apart = _apart(volume)
    axis = apart.index(min(apart))
    place = round(sum(centre[axis] for centre in volume.centres) / 2)
    first, second = (
        (own[0], own[1]) for own in ([v for n, v in enumerate(c) if n != axis] for c in volume.centres)
    )
    image, label = (np.take(array, place, axis=axis) for array in (volume.image, volume.label))
    return Slice(image, label, (first, second), volume.distance)


def example_slices(slices: Sequence[Slice], windows: Sequence[PatchSize]) -> bytes:
    """Draw the slices side by side.

    Args:
        slices: at least one.
        windows: sizes in voxels, drawn around the right ball and moved into the volume.
    """
    with drawing({"axes.grid": False}):
        figure, axes = subplots(1, len(slices), figsize=(0.4 + 4.4 * len(slices), 4.9), squeeze=False)
        for axis, own in zip(axes[0], slices, strict=True):
            axis.imshow(own.image.T, cmap="gray", vmin=-1, vmax=1, origin="lower", interpolation="nearest")
            _label_balls(axis, own)
            for number, size in enumerate(windows):
                _window(axis, own, size, COLOURS[number % len(COLOURS)])
            axis.set_title(f"Needed context: {own.distance} voxels from a ball's centre", fontsize=10)
            axis.set_xticks([])
            axis.set_yticks([])
        figure.suptitle("Two equal balls: the one in the bright shell is foreground", y=0.99)
        figure.tight_layout()
        return png(figure)


def _label_balls(axis: Axes, own: Slice) -> None:
    """Outline both balls and name them on the side that has room."""
    edge = own.image.shape[1]
    for value, name, colour in ((1, "right ball", RIGHT), (2, "wrong ball", WRONG)):
        inside = (own.label == value).T
        if inside.any():
            axis.contour(inside, levels=[0.5], colors=[colour], linewidths=1.4)
        x, y = own.centres[value - 1]
        above = y < edge / 2
        axis.annotate(
            name,
            (x, y + (5 if above else -5)),
            ha="left" if x < edge / 4 else "right" if x > 3 * edge / 4 else "center",
            va="bottom" if above else "top",
            color=colour,
            fontsize=9,
            fontweight="bold",
            bbox={"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1.5},
        )


def _window(axis: Axes, own: Slice, size: PatchSize, colour: str) -> None:
    """Draw a window around the right ball, with its size at the corner nearest to the middle."""
    shape = own.image.shape
    width, height, _ = edges_of(size)
    starts = [
        min(max(centre - edge // 2, 0), length - edge)
        for centre, edge, length in zip(own.centres[0], (width, height), shape, strict=True)
    ]
    corner = starts[0] - 0.5, starts[1] - 0.5
    axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=1.8))
    left = own.centres[0][0] > shape[0] / 2
    low = own.centres[0][1] > shape[1] / 2
    axis.annotate(
        str(size),
        (starts[0] + (0 if left else width - 1), starts[1] + (0 if low else height - 1)),
        ha="left" if left else "right",
        va="bottom" if low else "top",
        color="white",
        fontsize=9,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
    )
