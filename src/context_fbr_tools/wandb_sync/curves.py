"""Curves of a run: a row for each training step; that of an epoch's last step has the epoch's numbers."""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import Training
from context_fbr.training.history import Epoch

Row = dict[str, Any]


def rows(epoch: Epoch, batch: int, best: Epoch | None) -> list[tuple[int, Row]]:
    """Return (step, row) of each step of an epoch; steps are counted from 1 over all epochs.

    Args:
        epoch: that has ended.
        batch: patches in a step; the last one of an epoch may have fewer.
        best: the epoch of the best validation so far.
    """
    ratios = [ratio for _, ratio in epoch.foreground_ratios]
    parts = [ratios[start : start + batch] for start in range(0, len(ratios), batch)]
    found: list[tuple[int, Row]] = []
    for step, part in enumerate(parts, start=(epoch.number - 1) * len(parts) + 1):
        row = {"epoch": epoch.number, "train/foreground_ratio": math.fsum(part) / len(part)}
        if epoch.step_losses:
            row["train/loss"] = epoch.step_losses[len(found)]
        found.append((step, row))
    if found:
        last = found[-1][1]
        last |= {"train/epoch_loss": epoch.loss, "train/learning_rate": epoch.learning_rate}
        if epoch.validation_dice is not None:
            last["validation/dice"] = epoch.validation_dice
        if best is not None:
            last |= {"validation/best_dice": best.validation_dice, "validation/best_epoch": best.number}
    return found


def batch_of(document: Document) -> int:
    """Return the patches in a training step."""
    settings = document.section(("train",), Training)
    return settings.batch_volumes * settings.patches_per_volume


def better(best: Epoch | None, epoch: Epoch) -> Epoch | None:
    """Return the better of two, as the training chooses: the first one of the highest validation Dice."""
    before = -math.inf if best is None or best.validation_dice is None else best.validation_dice
    return epoch if epoch.validation_dice is not None and epoch.validation_dice > before else best


def rows_of(cell: Cell, document: Document) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a finished training from its tables, which lack the loss of each step.

    Raises OSError, ValueError or KeyError if a table is missing or damaged.
    """
    patches: dict[str, list[tuple[str, float]]] = defaultdict(list)
    with cell.foreground_ratios.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            patches[row["epoch"]].append((row["case"], float(row["foreground_ratio"])))
    batch, best = batch_of(document), None
    with cell.history.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            dice = float(row["validation_dice"]) if row["validation_dice"] else None
            number, rate, loss = int(row["epoch"]), float(row["learning_rate"]), float(row["loss"])
            epoch = Epoch(number, rate, loss, (), dice, tuple(patches[row["epoch"]]), 0, None)
            best = better(best, epoch)
            yield from rows(epoch, batch, best)
