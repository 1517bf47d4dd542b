"""The loss of a training step, after a softmax over the classes."""

from collections.abc import Callable
from typing import Literal

import torch
from monai.losses import DiceLoss
from torch.nn.functional import cross_entropy

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
SMOOTH = 1e-5
"""MONAI's own, added to numerator and denominator of a Dice: a class that is absent and not found has 1."""


def loss(kind: Literal["dice", "dice_ce"], over: Literal["patch", "batch"], copies: int = 1) -> Loss:
    """Return the loss of a batch: a function of outputs and labels, with a scalar as its value.

    It takes the network's outputs (batch, classes, x, y, z) float32, before the softmax, and labels
    (batch, 1, x, y, z) uint8, the number of a class each.

    Args:
        kind: `dice`, 1 - Dice, mean over the classes; `dice_ce` adds the mean cross-entropy of a voxel.
        over: `patch`, the mean of the patches' Dice, as published; `batch`, the Dice of all voxels together.
        copies: number of equal patches that each patch of the batch represents.
    """
    pooled = over == "batch"
    smooth = SMOOTH / copies if pooled else SMOOTH  # sums over copies are so many times larger
    dice = DiceLoss(softmax=True, batch=pooled, smooth_nr=smooth, smooth_dr=smooth)

    def value(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = dice(outputs, _one_hot(labels, outputs))
        return total + cross_entropy(outputs, labels[:, 0].long()) if kind == "dice_ce" else total

    return value


def _one_hot(labels: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return labels (batch, 1, x, y, z) in the form and type of outputs (batch, classes, x, y, z).

    DiceLoss computes the same with `to_onehot_y`; with this, its forward and backward take half of the time.
    """
    classes = outputs.shape[1]
    own = [1 - labels, labels] if classes == 2 else [labels == number for number in range(classes)]
    return torch.cat(own, dim=1).to(outputs.dtype)
