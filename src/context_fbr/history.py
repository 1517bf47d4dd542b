"""What a training leaves beside its weights: a row an epoch, and a row a training patch."""

from collections.abc import Sequence

from context_fbr.epoch import Epoch
from context_fbr.tables import csv_text

HISTORY = ("epoch", "learning_rate", "loss", "validation_dice")
FOREGROUND_RATIOS = ("epoch", "case", "foreground_ratio")


def history_table(history: Sequence[Epoch]) -> str:
    """One row an epoch, as CSV text."""
    return csv_text(HISTORY, ((e.number, e.learning_rate, e.loss, e.validation_dice) for e in history))


def foreground_ratio_table(history: Sequence[Epoch]) -> str:
    """One row a training patch, in the order of training, as CSV text."""
    rows = ((e.number, case, ratio) for e in history for case, ratio in e.foreground_ratios)
    return csv_text(FOREGROUND_RATIOS, rows)
