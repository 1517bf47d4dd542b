"""Training patches as a pure function of (seed, epoch, case): no loader state, no worker processes.

The distribution is that of MONAI's RandCropByPosNegLabeld, as published: a patch is centred, with a given
probability, on a foreground voxel, else on a background voxel with an image value above the background value.
The centre is moved so that the patch is inside of the volume.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from context_fbr.core.errors import UserError

ORDER, PATCHES = 11, 12  # streams of random numbers


@dataclass(frozen=True)
class Candidates:
    """The voxels of a volume on which a patch may be centred, as flat indices into (x, y, z) order."""

    name: str
    shape: tuple[int, int, int]
    foreground: np.ndarray
    background: np.ndarray


def candidates(name: str, image: np.ndarray, label: np.ndarray, nothing: float = 0.0) -> Candidates:
    """List the candidates of a volume.

    Args:
        name: the case.
        image: (x, y, z).
        label: (x, y, z), foreground where above 0.
        nothing: background centres need an image value above this.

    Raises:
        UserError: if there is none.
    """
    foreground = np.flatnonzero(label > 0).astype(np.int32)
    background = np.flatnonzero((label == 0) & (image > nothing)).astype(np.int32)
    if not foreground.size and not background.size:
        raise UserError(
            f"{name}: no voxel is foreground or above {nothing:g}: there is nothing to centre a patch on"
        )
    return Candidates(name, label.shape, foreground, background)


def epoch_order(seed: int, epoch: int, volumes: int) -> np.ndarray:
    """Return the order in which an epoch (from 1) visits the volumes: a permutation of range(volumes)."""
    return np.random.default_rng([ORDER, seed, epoch]).permutation(volumes)


def patch_corners(
    where: Candidates,
    patch_size: int,
    patches: int,
    foreground_probability: float,
    seed: int,
    epoch: int,
) -> np.ndarray:
    """Draw the patches of one volume in one epoch (from 1): their lowest corners, (patches, 3) in voxels.

    The draw before the move into the volume does not depend on the patch size: cells that differ only in
    patch size sample the same places.

    Raises:
        UserError: if the volume is smaller than the patch.
    """
    room = np.asarray(where.shape) - patch_size
    if room.min() < 0:
        raise UserError(
            f"{where.name}: a patch of {patch_size} voxels does not fit its shape {where.shape}; pad it, or "
            f"take patch sizes up to {min(where.shape)} in grid.patch_sizes of params.yaml"
        )
    generator = np.random.default_rng([PATCHES, seed, epoch, zlib.crc32(where.name.encode())])
    in_foreground = generator.random(patches) < foreground_probability
    picks = generator.random(patches)
    # From a volume without one of the kinds all centres are of the other, as in MONAI.
    if not where.background.size:
        in_foreground[:] = True
    elif not where.foreground.size:
        in_foreground[:] = False
    voxels = [
        (where.foreground if inside else where.background)[int(pick * size)]
        for inside, pick in zip(in_foreground, picks, strict=True)
        for size in [where.foreground.size if inside else where.background.size]
    ]
    centres = np.stack(np.unravel_index(voxels, where.shape), axis=1)
    return np.clip(centres - patch_size // 2, 0, room)
