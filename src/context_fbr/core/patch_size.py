"""Sizes of patches and windows in voxels: the edge of a cube, or three edges where slices are thick.

A cube is a plain int, in keys and in tables too. Other sizes are `Edges`, written as `32x32x16` (x, y, z).
"""

import math
import re
from dataclasses import dataclass
from functools import total_ordering

THREE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
EXPECTED = "a whole number from 1 on, or three edges, not all equal, such as 32x32x16"
"""Text of messages: what a size is."""


@total_ordering
@dataclass(frozen=True)
class Edges:
    """Edges of a box in voxels, towards right, anterior and superior; not all are equal.

    Boxes and cubes are ordered by their number of voxels.
    """

    x: int
    y: int
    z: int

    def __str__(self) -> str:
        return f"{self.x}x{self.y}x{self.z}"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Edges) and not hasattr(other, "__index__"):
            return NotImplemented
        size: PatchSize = other if isinstance(other, Edges) else int(other)
        return (voxels(self), *edges_of(self)) < (voxels(size), *edges_of(size))


PatchSize = int | Edges
"""A cube by its edge, or three edges."""


def parse(text: object) -> PatchSize:
    """Read a size: 32, "32" or "32x32x16".

    Raises:
        ValueError: for anything else, such as 0, 032, or a cube with three edges.
    """
    if isinstance(text, str) and (found := THREE.fullmatch(text)):
        x, y, z = map(int, found.groups())
        if x == y == z:
            raise ValueError(f"{text!r} is a cube: write {x}")
        return Edges(x, y, z)
    if isinstance(text, str) and re.fullmatch(r"[1-9][0-9]*", text):
        return int(text)
    if isinstance(text, int) and not isinstance(text, bool) and text >= 1:
        return text
    raise ValueError(f"is {text!r}, but should be {EXPECTED}")


def plain(value: object) -> PatchSize:
    """Return a size of a table without the number types of NumPy and pandas."""
    return value if isinstance(value, Edges) else int(value)  # type: ignore[call-overload]


def written(size: "PatchSize | str") -> int | str:
    """Return a size as tables and JSON have it: a number, or three edges as text."""
    return str(size) if isinstance(size, Edges) else size


def edges_of(size: PatchSize) -> tuple[int, int, int]:
    """Return the edges (x, y, z) in voxels."""
    return (size.x, size.y, size.z) if isinstance(size, Edges) else (size, size, size)


def voxels(size: PatchSize) -> int:
    """Return the number of voxels."""
    return math.prod(edges_of(size))


def mean_edge(size: PatchSize) -> float:
    """Return the edge in voxels of the cube with as many voxels."""
    return math.cbrt(voxels(size)) if isinstance(size, Edges) else float(size)
