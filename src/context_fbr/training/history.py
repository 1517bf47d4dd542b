"""An epoch of a training, and the tables of all epochs and of all training patches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from context_fbr.core.csv_text import csv_text

HISTORY = ("epoch", "learning_rate", "loss", "validation_dice")
FOREGROUND_RATIOS = ("epoch", "case", "foreground_ratio")


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended."""

    number: int
    learning_rate: float
    loss: float
    """Mean over the steps that were not skipped."""
    step_losses: tuple[float, ...]
    """Loss of every step."""
    validation_dice: float | None
    """Mean foreground Dice over the validation volumes, if the epoch was validated."""
    foreground_ratios: tuple[tuple[str, float], ...]
    """(case, foreground voxels / all voxels) of every patch, in the order of training."""
    skipped_steps: int
    """Steps with a loss or gradient that was not finite, under `on_nonfinite: skip`."""
    weights: Mapping[str, torch.Tensor] | None
    """The state dict in main memory, if this epoch is the best so far."""


def history_table(history: Sequence[Epoch]) -> str:
    """Return one row an epoch, as CSV text."""
    return csv_text(HISTORY, ((e.number, e.learning_rate, e.loss, e.validation_dice) for e in history))


def foreground_ratio_table(history: Sequence[Epoch]) -> str:
    """Return one row a training patch, in the order of training, as CSV text."""
    rows = ((e.number, case, ratio) for e in history for case, ratio in e.foreground_ratios)
    return csv_text(FOREGROUND_RATIOS, rows)
