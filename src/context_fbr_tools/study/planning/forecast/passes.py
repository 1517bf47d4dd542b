"""Number of windows that pass a network for a volume."""

import math
from collections.abc import Sequence

from context_fbr.core.padding import window_corners


def count(shape: Sequence[int], window: Sequence[int], core: int | None, overlap: float) -> int:
    """Return the number of windows that a volume needs.

    Args:
        shape: edges of the volume in voxels.
        window: edges of the window in voxels.
        core: edge of the part of a window that counts; None: all of it.
        overlap: share of a window, or its core, that overlaps with the next.
    """
    edges = zip(shape, window, strict=True)
    return math.prod(_along(max(edge, length), length, core, overlap) for edge, length in edges)


def _along(edge: int, window: int, core: int | None, overlap: float) -> int:
    """Return the number of different windows along an axis: cores at its ends share one."""
    inner = min(core or window, window)
    starts = window_corners(edge, inner, overlap)
    return len({min(max(start - (window - inner) // 2, 0), edge - window) for start in starts})
