"""Make a volume as large as a patch: both sides get what is missing, with the intensity of nothing."""

from collections.abc import Sequence

import numpy as np

Margins = tuple[tuple[int, int], ...]


def margins(shape: Sequence[int], sizes: Sequence[int]) -> Margins:
    """Voxels to add before and after each axis so that none is shorter than its size."""
    missing = [max(size - edge, 0) for edge, size in zip(shape, sizes, strict=True)]
    return tuple((m // 2, m - m // 2) for m in missing)


def padded(voxels: np.ndarray, size: int, value: float) -> np.ndarray:
    """A volume (x, y, z) with no axis shorter than `size`; itself, if it is large enough."""
    added = margins(voxels.shape, [size] * voxels.ndim)
    if not any(map(any, added)):
        return voxels
    return np.pad(voxels, added, constant_values=value)
