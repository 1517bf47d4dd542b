"""Volumes in the training's memory, and the batches of patches that are cut from them.

Where all patches of each volume are equal, as where the patch is as large as the volume, a batch holds one of
each, and `copies` says how many it represents. Loss, gradients and the means and variances of batch norm are
those of the whole batch, for each volume has as many copies. One number differs: PyTorch corrects the running
variance of batch norm by n / (n - 1), where n counts the values of a channel, copies included, so the
correction is that of the smaller batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from context_fbr.config.training import SlidingWindow, Training
from context_fbr.core.padding import padded
from context_fbr.training import sampling
from context_fbr.training.recipe import augmentation
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
    """A batch that represents `batch_volumes` x `patches_per_volume` patches."""

    images: torch.Tensor
    """(batch, 1, p, p, p) float32, channels last in memory."""
    labels: torch.Tensor
    """(batch, 1, p, p, p) uint8."""
    names: tuple[str, ...]
    """The case of each patch."""
    copies: int = 1
    """Number of equal patches that each represents."""


@dataclass(frozen=True)
class Protocol:
    """Everything besides data and network that decides a training."""

    settings: Training
    window: SlidingWindow
    epochs: int
    patch_size: int
    seed: int
    merges: bool = True
    """Whether equal patches are computed once."""


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


def batches(
    volumes: Sequence[Volume], protocol: Protocol, epoch: int, done: int = 0, merged: bool = True
) -> Iterator[Patches]:
    """Cut the batches of an epoch (from 1) after the first `done`: each volume once, shuffled.

    Args:
        volumes: of the training.
        protocol: of the training.
        epoch: number, from 1.
        done: batches to leave out.
        merged: take one of several equal patches, where all of each volume are equal.
    """
    settings = protocol.settings
    order = sampling.epoch_order(protocol.seed, epoch, len(volumes))
    for first in range(done * settings.batch_volumes, len(order), settings.batch_volumes):
        chosen = [volumes[i] for i in order[first : first + settings.batch_volumes]]
        corners = [
            sampling.patch_corners(
                volume.where,
                protocol.patch_size,
                settings.patches_per_volume,
                settings.foreground_patch_probability,
                protocol.seed,
                epoch,
            )
            for volume in chosen
        ]
        copies = settings.patches_per_volume if merged and _are_copies(corners, settings) else 1
        yield _cut(chosen, [own[::copies] for own in corners], protocol, epoch, copies)


def _are_copies(corners: Sequence[np.ndarray], settings: Training) -> bool:
    """Return whether all patches of each volume are equal, with two left: batch norm needs them."""
    return (
        settings.augmentation == "none" and len(corners) > 1 and all((own == own[0]).all() for own in corners)
    )


def _cut(
    volumes: Sequence[Volume], corners: Sequence[np.ndarray], protocol: Protocol, epoch: int, copies: int
) -> Patches:
    """Cut patches at their lowest corners, (patches, 3) for each volume, and augment them."""
    images, labels, names = [], [], []
    for volume, own in zip(volumes, corners, strict=True):
        name = volume.where.name
        changes = augmentation.changes(protocol.settings.augmentation, name, len(own), protocol.seed, epoch)
        for corner, change in zip(own, changes, strict=True):
            place = tuple(slice(start, start + protocol.patch_size) for start in corner)
            image, label = augmentation.apply(volume.image[place], volume.label[place], change)
            images.append(image)
            labels.append(label)
            names.append(name)
    return Patches(
        torch.stack(images)[:, None].contiguous(memory_format=torch.channels_last_3d),
        torch.stack(labels)[:, None],
        tuple(names),
        copies,
    )
