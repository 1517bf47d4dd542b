"""Dice, Hausdorff distance and absolute difference of two masks: numpy in, numbers out.

Undefined is None, never NaN or infinity: without foreground in the label there is no Dice and no absolute
difference; without foreground in either mask there is no Hausdorff distance. An empty prediction of a label
that is not empty has Dice 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from context_fbr.metrics.surface_search import nearest, where


@dataclass(frozen=True)
class Scores:
    """Scores of the published test tables, with full names."""

    dice: float | None
    hausdorff_voxels: float | None
    absolute_difference: float | None


@dataclass(frozen=True)
class Detection:
    """Voxels that are found, and voxels that are labelled wrongly."""

    recall: float | None
    """Share of the label's voxels that are found; None if the label is empty."""
    false_positives: int
    """Voxels."""
    false_positive_share: float | None
    """Share of the background's voxels; None if there is no background."""
    label_voxels: int


def detect(prediction: np.ndarray, label: np.ndarray) -> Detection:
    """Count what a prediction finds and what it labels wrongly.

    Args:
        prediction: (x, y, z), foreground where not 0.
        label: (x, y, z), foreground where not 0.

    Raises:
        ValueError: if the shapes differ.
    """
    total = label.size
    prediction, label = crop_to_union(prediction, label)
    true = int(label.sum())
    shared = int((prediction & label).sum())
    false = int(prediction.sum()) - shared
    background = total - true
    return Detection(shared / true if true else None, false, false / background if background else None, true)


def score(prediction: np.ndarray, label: np.ndarray) -> Scores:
    """Score a prediction against a label, both (x, y, z), foreground where not 0.

    Raises:
        ValueError: if the shapes differ.
    """
    prediction, label = crop_to_union(prediction, label)
    predicted, true = int(prediction.sum()), int(label.sum())
    shared = int((prediction & label).sum())
    return Scores(
        dice(shared, predicted, true),
        hausdorff_voxels(prediction, label),
        (predicted + true - 2 * shared) / true if true else None,
    )


def dice(shared: int, predicted: int, true: int) -> float | None:
    """Dice coefficient 2 |P and L| / (|P| + |L|) from counts of voxels; None if the label is empty."""
    return 2 * shared / (predicted + true) if true else None


def hausdorff_voxels(prediction: np.ndarray, label: np.ndarray) -> float | None:
    """Greatest distance, in voxels, of a surface voxel of one mask to the surface of the other.

    The surface is what an erosion with the 6-neighbourhood takes away; the volume's border counts as outside
    (as monai.metrics.HausdorffDistanceMetric). None if a mask is empty.
    """
    if not prediction.any() or not label.any():
        return None
    surfaces = [surface(mask) for mask in (prediction, label)]
    # Voxels on both surfaces are at distance 0: only the others need a search.
    alone = [where(surfaces[0] & ~surfaces[1]), where(surfaces[1] & ~surfaces[0])]
    return max(_farthest(alone[0], surfaces[1]), _farthest(alone[1], surfaces[0]))


def surface(mask: np.ndarray) -> np.ndarray:
    """Return the voxels (x, y, z) bool of a mask that have one of their six neighbours outside of it.

    These are the voxels that scipy's binary_erosion removes, in a tenth of its time.
    """
    inner = mask.copy()
    for axis in range(mask.ndim):
        ours, theirs = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        ours[1:] &= theirs[:-1]
        ours[:-1] &= theirs[1:]
        ours[0] = ours[-1] = False
    return mask & ~inner


def _farthest(queries: np.ndarray, surface: np.ndarray) -> float:
    if not len(queries):
        return 0.0
    steps = queries - nearest(queries, surface)
    return math.sqrt(int((steps**2).sum(axis=1).max()))


def crop_to_union(prediction: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as bool in the box of their union; voxels outside of it change no score.

    Raises:
        ValueError: if the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f"prediction has the shape {prediction.shape}, label {label.shape}")
    prediction, label = prediction != 0, label != 0
    box = []
    for axis in range(prediction.ndim):
        others = tuple(a for a in range(prediction.ndim) if a != axis)
        used = np.flatnonzero(prediction.any(axis=others) | label.any(axis=others))
        box.append(slice(used[0], used[-1] + 1) if used.size else slice(0, 0))
    return prediction[tuple(box)], label[tuple(box)]
