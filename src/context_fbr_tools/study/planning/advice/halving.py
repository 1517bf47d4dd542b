"""Successive halving: train all candidates a little, keep the best third, train these further.

The trainings are the first epochs of the study's own, so the survivors have lost nothing (Jamieson and
Talwalkar, AISTATS 2016). Candidates are compared by the best validation Dice so far; test cases are not used.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from context_fbr.config.cell import Cell

KEPT = 3
"""One of so many candidates is kept."""


@dataclass(frozen=True)
class Round:
    """Candidates that were trained equally long."""

    epochs: int
    dice: Mapping[Cell, float]
    """Best validation Dice so far, the best candidate first."""


def rungs(epochs: int, every: int, kept: int = KEPT) -> list[int]:
    """Return the epochs after which candidates are compared: the first validation, then `kept` times as many.

    The last is less than the whole training, which is the study's own.
    """
    found = []
    at = every
    while at < epochs:
        found.append(at)
        at *= kept
    return found or [epochs]


def halve(
    cells: Sequence[Cell],
    at: Sequence[int],
    look: Callable[[Sequence[Cell], int], Mapping[Cell, float]],
    kept: int = KEPT,
) -> list[Round]:
    """Compare the candidates round by round, and keep the best of each.

    Args:
        cells: candidates, one seed each.
        at: epochs of the rounds, ascending.
        look: trains cells up to an epoch and returns their best validation Dice so far; those that it could
            not train in time are missing, and the comparison ends there.
        kept: one of so many candidates is trained further.

    Returns:
        The complete rounds.
    """
    rounds: list[Round] = []
    left = list(cells)
    for epochs in at:
        dice = look(left, epochs)
        if any(cell not in dice for cell in left):
            return rounds
        left.sort(key=lambda cell: -dice[cell])
        rounds.append(Round(epochs, {cell: dice[cell] for cell in left}))
        left = left[: max(math.ceil(len(left) / kept), 1)]
        if len(left) == 1:
            break
    return rounds
