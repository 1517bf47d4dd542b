"""Pictures and histograms as named arrays: NAME/image, NAME/label ..., and NAME/counts, NAME/edges."""

from collections.abc import Sequence

import numpy as np
import torch
import wandb

from context_fbr.config.training import SlidingWindow
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.networks.sliding_window import segment
from context_fbr.training.batches import Volume

BINS = 64
EXAMPLE = "train/example/"
BACKGROUND = "background"
Arrays = dict[str, np.ndarray]


def slice_of(image: np.ndarray, label: np.ndarray, mask: np.ndarray, caption: str, first: int = 0) -> Arrays:
    """Return the slice of a volume (x, y, z) that has most foreground, else most of the mask, y upwards.

    Its number is added to the caption; `first` is that of the arrays' first slice.
    """
    areas = ((label if label.any() else mask) > 0).sum(axis=(0, 1), dtype=np.int64)
    index = int(areas.argmax()) if areas.any() else image.shape[2] // 2
    shown = image[:, :, index].astype(np.float64)
    low, high = np.percentile(shown, (0.5, 99.5))
    scaled = np.clip((shown - low) / max(high - low, np.finfo(np.float64).tiny), 0, 1) * 255
    planes = {"image": scaled.round(), "label": label[:, :, index], "prediction": mask[:, :, index]}
    upright = {name: np.ascontiguousarray(plane.astype(np.uint8).T[::-1]) for name, plane in planes.items()}
    return {**upright, "caption": np.array(f"{caption}, slice {first + index}")}


def example(
    network: torch.nn.Module,
    volume: Volume,
    patch_size: PatchSize,
    window: SlidingWindow,
    caption: str,
    core: int | None = None,
) -> Arrays:
    """Return a slice of a training volume with the network's prediction; errors as in `segment`.

    Only a slab of a patch's thickness is segmented: a whole volume takes as long as validating one more.
    """
    middle = int((volume.label > 0).sum(dim=(0, 1), dtype=torch.int64).argmax())
    depth = edges_of(patch_size)[2]
    first = min(max(middle - depth // 2, 0), max(volume.label.shape[2] - depth, 0))
    image, label = (whole[..., first : first + depth] for whole in (volume.image, volume.label))
    mask = segment(network.eval(), image.contiguous(), patch_size, window, volume.background, core)
    shown, true, predicted = (part.cpu().numpy() for part in (image[0], label, mask))
    return slice_of(shown, true, predicted, caption, first)


def histograms(network: torch.nn.Module) -> Arrays:
    """Return counts (64) and edges (65) of a network's finite weights and gradients, by W&B's usual names."""
    found: Arrays = {}
    for name, weight in network.named_parameters():
        for kind, values in (("parameters", weight.detach()), ("gradients", weight.grad)):
            if values is None or not (numbers := values[torch.isfinite(values)].float()).numel():
                continue
            low, high = (float(bound) for bound in torch.aminmax(numbers))
            if low == high:  # a histogram has width
                low, high = low - 0.5, high + 0.5
            counts = torch.histc(numbers, BINS, low, high).cpu().numpy().astype(np.int64)
            found[f"{kind}/{name}/counts"] = counts
            found[f"{kind}/{name}/edges"] = np.linspace(low, high, BINS + 1)
    return found


def wandb_objects(arrays: Arrays) -> dict[str, wandb.Histogram | wandb.Image]:
    """Return W&B's histograms and pictures of arrays, by their names."""
    histograms = {
        name: wandb.Histogram(np_histogram=(counts.tolist(), arrays[f"{name}/edges"].tolist()))
        for name, counts in ((key.removesuffix("/counts"), arrays[key]) for key in arrays if "/counts" in key)
    }
    example = {key.removeprefix(EXAMPLE): array for key, array in arrays.items() if key.startswith(EXAMPLE)}
    return histograms | ({EXAMPLE[:-1]: wandb_image(example)} if example else {})


def wandb_image(slice_: Arrays, names: Sequence[str] = ()) -> wandb.Image:
    """Return W&B's picture of a slice, with label and prediction to be switched on and off.

    `names` are those of the structures, from 1; none: there is one.
    """
    classes = dict(enumerate((BACKGROUND, *(names or ("foreground",)))))
    masks = {n: {"mask_data": slice_[n], "class_labels": classes} for n in ("label", "prediction")}
    return wandb.Image(slice_["image"], masks=masks, caption=str(slice_["caption"]))
