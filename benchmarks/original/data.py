"""Volumes and patches by MONAI's transforms and loaders."""

from collections.abc import Mapping, Sequence

import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    Orientationd,
    RandCropByPosNegLabeld,
    ScaleIntensityRanged,
    Spacingd,
)
from torch.utils.data import RandomSampler

from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.training.batches import Protocol

KEYS = ("image", "label")
Item = Mapping[str, str]
"""Name of a case, and the file of each of KEYS."""


def training_loader(items: Sequence[Item], protocol: Protocol, workers: int, epochs: int = 1) -> DataLoader:
    """Batches of patches, (batch, 1, p, p, p) float32 by key: each volume once an epoch, shuffled.

    Args:
        items: volumes, which stay in memory.
        protocol: of the cell; patches are centred on foreground with probability 1/2, as published.
        workers: processes that cut patches.
        epochs: that one iteration goes through, without a new start of the workers.
    """
    settings = protocol.settings
    crop = RandCropByPosNegLabeld(
        KEYS,
        label_key="label",
        spatial_size=(protocol.patch_size,) * 3,
        pos=1,
        neg=1,
        num_samples=protocol.patches,
        image_key="image",
        image_threshold=0,
    )
    dataset = CacheDataset(items, Compose([*_reading(), crop]), progress=False)
    # One generator shuffles and seeds the transforms, here or in the workers, again for each iteration.
    generator = torch.Generator().manual_seed(protocol.seed)
    order = RandomSampler(dataset, num_samples=epochs * len(items), generator=generator)
    return DataLoader(
        dataset,
        num_workers=workers,
        batch_size=settings.batch_volumes,
        sampler=order,
        generator=generator,
        persistent_workers=workers > 0,
    )


def volume_loader(items: Sequence[Item], workers: int) -> DataLoader:
    """Whole volumes in their order, (1, 1, x, y, z) float32 by key."""
    dataset = CacheDataset(items, Compose(_reading()), progress=False)
    return DataLoader(dataset, num_workers=workers, batch_size=1, persistent_workers=workers > 0)


def preparation(settings: Prepare) -> Compose:
    """From the files of a CT to (1, x, y, z) float32 by key, in the published order."""
    assert settings.window is not None  # the published protocol has all of them
    assert settings.spacing_mm is not None
    assert settings.crop
    low, high = settings.window
    return Compose(
        [
            *_reading(),
            ScaleIntensityRanged("image", a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True),
            CropForegroundd(KEYS, source_key="image"),
            Orientationd(KEYS, axcodes="RAS"),
            Spacingd(KEYS, pixdim=settings.spacing_mm, mode=("bilinear", "nearest")),
        ]
    )


def _reading() -> list[LoadImaged | EnsureChannelFirstd]:
    return [LoadImaged(KEYS), EnsureChannelFirstd(KEYS)]
