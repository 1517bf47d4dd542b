"""From the values of a label to the mask of what is segmented."""

from collections.abc import Iterable

import numpy as np


def foreground_mask(values: np.ndarray, foreground: Iterable[int]) -> np.ndarray:
    """A mask (uint8, in memory as the values are): 1 where the value is one of `foreground`.

    numpy.isin takes ten times as long, and copies what lies in NIfTI's order.
    """
    mask = np.zeros_like(values, dtype=np.uint8)
    for value in foreground:
        mask |= values == value
    return mask
