"""Parser of the output of a cell: lines of the training and of DVC."""

import re
from dataclasses import dataclass

from context_fbr.config.cell import Cell

SKIPPED = re.compile(r"^Stage '([^']+)' (?:is cached - skipping run|didn't change, skipping)", re.MULTILINE)


@dataclass(frozen=True)
class Progress:
    """Progress of a training."""

    epoch: int
    """The last that was validated."""
    epochs: int
    dice: float
    """Dice of its validation."""


def progress(text: str, key: str) -> Progress | None:
    """Return the last validation of the cell `key` in a text, one line or the end of a log.

    None if there is none. A line without its beginning does not count: it could be of another cell.
    """
    line = rf"^{re.escape(key)}: epoch (\d+)/(\d+), .*?validation Dice (\d\.\d+|nan)"
    found = re.findall(line, text, re.MULTILINE)
    if not found:
        return None
    epoch, epochs, dice = found[-1]
    return Progress(int(epoch), int(epochs), float(dice))


def is_cached(text: str, cell: Cell) -> bool:
    """Return true if DVC had the results of both stages of a cell, so that nothing ran."""
    return {cell.stage("train"), cell.stage("evaluate")} <= set(SKIPPED.findall(text))
