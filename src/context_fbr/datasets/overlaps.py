"""Images that are parts of other images, in any order and direction of their axes: leaks between splits.

Of each image some thousand different blocks of 2 x 2 x 2 voxels are kept as hashes with their places: those
with the smallest hashes, constant blocks aside. A part of another image has all of its blocks
there, so its smallest hash leads to the other one, and the place of a block that occurs there once gives the
shift. What these propose is then read again and compared voxel by voxel, so nothing is reported by chance.
Missed are parts of less than a four hundredth of an image, and images in which every block occurs twice.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from context_fbr.core import nifti
from context_fbr.core.geometry import Affine, Shape
from context_fbr.datasets.dataset_json import case_name
from context_fbr.datasets.problems import Problem, error

KEPT = 1 << 12  # blocks of an image; 25 bytes each
_ALL = 1 << 32  # above every hash of 32 bits
_REMEDY = "remove one of the two: a patient in training and test makes scores too good"


@dataclass(frozen=True)
class Blocks:
    """The kept blocks of an image, its axes towards right, anterior, superior."""

    shape: Shape
    keys: np.ndarray
    """(n,) uint64, ascending, different: a hash that decides which blocks are kept, and below it another."""
    places: np.ndarray
    """(n, 3) int32: the first voxel of a block of each key."""
    once: np.ndarray
    """(n,) bool: whether the image has one block only of this key."""
    limit: int
    """Limit of the first hash: all blocks below it are kept."""


@dataclass(frozen=True)
class Image:
    """An image of a data set."""

    file: str
    """Relative to the data set's folder."""
    digest: str
    """Equal for equal voxels in the same order."""
    blocks: Blocks


def blocks_of(voxels: np.ndarray, affine: Affine) -> Blocks | None:
    """Return the blocks of an image; None if its axes have no directions, or nothing in it varies.

    Args:
        voxels: (x, y, z) float32.
        affine: voxel to world.
    """
    if min(voxels.shape) < 2 or not np.isfinite(affine).all():
        return None
    orientation = nibabel.io_orientation(np.array(affine))
    if np.isnan(orientation).any():
        return None
    axes, flips = orientation.T
    keys, places, counts, limit = _smallest(voxels.T)  # (z, y, x): NIfTI's order in memory
    if not keys.size:
        return None
    shape = np.empty(3, np.int64)
    turned = np.empty(places.shape, np.int32)
    for axis in range(3):
        to, place = int(axes[axis]), places[:, 2 - axis]
        shape[to] = voxels.shape[axis]
        turned[:, to] = place if flips[axis] > 0 else voxels.shape[axis] - 2 - place
    x, y, z = map(int, shape)
    return Blocks((x, y, z), keys, turned, counts == 1, limit)


def overlap_problems(folder: Path, images: Sequence[Image]) -> list[Problem]:
    """Return problems of images that are parts of others, each with the largest, except equal images.

    Raises:
        UserError: if an image can no longer be read.
    """
    problems = []
    reported: set[str] = set()
    for inner, outer in _proposed(images):
        if inner.file in reported or (shift := _shift(folder, inner, outer)) is None:
            continue
        reported.add(inner.file)
        if inner.blocks.shape == outer.blocks.shape:
            text = f"the same voxels as {outer.file}, with another order or direction of its axes"
            problems.append(error("duplicate image", case_name(inner.file), inner.file, text, _REMEDY))
        else:
            text = f"is a part of {outer.file}, from its voxel {shift} (right, anterior, superior)"
            problems.append(error("part of an image", case_name(inner.file), inner.file, text, _REMEDY))
    return problems


def _smallest(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return keys, places (z, y, x), numbers and limit of the blocks with the smallest hashes.

    The hash of a block is that of a sum over its voxels: no order or direction of axes changes it.
    """
    keys: list[np.ndarray] = [np.empty(0, np.uint64)]
    places: list[np.ndarray] = [np.empty((0, 3), np.int64)]
    counts: list[np.ndarray] = [np.empty(0, np.int64)]
    limit, number = _ALL, 0
    before = _plane_sums(voxels[0])
    for z in range(1, len(voxels)):
        sums = _plane_sums(voxels[z])
        hashes = _mixed(before + sums)
        before = sums
        y, x = np.nonzero(hashes < limit) if limit < _ALL else np.indices(hashes.shape).reshape(2, -1)
        corners = [_bits(voxels[z + i - 1, y + j, x + k]) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        varied = np.any([corner != corners[0] for corner in corners], axis=0)
        second = np.sum(
            [_mixed(corner ^ np.uint32(0x5BD1E995)) for corner in corners], axis=0, dtype=np.uint32
        )
        key = hashes[y, x].astype(np.uint64) << np.uint64(32) | second
        keys.append(key[varied])
        places.append(np.stack([np.full(len(y), z - 1), y, x], axis=1)[varied])
        counts.append(np.ones(len(keys[-1]), np.int64))
        number += len(keys[-1])
        if number > 2 * KEPT or z == len(voxels) - 1:
            key, first, inverse = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
            total = np.bincount(inverse, np.concatenate(counts), len(key)).astype(np.int64)
            if len(key) > KEPT:
                limit = int(key[KEPT] >> np.uint64(32))
            kept = int(np.searchsorted(key, np.uint64(limit << 32))) if limit < _ALL else len(key)
            keys, places = [key[:kept]], [np.concatenate(places)[first[:kept]]]
            counts, number = [total[:kept]], kept
    return keys[0], places[0], counts[0], limit


def _bits(values: np.ndarray) -> np.ndarray:
    """Float32 as uint32; -0 as 0."""
    return (values + np.float32(0)).view(np.uint32)


def _mixed(values: np.ndarray) -> np.ndarray:
    """A hash of each uint32 (the finaliser of MurmurHash3)."""
    values = values ^ (values >> np.uint32(16))
    values *= np.uint32(0x85EBCA6B)
    values ^= values >> np.uint32(13)
    values *= np.uint32(0xC2B2AE35)
    values ^= values >> np.uint32(16)
    return values


def _plane_sums(plane: np.ndarray) -> np.ndarray:
    """Sum of the hashes of each 2 x 2 pixels."""
    mixed = _mixed(_bits(np.ascontiguousarray(plane)))
    pairs = mixed[:-1] + mixed[1:]
    sums: np.ndarray = pairs[:, :-1] + pairs[:, 1:]
    return sums


def _proposed(images: Sequence[Image]) -> Iterator[tuple[Image, Image]]:
    """Yield pairs of which the first may be part of the second: they share the smallest key of the first."""
    if not images:
        return
    keys = np.concatenate([image.blocks.keys for image in images])
    owners = np.repeat(np.arange(len(images)), [len(image.blocks.keys) for image in images])
    order = np.argsort(keys, kind="stable")
    keys, owners = keys[order], owners[order]
    for number, inner in enumerate(images):
        smallest = inner.blocks.keys[0]
        start, stop = np.searchsorted(keys, smallest, "left"), np.searchsorted(keys, smallest, "right")
        others = np.unique(owners[start:stop]).tolist()
        for other in sorted(others, key=lambda other: -math.prod(images[other].blocks.shape)):
            outer = images[other]
            is_same_shape = inner.blocks.shape == outer.blocks.shape
            fits = all(a <= b for a, b in zip(inner.blocks.shape, outer.blocks.shape, strict=True))
            if other == number or not fits or (is_same_shape and other > number):
                continue
            if inner.digest != outer.digest:
                yield inner, outer


def _shift(folder: Path, inner: Image, outer: Image) -> tuple[int, int, int] | None:
    """Return the voxel of `outer` where `inner` begins; None if it is not part of it."""
    comparable = inner.blocks.keys >> np.uint64(32) < outer.blocks.limit
    keys, places = inner.blocks.keys[comparable], inner.blocks.places[comparable]
    at = np.searchsorted(outer.blocks.keys, keys).clip(max=len(outer.blocks.keys) - 1)
    if not keys.size or not (outer.blocks.keys[at] == keys).all():
        return None
    once = outer.blocks.once[at]
    shifts = np.unique(outer.blocks.places[at][once] - places[once], axis=0)
    if len(shifts) != 1:
        return None
    x, y, z = shifts[0].tolist()
    small, large = _canonical(folder / inner.file), _canonical(folder / outer.file)
    part = large[x : x + small.shape[0], y : y + small.shape[1], z : z + small.shape[2]]
    return (x, y, z) if min(x, y, z) >= 0 and np.array_equal(small, part) else None


def _canonical(path: Path) -> np.ndarray:
    """Voxels with axes towards right, anterior, superior."""
    image = nifti.channel(nifti.read(path, channels=True), 0)
    voxels: np.ndarray = nibabel.as_closest_canonical(image).get_fdata(dtype=np.float32)
    return voxels
