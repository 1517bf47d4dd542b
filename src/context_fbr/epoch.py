"""What one epoch of a training came to."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended."""

    number: int
    learning_rate: float
    loss: float
    """Mean over the steps that were not skipped."""
    step_losses: tuple[float, ...]
    """Of every step."""
    validation_dice: float | None
    """Mean foreground Dice over the validation volumes, if the epoch was validated."""
    foreground_ratios: tuple[tuple[str, float], ...]
    """(case, foreground voxels / all voxels) of every patch, in the order of training."""
    skipped_steps: int
    """Whose loss or gradient was no number, under `on_bad_numbers: skip`."""
    weights: Mapping[str, torch.Tensor] | None
    """The state dict in main memory, if this epoch is the best so far."""
