"""Segment and score whole volumes by MONAI's stock inference and metrics."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, decollate_batch
from monai.inferers import sliding_window_inference
from monai.metrics import DiceMetric, HausdorffDistanceMetric
from monai.transforms import AsDiscrete

from benchmarks.original import volumes
from context_fbr.config.training import SlidingWindow
from context_fbr.networks.factory import CLASSES
from context_fbr.training.batches import Protocol

PREDICTED = AsDiscrete(argmax=True, to_onehot=CLASSES)
"""Logits (2, x, y, z) to one-hot (2, x, y, z)."""
TRUE = AsDiscrete(to_onehot=CLASSES)
"""Label (1, x, y, z) to one-hot (2, x, y, z)."""
WINDOWS_PER_BATCH = 4
Row = tuple[str, float, float, float]
"""Name, Dice, Hausdorff distance in voxels, absolute difference."""


@torch.no_grad()
def logits(
    network: torch.nn.Module, images: torch.Tensor, window: int, settings: SlidingWindow
) -> torch.Tensor:
    """Logits (batch, 2, x, y, z) of images (batch, 1, x, y, z); `window` is the edge of a patch in voxels."""
    outputs: Any = sliding_window_inference(
        images, (window,) * 3, WINDOWS_PER_BATCH, network, overlap=settings.overlap
    )
    return outputs


def one_hot(outputs: torch.Tensor, labels: torch.Tensor) -> tuple[list[Any], list[Any]]:
    """Prediction and label, each (2, x, y, z), of a batch of logits and labels (batch, 1, x, y, z)."""
    predicted = [PREDICTED(output) for output in decollate_batch(outputs)]
    return predicted, [TRUE(label) for label in decollate_batch(labels)]


def scores(outputs: torch.Tensor, label: torch.Tensor) -> tuple[float, float, float]:
    """Dice, Hausdorff distance in voxels and absolute difference of one volume.

    The last is the voxels where prediction and label differ, in parts of the label's foreground.

    Args:
        outputs: (1, 2, x, y, z) logits.
        label: (1, 1, x, y, z) float32, 1 in the foreground.
    """
    return _scores(*one_hot(outputs, label))


def _scores(predicted: list[Any], true: list[Any]) -> tuple[float, float, float]:
    dice: Any = DiceMetric(include_background=False)(predicted, true)
    with warnings.catch_warnings():  # an empty prediction is infinitely far away, and the row says so
        warnings.filterwarnings("ignore", message=".*may result in nan/inf distance")
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy")  # MONAI of itself
        hausdorff: Any = HausdorffDistanceMetric(include_background=False)(predicted, true)
    difference = (predicted[0][1] - true[0][1]).abs().sum() / true[0][1].sum()
    return dice.item(), hausdorff.item(), difference.item()


def test(
    network: torch.nn.Module, loader: DataLoader, protocol: Protocol, folder: Path, affine: np.ndarray
) -> Iterator[Row]:
    """Score each volume of a loader, in its order, and write its prediction to `folder`.

    Args:
        network: on its device.
        loader: as `data.volume_loader` makes it.
        protocol: of the cell; the window is the patch.
        folder: for NAME.nii.gz.
        affine: of the predictions, voxel to world in mm.
    """
    network.eval()
    device = next(network.parameters()).device
    for batch in loader:
        (name,) = batch["name"]
        outputs = logits(network, batch["image"].to(device), protocol.patch_size, protocol.window)
        predicted, true = one_hot(outputs, batch["label"].to(device))
        volumes.save(folder / f"{name}.nii.gz", predicted[0][1].cpu().numpy(), affine)
        yield name, *_scores(predicted, true)
