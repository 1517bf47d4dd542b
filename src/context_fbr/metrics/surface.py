"""Distances between the surfaces of two masks in mm, and their volumes: numpy in, numbers out.

Measured as by DeepMind's surface-distance (Nikolov et al. 2021, doi:10.2196/26151): a surface is between
voxels. Wherever the eight voxels around a corner are not all alike there is an element of it, with the area
that marching cubes give it, so that a distance counts as much as the surface that has it.

Undefined is None: without foreground in the label nothing but the difference of the volumes is defined,
without any in the prediction no distance. An empty prediction of a label that is not has surface Dice 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from context_fbr.metrics import surface_elements
from context_fbr.metrics.overlap import crop_to_union
from context_fbr.metrics.surface_search import nearest, where

ALL = surface_elements.CODES - 1  # code of a corner with eight foreground voxels
PERCENTILE = 0.95


@dataclass(frozen=True)
class SurfaceScores:
    """Scores in physical units."""

    hausdorff_mm: float | None
    """Greatest distance of either surface to the other."""
    hd95_mm: float | None
    """Distance within which 95 % of the area of a surface is; the greater of both surfaces."""
    surface_dice: float | None
    """Share of both surfaces that is within the tolerance of the other one."""
    volume_difference_ml: float
    """Prediction - label."""


def score_surface(
    prediction: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float
) -> SurfaceScores:
    """Score a prediction against a label, both (x, y, z), foreground where not 0.

    Args:
        prediction: mask.
        label: mask of the same shape.
        spacing_mm: edges of a voxel, by axis.
        tolerance_mm: of the surface Dice; a distance equal to it is within.

    Raises:
        ValueError: if the shapes differ.
    """
    prediction, label = crop_to_union(prediction, label)
    millilitres = float(np.prod(spacing_mm)) / 1000
    difference = (int(prediction.sum()) - int(label.sum())) * millilitres
    if not label.any():
        return SurfaceScores(None, None, None, difference)
    if not prediction.any():
        return SurfaceScores(None, None, 0.0, difference)
    areas = surface_elements.areas(spacing_mm)
    predicted, true = _corner_codes(prediction), _corner_codes(label)
    sides = [
        (_distances(own, other, spacing_mm), areas[own[_is_surface(own)]])
        for own, other in ((predicted, true), (true, predicted))
    ]
    near = sum(float(weights[distances <= tolerance_mm].sum()) for distances, weights in sides)
    return SurfaceScores(
        max(float(distances.max()) for distances, _ in sides),
        max(_percentile(*side) for side in sides),
        near / sum(float(weights.sum()) for _, weights in sides),
        difference,
    )


def _corner_codes(mask: np.ndarray) -> np.ndarray:
    """Return a bit for each of the eight voxels around every corner, (x + 1, y + 1, z + 1) uint8.

    The order of the bits is that of the table of areas; voxels outside of the mask are background.
    """
    voxels = np.pad(mask.astype(np.uint8), 1)
    codes = np.zeros([edge + 1 for edge in mask.shape], np.uint8)
    for bit, offset in zip(range(7, -1, -1), product((0, 1), repeat=3), strict=True):
        there = tuple(slice(o, o + edge) for o, edge in zip(offset, codes.shape, strict=True))
        codes |= voxels[there] << np.uint8(bit)
    return codes


def _is_surface(codes: np.ndarray) -> np.ndarray:
    return (codes != 0) & (codes != ALL)


def _distances(own: np.ndarray, other: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Distance in mm of each surface element, in the order of its corners, to the other surface."""
    mine, others = _is_surface(own), _is_surface(other)
    corners = where(mine)
    alone = ~others[mine]  # an element on both surfaces is at distance 0: only the rest needs a search
    distances = np.zeros(len(corners))
    if alone.any():
        queries = corners[alone]
        # From whole numbers, so that what is 3 mm away is not 3.0000000000000004 and beyond a tolerance of 3.
        steps = (queries - nearest(queries, others, spacing_mm)) * spacing_mm
        distances[alone] = np.sqrt((steps**2).sum(axis=1))
    return distances


def _percentile(distances: np.ndarray, weights: np.ndarray) -> float:
    """The distance that `PERCENTILE` of the area keep within."""
    order = np.argsort(distances, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return float(distances[order][min(int(np.searchsorted(share, PERCENTILE)), len(order) - 1)])
