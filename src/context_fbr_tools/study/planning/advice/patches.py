"""Content of the training patches of each size by the labels alone, drawn as the training draws them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from context_fbr.config.training import Training
from context_fbr.core.padding import is_smaller, padded, voxels_in_boxes
from context_fbr.core.patch_size import PatchSize, edges_of, voxels
from context_fbr.training import sampling

DRAWS = 64
"""Patches of a case that are looked at."""
SEED = 1


@dataclass(frozen=True)
class Labelled:
    """A prepared case as far as the draw of patches needs it."""

    name: str
    label: np.ndarray
    """(x, y, z) uint8, the number of a structure or 0."""
    tissue: np.ndarray
    """(x, y, z) bool: where a patch may be centred on background."""
    is_test: bool = False


@dataclass(frozen=True)
class Facts:
    """Content of the patches of a size, over all cases and draws."""

    size: PatchSize
    ratios: np.ndarray
    """Foreground voxels / all voxels of each patch."""
    whole: float
    """Share of the patches that hold every foreground voxel of their case."""
    held: float
    """Mean share of the case's foreground in a patch that is centred on foreground."""
    every_structure: float
    """Share of the patches that hold a voxel of each structure of their case."""
    at_border: float
    """Share of the patches that touch the border of their volume."""
    padded: int
    """Number of cases that are smaller than the patch."""
    outside: int
    """Number of test cases whose own ratio is not strictly within the range of the patches'."""


def facts(cases: Sequence[Labelled], size: PatchSize, settings: Training, structures: int) -> Facts:
    """Draw patches of a size in the training cases and return what they hold.

    Args:
        cases: of the task; patches are drawn in those of the training.
        size: of a patch in voxels.
        settings: of the training, which decide the centres.
        structures: number of classes but the background.
    """
    rows = [row for case in cases if not case.is_test for row in _patches(case, size, settings, structures)]
    ratios, shares, every, border = (np.array(column) for column in zip(*rows, strict=True))
    tests = np.array([np.count_nonzero(case.label) / case.label.size for case in cases if case.is_test])
    outside = int(((tests <= ratios.min()) | (tests >= ratios.max())).sum())
    centred = shares[shares > 0]
    small = sum(is_smaller(case.label.shape, edges_of(size)) for case in cases)
    return Facts(
        size,
        ratios,
        float((shares == 1).mean()),
        float(centred.mean()) if len(centred) else 0.0,
        float(every.mean()),
        float(border.mean()),
        small,
        outside,
    )


def _patches(
    case: Labelled, size: PatchSize, settings: Training, structures: int
) -> Iterator[tuple[float, float, bool, bool]]:
    """Yield of each patch: its ratio, its share of the foreground, has every structure, is at the border."""
    label = padded(case.label, size, 0)
    tissue = padded(case.tissue.astype(np.float32), size, 0.0)
    where = sampling.candidates(case.name, tissue, label)
    centres = settings.centres or settings.foreground_patch_probability
    corners = sampling.core_corners(where, size, DRAWS, centres, SEED, 1)
    counts = np.stack(
        [voxels_in_boxes(label == number, corners, edges_of(size)) for number in range(1, structures + 1)]
    )
    there = np.array([(label == number).any() for number in range(1, structures + 1)])
    whole = int(np.count_nonzero(label))
    ends = (corners == 0) | (corners + edges_of(size) == np.array(label.shape))
    for place, count in enumerate(counts.sum(axis=0).tolist()):
        every = bool((counts[there, place] > 0).all() and there.any())
        yield count / voxels(size), count / whole if whole else 0.0, every, bool(ends[place].any())
