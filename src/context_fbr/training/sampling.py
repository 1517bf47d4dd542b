"""Training patches as a pure function of (seed, epoch, case): no loader state, no worker processes.

The distribution is that of MONAI's RandCropByPosNegLabeld, as published: a patch is centred, with a given
probability, on a foreground voxel, else on a background voxel with an image value above the background value.
The centre is moved so that the patch is inside of the volume. Or the centres are of given kinds in turn.

Where the loss is computed on the core of a patch alone, the core is drawn as a patch of its size would be.
The patch around it is moved into the volume, too: it ends where the volume does, and is not padded.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from context_fbr.config.training import Centre
from context_fbr.core.errors import UserError
from context_fbr.core.padding import Background
from context_fbr.core.patch_size import PatchSize, edges_of

ORDER, PATCHES = 11, 12  # streams of random numbers


@dataclass(frozen=True)
class Candidates:
    """The voxels of a volume on which a patch may be centred, as flat indices into (x, y, z) order."""

    name: str
    shape: tuple[int, int, int]
    foreground: np.ndarray
    background: np.ndarray

    def pick(self, kind: Centre, share: float) -> int:
        """Return a voxel of a kind, `share` in [0, 1) of the way through its list.

        From a volume without voxels of the kind, it is one of the other, as in MONAI.
        """
        if kind == "anywhere":
            return int(share * math.prod(self.shape))
        known = (self.foreground, self.background)
        own, other = known if kind == "foreground" else known[::-1]
        listed = own if own.size else other
        return int(listed[int(share * listed.size)])


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


def above(image: np.ndarray, background: Background) -> tuple[np.ndarray, float]:
    """Return an image (x, y, z) and the value above which a voxel of it is not nothing.

    Of several channels, (channels, x, y, z), it is 1 where any is above its own background value, else 0.
    """
    if not isinstance(background, tuple):
        return image, background
    pairs = zip(image, background, strict=True)
    return np.any([own > np.float32(nothing) for own, nothing in pairs], axis=0).astype(np.float32), 0.0


def epoch_order(seed: int, epoch: int, volumes: int) -> np.ndarray:
    """Return the order in which an epoch (from 1) visits the volumes: a permutation of range(volumes)."""
    return np.random.default_rng([ORDER, seed, epoch]).permutation(volumes)


def core_corners(
    where: Candidates,
    core: PatchSize,
    patches: int,
    centres: float | Sequence[Centre],
    seed: int,
    epoch: int,
) -> np.ndarray:
    """Draw the patches of one volume in one epoch (from 1): the lowest corners of their cores, in voxels.

    The draw before the move into the volume does not depend on sizes: cells that differ only in patch size or
    core sample the same places, and cells with the same core supervise the same voxels.

    Args:
        where: voxels of the volume to centre on.
        core: size of the core in voxels, which is the whole patch in the published protocol.
        patches: number of patches.
        centres: probability of foreground, as published; or kinds in turn, which continue in the next epoch.
        seed: of the cell.
        epoch: number, from 1.

    Returns:
        (patches, 3) int64.

    Raises:
        UserError: if the volume is smaller than the core.
    """
    edges = np.array(edges_of(core))
    room = np.asarray(where.shape) - edges
    if room.min() < 0:
        raise UserError(
            f"{where.name}: a patch of {core} voxels does not fit its shape {where.shape}; pad it, or "
            f"take patch sizes up to {min(where.shape)} in grid.patch_sizes of params.yaml"
        )
    generator = np.random.default_rng([PATCHES, seed, epoch, zlib.crc32(where.name.encode())])
    if isinstance(centres, float):
        in_foreground = generator.random(patches) < centres
        kinds: list[Centre] = ["foreground" if inside else "background" for inside in in_foreground]
    else:
        first = (epoch - 1) * patches
        kinds = [centres[(first + number) % len(centres)] for number in range(patches)]
    voxels = [where.pick(kind, pick) for kind, pick in zip(kinds, generator.random(patches), strict=True)]
    middles = np.stack(np.unravel_index(voxels, where.shape), axis=1)
    return np.clip(middles - edges // 2, 0, room)
