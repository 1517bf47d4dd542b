"""Augmentation of training patches as a pure function of (seed, epoch, case, number of the patch)."""

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from context_fbr.core.patch_size import PatchSize, edges_of

STREAM = 13  # of random numbers; sampling.py uses 11 and 12
SCALE, SHIFT = 0.1, 0.1
"""Greatest change of intensity: relative, and absolute in units of the prepared image."""

Kind = Literal["none", "flips", "flips_intensity"]


@dataclass(frozen=True)
class Change:
    """Change of a patch."""

    flipped_axes: tuple[int, ...]
    """Axes (x, y, z) that are flipped."""
    scale: float
    shift: float


def changes(kind: Kind, name: str, patches: int, seed: int, epoch: int) -> tuple[Change, ...]:
    """Draw the changes of a volume's patches in an epoch (from 1).

    Each axis is flipped with probability 1/2. `flips_intensity` also draws a factor from 1 +- `SCALE` and a
    summand from +- `SHIFT`, as MONAI's RandScaleIntensity and RandShiftIntensity do.
    """
    if kind == "none":
        return (Change((), 1.0, 0.0),) * patches
    generator = np.random.default_rng([STREAM, seed, epoch, zlib.crc32(name.encode())])
    drawn = generator.random((patches, 5))  # all five for either kind: both flip the same patches
    intensity = kind == "flips_intensity"
    return tuple(
        Change(
            tuple(axis for axis in range(3) if row[axis] < 0.5),
            1 + SCALE * (2 * float(row[3]) - 1) if intensity else 1.0,
            SHIFT * (2 * float(row[4]) - 1) if intensity else 0.0,
        )
        for row in drawn
    )


def apply(image: torch.Tensor, label: torch.Tensor, change: Change) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a changed patch: image (channels, x, y, z) float32 and label (x, y, z) uint8."""
    if change.flipped_axes:
        image = image.flip([axis - 3 for axis in change.flipped_axes])
        label = label.flip(change.flipped_axes)
    if (change.scale, change.shift) != (1.0, 0.0):
        image = image * change.scale + change.shift
    return image, label


def flipped(corner: np.ndarray, core: PatchSize, size: PatchSize, change: Change) -> np.ndarray:
    """Return the lowest corner of a core in a changed patch of a size, from that before, (x, y, z)."""
    moved = corner.copy()
    for axis in change.flipped_axes:
        moved[axis] = edges_of(size)[axis] - edges_of(core)[axis] - corner[axis]
    return moved
