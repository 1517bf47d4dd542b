"""Test cases again, cut at random distances from the structure: the border of the volume as a cue.

Volumes of some data sets are cut around the structure in the same way, so that the distance to the border
says where along it a voxel is. A network that uses that loses Dice on these cases. What is cut off is
background.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from context_fbr.core.errors import UserError
from context_fbr.core.geometry import Box, Geometry, geometry
from context_fbr.preprocessing.prepared import Case

VARIANT = "shifted"
STREAM = 21  # of random numbers
LEAST_MARGIN = 1
"""Voxels that stay around the structure, where the volume has them."""


def crop(label: np.ndarray, name: str) -> tuple[slice, slice, slice] | None:
    """Draw the part of a prepared volume that is kept: a function of the name and the label.

    On each side of each axis the cut is uniform over whole numbers, from 0 to what leaves the margin.

    Args:
        label: (x, y, z), foreground where not 0.
        name: of the case.

    Returns:
        Part of (x, y, z); None if there is no foreground, or nothing that can be cut off.
    """
    found = np.argwhere(label)
    if not len(found):
        return None
    generator = np.random.default_rng([STREAM, crc32(name.encode())])
    first, last = found.min(axis=0), found.max(axis=0)
    before = generator.integers(0, np.maximum(first - LEAST_MARGIN, 0) + 1)
    after = generator.integers(0, np.maximum(np.array(label.shape) - 1 - last - LEAST_MARGIN, 0) + 1)
    if not (before.any() or after.any()):
        return None
    x, y, z = (slice(int(b), int(n - a)) for b, a, n in zip(before, after, label.shape, strict=True))
    return x, y, z


def cropped(where: Geometry, part: Sequence[slice]) -> Geometry:
    """Return the geometry of a part of a prepared volume whose voxels are original ones.

    Args:
        where: of the volume, with steps of 1.
        part: of (x, y, z), as of `crop`.
    """
    box = []
    for axis, (start, stop) in enumerate(where.box):
        target, flip = (int(value) for value in where.orientation[axis])
        own, length = part[target], stop - start
        low, high = (own.start, own.stop) if flip > 0 else (length - own.stop, length - own.start)
        box.append((start + low, start + high))
    kept: Box = (box[0], box[1], box[2])
    return geometry(where.original_shape, np.array(where.original_affine), kept, where.spacing_mm)


def shifted_case(
    case: Case, image: np.ndarray, label: np.ndarray
) -> tuple[Case, np.ndarray, np.ndarray] | None:
    """Return a test case with a random crop; None for another case, or if there is nothing to cut off.

    Args:
        case: as prepared.
        image: (x, y, z) of it, or (channels, x, y, z).
        label: (x, y, z) of it.

    Raises:
        UserError: if the case was resampled: a part of it has no part of the original for every voxel.
    """
    if case.split != "test":
        return None
    if case.geometry.steps != (1.0, 1.0, 1.0):
        raise UserError(
            f"{case.image}: is resampled to {case.geometry.spacing_mm} mm, but prepare.shifted_test_crops "
            "needs the voxels of the scan: take it, or spacing_mm, out of params.yaml"
        )
    part = crop(label, case.name)
    if part is None:
        return None
    where = cropped(case.geometry, part)
    ratio = case.foreground_voxels / math.prod(where.shape)
    name = f"{case.name}_{VARIANT}"
    again = replace(case, name=name, geometry=where, foreground_ratio=ratio, variant=VARIANT)
    return again, image[(..., *part)], label[part]
