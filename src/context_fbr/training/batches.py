"""Volumes in the training's memory, and the batches of patches that are cut from them.

Where all patches of each volume are equal, as where the patch is as large as the volume, a batch holds one of
each, and `copies` says how many it represents. Loss, gradients and the means and variances of batch norm are
those of the whole batch, for each volume has as many copies. One number differs: PyTorch corrects the running
variance of batch norm by n / (n - 1), where n counts the values of a channel, copies included, so the
correction is that of the smaller batch.

Where the patches of a volume are equal and their cores are not, a batch holds one patch of each volume, too,
and the loss is computed on every core in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from context_fbr.config.training import SlidingWindow, Training
from context_fbr.core.padding import Background, margins, padded, windows_around
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.training import sampling
from context_fbr.training.recipe import augmentation
from context_fbr.training.sampling import Candidates


@dataclass(frozen=True)
class Volume:
    """A prepared volume on the training's device, and where patches of it may be centred."""

    image: torch.Tensor
    """(channels, x, y, z) float32, padded to hold a patch."""
    label: torch.Tensor
    """(x, y, z) uint8: 0 in the background, else the number of the structure."""
    where: Candidates
    """Candidates of the volume padded to hold a core: the draw of cores does not depend on the patch."""
    background: Background
    """Background value, for padding."""
    offset: tuple[int, ...] = (0, 0, 0)
    """Place of the volume of `where` in this one, in voxels."""


Core = tuple[int, tuple[slice, ...]]
"""Number of an image in a batch, and a place (x, y, z) in it."""


@dataclass(frozen=True)
class Patches:
    """A batch that represents `batch_volumes` x `patches_per_volume` patches."""

    images: torch.Tensor
    """(batch, channels, *patch) float32."""
    labels: torch.Tensor
    """(cores, 1, *core) uint8, of the cores."""
    names: tuple[str, ...]
    """The case of each core."""
    copies: int = 1
    """Number of equal patches that each represents."""
    cores: tuple[Core, ...] | None = None
    """Image and place of each core; None: each image is one."""

    def supervised(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs (batch, classes, *patch) in the cores: (cores, classes, *core)."""
        if self.cores is None:
            return outputs
        return torch.stack([outputs[image][(slice(None), *place)] for image, place in self.cores])


@dataclass(frozen=True)
class Protocol:
    """Everything besides data and network that decides a training."""

    settings: Training
    window: SlidingWindow
    epochs: int
    patch_size: PatchSize
    seed: int
    merges: bool = True
    """True if equal patches are computed once."""
    structures: int = 1
    """Number of classes but the background."""

    @property
    def core(self) -> PatchSize:
        """Size of the core of a patch in voxels, on which the loss is computed."""
        return self.settings.core_size(self.patch_size)

    @property
    def inner_core(self) -> int | None:
        """The core if it is less than the patch, else None: all of a window counts."""
        return self.settings.inner_core(self.patch_size)

    @property
    def patches(self) -> int:
        """Number of patches of a volume in each epoch."""
        return self.settings.patches_of(self.patch_size)


def load_volume(
    name: str,
    image: np.ndarray,
    label: np.ndarray,
    device: torch.device,
    patch_size: PatchSize = 1,
    background: Background = 0.0,
    core: PatchSize | None = None,
) -> Volume:
    """Put a volume on the device, padded to hold a patch.

    Args:
        name: of the case.
        image: (x, y, z) float32, or (channels, x, y, z).
        label: (x, y, z) uint8.
        device: of the training.
        patch_size: size in voxels.
        background: value of nothing, of several channels one of each.
        core: size of the cores that are drawn; None: they are the patches.
    """
    core = patch_size if core is None else core
    whole, nothing = sampling.above(padded(image, core, background), background)
    where = sampling.candidates(name, whole, padded(label, core, 0), nothing)
    added = (margins(label.shape, edges_of(size)) for size in (patch_size, core))
    offset = tuple(whole - inner for (whole, _), (inner, _) in zip(*added, strict=True))
    image, label = padded(image, patch_size, background), padded(label, patch_size, 0)
    image = image if image.ndim == 4 else image[None]
    tensors = torch.from_numpy(image).to(device), torch.from_numpy(label).to(device)
    return Volume(*tensors, where, background, offset)


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
        chosen = [_draw(volumes[i], protocol, epoch) for i in order[first : first + settings.batch_volumes]]
        # Batch norm needs two patches; other copies have other changes.
        merges = merged and settings.augmentation == "none" and len(chosen) > 1
        equal = merges and all(_are_equal(drawn.corners) for drawn in chosen)
        if equal and all(_are_equal(drawn.cores) for drawn in chosen):
            yield _cut([drawn.first for drawn in chosen], protocol, epoch, copies=protocol.patches)
        else:
            yield _cut(chosen, protocol, epoch, shared=equal)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The patches of a volume in an epoch."""

    volume: Volume
    cores: np.ndarray
    """(patches, 3) lowest corners of the cores in the volume."""
    corners: np.ndarray
    """(patches, 3) lowest corners of the patches."""

    @property
    def first(self) -> "_Drawn":
        """The first of the patches alone."""
        return _Drawn(self.volume, self.cores[:1], self.corners[:1])


def _draw(volume: Volume, protocol: Protocol, epoch: int) -> _Drawn:
    settings, core, size = protocol.settings, protocol.core, protocol.patch_size
    centres = settings.centres or settings.foreground_patch_probability
    cores = sampling.core_corners(volume.where, core, protocol.patches, centres, protocol.seed, epoch)
    cores = cores + np.array(volume.offset)
    return _Drawn(volume, cores, windows_around(cores, edges_of(core), edges_of(size), volume.label.shape))


def _are_equal(corners: np.ndarray) -> bool:
    return bool((corners == corners[0]).all())


def _cut(
    chosen: Sequence[_Drawn], protocol: Protocol, epoch: int, copies: int = 1, shared: bool = False
) -> Patches:
    """Cut the patches and augment them; with `shared`, the first of each volume has all of its cores."""
    kind, size, core = protocol.settings.augmentation, protocol.patch_size, protocol.core
    images: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    names: list[str] = []
    places: list[Core] = []
    for drawn in chosen:
        name, volume = drawn.volume.where.name, drawn.volume
        changes = augmentation.changes(kind, name, len(drawn.cores), protocol.seed, epoch)
        for number, (start, corner, change) in enumerate(
            zip(drawn.cores, drawn.corners, changes, strict=True)
        ):
            patch, inner = _box(corner, size), _box(start, core)
            image, label = augmentation.apply(
                volume.image[(slice(None), *patch)], volume.label[inner], change
            )
            if not (shared and number):
                images.append(image)
            labels.append(label)
            names.append(name)
            inside = augmentation.flipped(start - corner, core, size, change)
            places.append((len(images) - 1, _box(inside, core)))
    return Patches(
        torch.stack(images),
        torch.stack(labels)[:, None],
        tuple(names),
        copies,
        None if core == size else tuple(places),
    )


def _box(corner: Sequence[int] | np.ndarray, size: PatchSize) -> tuple[slice, ...]:
    """Return the place of a patch or core by its lowest corner (x, y, z)."""
    return tuple(
        slice(int(start), int(start) + edge) for start, edge in zip(corner, edges_of(size), strict=True)
    )
