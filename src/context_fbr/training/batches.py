"""Volumes in the training's memory, and the batches of patches that are cut from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from context_fbr.config.training import SlidingWindow, Training
from context_fbr.core.padding import padded
from context_fbr.training import sampling
from context_fbr.training.sampling import Candidates


@dataclass(frozen=True)
class Volume:
    """A prepared volume on the training's device, and where patches of it may be centred."""

    image: torch.Tensor
    """(x, y, z) float32."""
    label: torch.Tensor
    """(x, y, z) uint8."""
    where: Candidates
    background: float
    """Background value, for padding."""


@dataclass(frozen=True)
class Patches:
    """A batch: `batch_volumes` x `patches_per_volume` patches."""

    images: torch.Tensor
    """(batch, 1, p, p, p) float32, channels last in memory."""
    labels: torch.Tensor
    """(batch, 1, p, p, p) uint8."""
    names: tuple[str, ...]
    """The case of each patch."""


@dataclass(frozen=True)
class Protocol:
    """Everything besides data and network that decides a training."""

    settings: Training
    window: SlidingWindow
    epochs: int
    patch_size: int
    seed: int


def load_volume(
    name: str,
    image: np.ndarray,
    label: np.ndarray,
    device: torch.device,
    patch_size: int = 1,
    background: float = 0.0,
) -> Volume:
    """Put image (x, y, z) float32 and label (x, y, z) uint8 on the device, padded to hold a patch."""
    image, label = padded(image, patch_size, background), padded(label, patch_size, 0)
    where = sampling.candidates(name, image, label, background)
    return Volume(torch.from_numpy(image).to(device), torch.from_numpy(label).to(device), where, background)


def batches(volumes: Sequence[Volume], protocol: Protocol, epoch: int, done: int = 0) -> Iterator[Patches]:
    """Yield the batches of an epoch (from 1) after the first `done`: each volume once, shuffled."""
    settings, size = protocol.settings, protocol.patch_size
    order = sampling.epoch_order(protocol.seed, epoch, len(volumes))
    for first in range(done * settings.batch_volumes, len(order), settings.batch_volumes):
        images, labels, names = [], [], []
        for volume in (volumes[i] for i in order[first : first + settings.batch_volumes]):
            for corner in sampling.patch_corners(
                volume.where,
                size,
                settings.patches_per_volume,
                settings.foreground_patch_probability,
                protocol.seed,
                epoch,
            ):
                place = tuple(slice(start, start + size) for start in corner)
                images.append(volume.image[place])
                labels.append(volume.label[place])
                names.append(volume.where.name)
        yield Patches(
            torch.stack(images)[:, None].contiguous(memory_format=torch.channels_last_3d),
            torch.stack(labels)[:, None],
            tuple(names),
        )
