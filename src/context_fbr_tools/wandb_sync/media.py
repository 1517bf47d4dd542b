"""What is looked at: a slice of a volume with its masks, and histograms of weights and gradients."""

from dataclasses import dataclass

import numpy as np
import torch

from context_fbr.config.training import SlidingWindow
from context_fbr.networks.sliding_window import segment
from context_fbr.training.batches import Volume

BINS = 64
DARKEST, BRIGHTEST = 0.5, 99.5  # percent of the voxels of the slice


@dataclass(frozen=True)
class Slice:
    """The slice across the third axis that has most foreground, as it is shown: the second axis upwards."""

    image: np.ndarray
    """(rows, columns) uint8."""
    label: np.ndarray
    """(rows, columns) uint8, 0 and 1."""
    prediction: np.ndarray
    """Likewise."""
    caption: str

    @property
    def planes(self) -> dict[str, np.ndarray]:
        """Its arrays by name."""
        return {"image": self.image, "label": self.label, "prediction": self.prediction}


def slice_of(
    image: np.ndarray, label: np.ndarray, prediction: np.ndarray, caption: str, first: int = 0
) -> Slice:
    """Of a volume (x, y, z) with its masks; without a label's foreground, that of the prediction decides.

    Args:
        image: of the volume.
        label: likewise.
        prediction: likewise.
        caption: that gets the number of the slice.
        first: slice that is the volume's first one here.
    """
    areas = label.sum(axis=(0, 1), dtype=np.int64)
    if not areas.any():
        areas = prediction.sum(axis=(0, 1), dtype=np.int64)
    index = int(areas.argmax()) if areas.any() else image.shape[2] // 2
    shown = image[:, :, index].astype(np.float64)
    low, high = np.percentile(shown, (DARKEST, BRIGHTEST))
    scaled = np.clip((shown - low) / max(high - low, np.finfo(np.float64).tiny), 0, 1) * 255
    planes = (scaled.round(), label[:, :, index], prediction[:, :, index])
    upright = [np.ascontiguousarray(plane.astype(np.uint8).T[::-1]) for plane in planes]
    return Slice(upright[0], upright[1], upright[2], f"{caption}, slice {first + index}")


def example(
    network: torch.nn.Module, volume: Volume, patch_size: int, window: SlidingWindow, caption: str
) -> Slice:
    """What a network makes of the slice of a volume with most foreground; errors as in `inference.segment`.

    Only a slab of a patch's thickness around it is segmented: the whole volume would take as long as
    validating one more.
    """
    depth = volume.label.shape[2]
    middle = int(volume.label.sum(dim=(0, 1), dtype=torch.int64).argmax())
    first = min(max(middle - patch_size // 2, 0), max(depth - patch_size, 0))
    image, label = (whole[:, :, first : first + patch_size] for whole in (volume.image, volume.label))
    mask = segment(network.eval(), image.contiguous(), patch_size, window, volume.background)
    shown, true, predicted = (part.cpu().numpy() for part in (image, label, mask))
    return slice_of(shown, true, predicted, caption, first)


def histograms(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Counts and edges of a network's weights and of their gradients, as far as it has any.

    Not by `wandb.watch`, which writes at steps of its own: here a gradient stands at the step that it is of.

    Returns:
        By W&B's usual names with the part behind: `gradients/NAME/counts` (64) and `.../edges` (65).
    """
    found: dict[str, np.ndarray] = {}
    for name, weight in network.named_parameters():
        found |= _histogram(f"parameters/{name}", weight.detach())
        if weight.grad is not None:
            found |= _histogram(f"gradients/{name}", weight.grad)
    return found


def _histogram(name: str, values: torch.Tensor) -> dict[str, np.ndarray]:
    numbers = values.float().flatten()
    numbers = numbers[torch.isfinite(numbers)]
    if not numbers.numel():
        return {}
    low, high = (float(bound) for bound in torch.aminmax(numbers))
    if low == high:  # a histogram has width
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(numbers, BINS, low, high).cpu().numpy().astype(np.int64)
    return {f"{name}/counts": counts, f"{name}/edges": np.linspace(low, high, BINS + 1)}
