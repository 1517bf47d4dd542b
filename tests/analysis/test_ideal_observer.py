"""The ideal observer against brute force over windows, and against what its design promises."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from workspace import ROOT

from context_fbr.analysis.tables.ideal_observer import decided, observer_table
from context_fbr.config.document import Document
from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core.padding import window_corners
from context_fbr.core.patch_size import Edges, PatchSize, edges_of
from context_fbr.datasets import twins

RAW = Document.read(Path(ROOT / "params.yaml")).section(("tasks", "twins", "raw"), TwinsRaw)
SMALL = RAW.model_copy(
    update={
        "edge": 24,
        "radius": (2, 3),
        "thickness": 1,
        "test": RAW.test.model_copy(update={"distance": (4, 9), "per_distance": 1}),
    }
)


def brute_force(shells: np.ndarray, patch_size: PatchSize, core: PatchSize, overlap: float) -> np.ndarray:
    """Every core of the sliding window, each looked at through its own window."""
    seen = np.zeros(shells.shape, bool)
    inner, patch = edges_of(core), edges_of(patch_size)
    axes = zip(shells.shape, inner, strict=True)
    for corner in itertools.product(*(window_corners(edge, own, overlap) for edge, own in axes)):
        window = []
        for start, edge, outer, own in zip(corner, shells.shape, patch, inner, strict=True):
            first = start - (outer - own) // 2
            first = min(max(first, 0), edge - outer)
            window.append(slice(first, first + outer))
        if shells[tuple(window)].any():
            seen[tuple(slice(start, start + own) for start, own in zip(corner, inner, strict=True))] = True
    return seen


@pytest.mark.parametrize(
    ("patch_size", "core"),
    [
        (8, 8),
        (12, 8),
        (12, 5),
        (24, 8),
        (24, 24),
        (Edges(12, 8, 10), 8),
        (Edges(16, 12, 24), Edges(8, 8, 12)),
    ],
)
@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_decided_voxels_are_those_of_brute_force_over_windows(
    patch_size: PatchSize, core: PatchSize, overlap: float
) -> None:
    for index in range(SMALL.test.count):
        shells = twins.generate(SMALL, twins.TEST, index).shells > 0
        expected = brute_force(shells, patch_size, core, overlap)
        np.testing.assert_array_equal(decided(shells, patch_size, core, overlap), expected)


def test_scores_are_those_of_masks_that_are_made_voxel_by_voxel() -> None:
    table = observer_table(SMALL, "twins", [(8, 8), (24, 8)], 0.25)
    assert len(table) == 2 * SMALL.test.count
    for row in table.itertuples():
        index = int(row.filename.rpartition("_")[2]) - SMALL.training.count
        made = twins.generate(SMALL, twins.TEST, index)
        seen = brute_force(made.shells > 0, row.patch_size, row.core, 0.25)
        hits = {1: 0, 2: 0}
        for place in np.argwhere(made.label > 0):
            ball = int(made.label[tuple(place)])
            hits[ball] += ball == 1 or not seen[tuple(place)]
        sizes = {ball: int((made.label == ball).sum()) for ball in (1, 2)}
        assert row.distance == made.distance == 4 + index
        assert (row.hit, row.false) == pytest.approx((1.0, hits[2] / sizes[2]))
        assert row.dice == pytest.approx(2 * hits[1] / (hits[1] + hits[2] + sizes[1]))


def test_a_window_over_the_volume_decides_every_voxel_and_a_small_one_only_near_shells() -> None:
    table = observer_table(RAW, "twins", [(16, 16), (32, 16), (48, 16), (48, 48)], 0.25)
    means = table.groupby(["patch_size", "core"])[["dice", "hit", "false"]].mean()
    assert means.loc[(48, 16)].tolist() == means.loc[(48, 48)].tolist() == [1.0, 1.0, 0.0]
    by_distance = table[table["patch_size"] == 16].groupby("distance")["dice"].mean()
    assert (by_distance[by_distance.index <= 13] == 1).all()
    assert by_distance[22] < 0.85


def test_the_table_has_one_row_for_each_case_as_drawn_and_window() -> None:
    table = observer_table(RAW, "twins", [(16, 16), (32, 16)], 0.25)
    names = {volume.name for volume in twins.volumes(RAW, "twins") if volume.stream == twins.TEST}
    assert set(table["filename"]) == {name for name in names if "_" not in name.removeprefix("twins_")}
    assert not table.duplicated(["filename", "patch_size", "core"]).any()
