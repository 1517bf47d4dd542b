"""What a run's curves are made of: a row a training step, the epoch's numbers in the row of its last step."""

import csv
import math
from collections.abc import Iterator
from itertools import groupby

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import Training
from context_fbr.training.history import Epoch

Row = dict[str, float | int]


def rows(epoch: Epoch, batch: int, best: Epoch | None) -> list[tuple[int, Row]]:
    """(step, row) of each step of an epoch; steps are counted from 1 over all epochs.

    Args:
        epoch: that has ended.
        batch: patches in a step; the last one of an epoch may have fewer.
        best: the epoch of the best validation so far.
    """
    ratios = [ratio for _, ratio in epoch.foreground_ratios]
    parts = [ratios[start : start + batch] for start in range(0, len(ratios), batch)]
    first = (epoch.number - 1) * len(parts) + 1
    found: list[tuple[int, Row]] = []
    for index, part in enumerate(parts):
        row: Row = {"epoch": epoch.number, "train/foreground_ratio": math.fsum(part) / len(part)}
        if epoch.step_losses:
            row["train/loss"] = epoch.step_losses[index]
        found.append((first + index, row))
    if found:
        last = found[-1][1]
        last["train/epoch_loss"], last["train/learning_rate"] = epoch.loss, epoch.learning_rate
        if epoch.validation_dice is not None:
            last["validation/dice"] = epoch.validation_dice
        if best is not None and best.validation_dice is not None:
            last["validation/best_dice"], last["validation/best_epoch"] = best.validation_dice, best.number
    return found


def batch_of(document: Document) -> int:
    """Patches in a training step."""
    settings = document.section(("train",), Training)
    return settings.batch_volumes * settings.patches_per_volume


def better(best: Epoch | None, epoch: Epoch) -> Epoch | None:
    """The better of two, as the training chooses it: the first one of the highest validation Dice."""
    if epoch.validation_dice is None:
        return best
    if best is None or best.validation_dice is None or epoch.validation_dice > best.validation_dice:
        return epoch
    return best


def epochs_of(cell: Cell) -> Iterator[Epoch]:
    """The epochs of a finished training, from its tables; the loss of each step stands in none.

    Raises:
        OSError, ValueError, KeyError: if a table is missing or damaged.
    """
    with cell.foreground_ratios.open(newline="", encoding="utf-8") as file:
        patches = {
            int(number): tuple((row["case"], float(row["foreground_ratio"])) for row in group)
            for number, group in groupby(csv.DictReader(file), key=lambda row: row["epoch"])
        }
    with cell.history.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            dice = row["validation_dice"]
            yield Epoch(
                number=int(row["epoch"]),
                learning_rate=float(row["learning_rate"]),
                loss=float(row["loss"]),
                step_losses=(),
                validation_dice=float(dice) if dice else None,
                foreground_ratios=patches[int(row["epoch"])],
                skipped_steps=0,
                weights=None,
            )
