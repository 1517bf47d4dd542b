"""Numbers of the report, each with the place in a file of results that it repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "-"
"""Text of a number that is not defined."""


@dataclass(frozen=True)
class Number:
    """A number as the report shows it."""

    file: str
    """Path in the project."""
    place: tuple[str, ...]
    """Keys that lead to it, as of `lookup`."""
    style: str
    """Format of its text, as `+.3f`."""
    value: float | None

    @property
    def text(self) -> str:
        """The number in its format."""
        return MISSING if self.value is None else format(self.value, self.style)


@dataclass(frozen=True)
class Interval:
    """An estimate with its limits, if it has any."""

    estimate: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class Source:
    """A file of results, read."""

    file: str
    tree: Any

    def number(self, *place: str, style: str = ".3f") -> Number:
        """Return the number at a place; errors as in `lookup`."""
        return Number(self.file, place, style, lookup(self.tree, place))

    def interval(self, *place: str, names: Sequence[str], style: str = ".3f") -> Interval | None:
        """Return the numbers of three names below a place; None without an estimate; errors: see `lookup`."""
        estimate, low, high = (self.number(*place, name, style=style) for name in names)
        return None if estimate.value is None else Interval(estimate, low, high)


def lookup(tree: Any, place: Sequence[str]) -> float | None:
    """Return the number at a place of a JSON tree; an entry of a list is named by its `id` or `name`.

    Raises:
        KeyError: if there is no such place.
        ValueError: if it holds something else.
    """
    for key in place:
        if isinstance(tree, list):
            tree = {entry.get("id", entry.get("name")): entry for entry in tree}
        if not isinstance(tree, Mapping) or key not in tree:
            raise KeyError("/".join(place))
        tree = tree[key]
    if tree is not None and (isinstance(tree, bool) or not isinstance(tree, int | float)):
        raise ValueError(f"{'/'.join(place)}: is {tree!r}, expected a number")
    return tree
