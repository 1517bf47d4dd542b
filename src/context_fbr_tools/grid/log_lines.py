"""What the output of a cell says of it: the training's lines, and DVC's."""

import re
from dataclasses import dataclass

from context_fbr.config.cell import Cell

SKIPPED = re.compile(r"^Stage '([^']+)' (?:is cached - skipping run|didn't change, skipping)", re.MULTILINE)


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    epoch: int
    """The last that was validated."""
    epochs: int
    dice: float
    """Of its validation."""


def progress(text: str, key: str) -> Progress | None:
    """The last validation that a text tells of the cell `key`, be it one line or the end of a log.

    None if it tells of none. A line whose beginning is cut off is none: it would be of another cell.
    """
    line = rf"^{re.escape(key)}: epoch (\d+)/(\d+), .*?validation Dice (\d\.\d+|nan)"
    found = re.findall(line, text, re.MULTILINE)
    if not found:
        return None
    epoch, epochs, dice = found[-1]
    return Progress(int(epoch), int(epochs), float(dice))


def is_cached(text: str, cell: Cell) -> bool:
    """Whether DVC says that it had the results of both stages of a cell, so that nothing ran."""
    return {cell.stage("train"), cell.stage("evaluate")} <= set(SKIPPED.findall(text))
