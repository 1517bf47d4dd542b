"""Pictures of a case for W&B: a slice of the image, and over it label and prediction to switch on and off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from context_fbr.inference import segment
from context_fbr.patches import Volume
from context_fbr.study.training import SlidingWindow

CLASSES = {0: "background", 1: "foreground"}
BINS = 64
DARKEST, BRIGHTEST = 0.5, 99.5  # percent of the voxels of the slice


@dataclass(frozen=True)
class Slice:
    """The slice across the third axis that has most foreground, as it is shown: the second axis upwards."""

    image: np.ndarray
    """(rows, columns) uint8."""
    masks: Mapping[str, np.ndarray]
    """Each (rows, columns) uint8, 0 and 1."""
    caption: str


def slice_of(image: np.ndarray, label: np.ndarray, prediction: np.ndarray, caption: str) -> Slice:
    """Of a volume (x, y, z) with its masks; without a label's foreground, that of the prediction decides."""
    areas = label.sum(axis=(0, 1), dtype=np.int64)
    if not areas.any():
        areas = prediction.sum(axis=(0, 1), dtype=np.int64)
    index = int(areas.argmax()) if areas.any() else image.shape[2] // 2
    shown = image[:, :, index].astype(np.float64)
    low, high = np.percentile(shown, (DARKEST, BRIGHTEST))
    scaled = np.clip((shown - low) / max(high - low, np.finfo(np.float64).tiny), 0, 1) * 255
    masks = {"label": label[:, :, index], "prediction": prediction[:, :, index]}
    return Slice(
        _upright(scaled.round().astype(np.uint8)),
        {name: _upright(mask.astype(np.uint8)) for name, mask in masks.items()},
        f"{caption}, slice {index}",
    )


def _upright(plane: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(plane.T[::-1])


def example(
    network: torch.nn.Module, volume: Volume, patch_size: int, window: SlidingWindow, caption: str
) -> Slice:
    """What a network makes of a volume; errors as in `inference.segment`."""
    mask = segment(network.eval(), volume.image, patch_size, window, volume.background)
    image, label, prediction = (part.cpu().numpy() for part in (volume.image, volume.label, mask))
    return slice_of(image, label, prediction, caption)


def picture(shown: Slice) -> Any:
    """As an image of W&B."""
    import wandb

    masks = {name: {"mask_data": mask, "class_labels": CLASSES} for name, mask in shown.masks.items()}
    return wandb.Image(shown.image, masks=masks, caption=shown.caption)


def histograms(network: torch.nn.Module, gradients: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Counts (64) and edges (65) of a network's weights, and of their gradients, under W&B's usual names.

    Not by `wandb.watch`, which writes at steps of its own: here a gradient stands at the step that it is of.
    """
    found = {}
    for name, weight in network.named_parameters():
        found[f"parameters/{name}"] = _histogram(weight.detach())
        if gradients and weight.grad is not None:
            found[f"gradients/{name}"] = _histogram(weight.grad)
    return found


def _histogram(values: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    numbers = values.float().flatten()
    numbers = numbers[torch.isfinite(numbers)]
    if not numbers.numel():
        return np.zeros(BINS, np.int64), np.linspace(0, 1, BINS + 1)
    low, high = (float(bound) for bound in torch.aminmax(numbers))
    if low == high:  # a histogram has width
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(numbers, BINS, low, high)
    return counts.cpu().numpy().astype(np.int64), np.linspace(low, high, BINS + 1)
