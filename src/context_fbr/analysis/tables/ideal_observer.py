"""Scores of an ideal observer of twins: the best that windows of a size allow, whatever network reads them.

It sees the volume through the sliding windows of inference. A ball voxel is decided if a window whose core
holds it also holds a voxel of a shell, which tells foreground from distractor. Every other ball voxel is
called foreground, the best guess for Dice; nothing else is.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core.padding import voxels_in_boxes, window_corners, windows_around
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.datasets import twins
from context_fbr.datasets.twins import DISTRACTOR, FOREGROUND, TEST

COLUMNS = ("filename", "distance", "patch_size", "core", "dice", "hit", "false")


def observer_table(
    raw: TwinsRaw, task: str, windows: Sequence[tuple[PatchSize, PatchSize]], overlap: float
) -> pd.DataFrame:
    """Return the observer's scores, one row a test case as drawn and window.

    Args:
        raw: the recipe, from which the volumes are generated.
        task: its name, of which the names of cases are made.
        windows: (patch, core) sizes in voxels.
        overlap: of neighbouring cores.

    Returns:
        Columns `COLUMNS`: `hit` and `false` are the shares of the foreground ball and of the distractor that
        are called foreground.
    """
    rows: list[tuple[object, ...]] = []
    for volume in twins.volumes(raw, task):
        if volume.stream != TEST or volume.variant:
            continue
        made = twins.generate(raw, volume.stream, volume.index)
        for patch_size, core in windows:
            seen = decided(made.shells > 0, patch_size, core, overlap)
            called = (made.label == FOREGROUND) | ((made.label == DISTRACTOR) & ~seen)
            rows.append((volume.name, made.distance, patch_size, core, *_scores(called, made.label)))
    return pd.DataFrame(rows, columns=[*COLUMNS])


def decided(shells: np.ndarray, patch_size: PatchSize, core: PatchSize, overlap: float) -> np.ndarray:
    """Return the voxels in the core of a window that holds a shell's voxel, as `shells` (x, y, z) bool."""
    inner, patch = edges_of(core), edges_of(patch_size)
    starts = [window_corners(*axis, overlap) for axis in zip(shells.shape, inner, strict=True)]
    cores = np.array([*itertools.product(*starts)])
    corners = windows_around(cores, inner, patch, shells.shape)
    counts = voxels_in_boxes(shells, corners, patch)
    seen = np.zeros(shells.shape, bool)
    for x, y, z in cores[counts > 0]:
        seen[x : x + inner[0], y : y + inner[1], z : z + inner[2]] = True
    return seen


def _scores(called: np.ndarray, label: np.ndarray) -> tuple[float, float, float]:
    """Return Dice, hit and false of the voxels that are called foreground."""
    foreground, distractor = label == FOREGROUND, label == DISTRACTOR
    shared = int((called & foreground).sum())
    dice = 2 * shared / (int(called.sum()) + int(foreground.sum()))
    taken = int((called & distractor).sum())
    return dice, shared / int(foreground.sum()), taken / int(distractor.sum())
