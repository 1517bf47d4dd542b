"""Choice of a few out of many."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly(items: Sequence[Item], number: int) -> list[Item]:
    """Return so many items, evenly from first to last; all, if there are no more."""
    if len(items) <= number:
        return list(items)
    return [items[(2 * place + 1) * len(items) // (2 * number)] for place in range(number)]
