"""The nearest voxel of a surface: by a search tree, or by a distance transform where much is searched."""

from collections.abc import Sequence

import numpy as np

SEARCH_COST = 50
"""To search the nearest of a far surface costs about as much as this many voxels of a distance transform."""


def where(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask (x, y, z) bool, (n, 3) in its order: numpy's argwhere, but ten times faster."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)


def nearest(
    queries: np.ndarray, surface: np.ndarray, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0)
) -> np.ndarray:
    """The voxel of a surface that is nearest to each query; of equally near ones, one.

    Args:
        queries: (n, 3) voxels of the volume.
        surface: (x, y, z) bool, True on the surface, which is not empty.
        spacing_mm: edges of a voxel, by axis.

    Returns:
        (n, 3) voxels, whole numbers, so that a distance from them has no error of an earlier sum.
    """
    if len(queries) * SEARCH_COST > surface.size:
        from scipy.ndimage import distance_transform_edt

        indices = distance_transform_edt(
            ~surface, sampling=spacing_mm, return_distances=False, return_indices=True
        )
        return indices[:, *queries.T].T
    from scipy.spatial import cKDTree  # takes a third of a second, in which a stage could have begun

    places, edges = where(surface), np.asarray(spacing_mm)
    return places[cKDTree(places * edges).query(queries * edges)[1]]
