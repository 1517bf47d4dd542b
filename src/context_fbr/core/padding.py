"""Pad a volume to hold a patch, with the intensity of nothing on all sides, and place windows in volumes."""

from collections.abc import Sequence

import numpy as np

from context_fbr.core.patch_size import PatchSize, edges_of

Margins = tuple[tuple[int, int], ...]
Background = float | tuple[float, ...]
"""Intensity of nothing, of an image with several channels one of each."""


def margins(shape: Sequence[int], sizes: Sequence[int]) -> Margins:
    """Voxels to add before and after each axis so that none is shorter than its size."""
    missing = [max(size - edge, 0) for edge, size in zip(shape, sizes, strict=True)]
    return tuple((m // 2, m - m // 2) for m in missing)


def is_smaller(shape: Sequence[int], sizes: Sequence[int]) -> bool:
    """Return whether an axis is shorter than its size, so that a volume is padded."""
    return any(edge < size for edge, size in zip(shape, sizes, strict=True))


def padded(voxels: np.ndarray, size: PatchSize, value: Background) -> np.ndarray:
    """Return a volume with no axis shorter than that of `size`; itself, if it is large enough.

    Args:
        voxels: (x, y, z), or (channels, x, y, z).
        size: least edges in voxels.
        value: of what is added, of several channels one of each.
    """
    added = margins(voxels.shape[-3:], edges_of(size))
    if not any(map(any, added)):
        return voxels
    if isinstance(value, tuple):
        pairs = zip(voxels, value, strict=True)
        return np.stack([np.pad(own, added, constant_values=nothing) for own, nothing in pairs])
    return np.pad(voxels, added, constant_values=value)


def window_corners(edge: int, window: int, overlap: float) -> list[int]:
    """Lowest voxels of the windows along an axis; the last one is moved back to end with the volume."""
    if edge <= window:
        return [0]
    step = max(int(window * (1 - overlap)), 1)
    inner = list(range(0, edge - window, step))
    return [*inner, edge - window]


def windows_around(
    cores: np.ndarray, core: Sequence[int], window: Sequence[int], shape: Sequence[int]
) -> np.ndarray:
    """Return the lowest corners of windows with a core in their centre, moved into the volume at its ends.

    Args:
        cores: (n, 3) lowest corners of the cores in voxels.
        core: edges of a core in voxels.
        window: edges of a window, none less than the core's.
        shape: edges of the volume, none less than the window's.

    Returns:
        (n, 3) lowest corners of the windows, whole inside of the volume.
    """
    margin = (np.asarray(window) - np.asarray(core)) // 2
    corners: np.ndarray = np.clip(cores - margin, 0, np.asarray(shape) - np.asarray(window))
    return corners


def voxels_in_boxes(mask: np.ndarray, corners: np.ndarray, edges: Sequence[int]) -> np.ndarray:
    """Count the voxels of a mask in boxes of one size, from its summed table: (n) int64.

    Args:
        mask: (x, y, z) bool.
        corners: (n, 3) lowest corners, of boxes inside of the volume.
        edges: of the boxes in voxels.
    """
    table = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1).cumsum(2), ((1, 0),) * 3)
    total = np.zeros(len(corners), np.int64)
    for ends in np.ndindex(2, 2, 2):  # inclusion and exclusion at the eight corners
        x, y, z = (corners + np.array(edges) * np.array(ends)).T
        total += (-1) ** (3 - sum(ends)) * table[x, y, z]
    return total
