"""Curves of a run: a row for each training step; that of an epoch's last step has the epoch's numbers."""

import math
from collections.abc import Iterator
from typing import Any

from context_fbr.analysis.result_files import FOREGROUND_RATIOS, HISTORY, read_table
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import TrainConfig
from context_fbr.core.errors import raise_problems
from context_fbr.training.history import Epoch

Row = dict[str, Any]


class Curves:
    """Rows of a training, epoch by epoch; the best validation is the first one of the highest Dice."""

    def __init__(self, document: Document, cell: Cell) -> None:
        settings = TrainConfig.read(document, cell).train
        self._batch = settings.batch_volumes * settings.patches_of(cell.patch_size)
        self._best_dice, self._best_epoch = -math.inf, 0

    def rows(self, epoch: Epoch) -> dict[int, Row]:
        """Return the rows of the next epoch by step; steps are counted from 1 over all epochs."""
        if epoch.validation_dice is not None and epoch.validation_dice > self._best_dice:
            self._best_dice, self._best_epoch = epoch.validation_dice, epoch.number
        ratios = [ratio for _, ratio in epoch.foreground_ratios]
        starts = range(0, len(ratios), self._batch)  # of the steps; the last one may have fewer patches
        first, found = (epoch.number - 1) * len(starts) + 1, dict[int, Row]()
        for number, start in enumerate(starts):
            part = ratios[start : start + self._batch]
            row = {"epoch": epoch.number, "train/foreground_ratio": math.fsum(part) / len(part)}
            if epoch.step_losses:
                row["train/loss"] = epoch.step_losses[number]
            found[first + number] = row
        if found:
            row |= {"train/epoch_loss": epoch.loss, "train/learning_rate": epoch.learning_rate}
            if epoch.validation_dice is not None:
                row["validation/dice"] = epoch.validation_dice
            if self._best_epoch:
                row |= {"validation/best_dice": self._best_dice, "validation/best_epoch": self._best_epoch}
        return found


def epochs_of(cell: Cell) -> Iterator[Epoch]:
    """Yield the epochs of a finished training, without the losses of steps; raises UserError if damaged."""
    problems: list[str] = []
    history = read_table(cell.history, HISTORY, problems)
    patches = read_table(cell.foreground_ratios, FOREGROUND_RATIOS, problems)
    raise_problems(problems)
    for number, rate, loss, dice in history.itertuples(index=False):
        own = patches[patches["epoch"] == number]
        ratios = tuple(zip(own["case"], own["foreground_ratio"], strict=True))
        yield Epoch(number, rate, loss, (), None if math.isnan(dice) else dice, ratios, 0, None)
