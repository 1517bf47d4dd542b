import math
from itertools import product

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric
from scipy.ndimage import binary_erosion

from context_fbr.metrics import overlap, surface_search
from context_fbr.metrics.overlap import score

SHAPE = (13, 11, 9)


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> np.ndarray:
    grid = np.indices(shape)
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def pairs() -> list[tuple[str, np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(7)
    empty = np.zeros(SHAPE, dtype=bool)
    inner = ball(SHAPE, (6, 5, 4), 3)
    border = empty.copy()
    border[:, :, :4] = True  # touches five faces
    corner = inner.copy()
    corner[12, 10, 8] = True  # one far false positive
    moved = np.roll(inner, 2, axis=0)
    one = empty.copy()
    one[3, 3, 3] = True
    fixed = [
        ("both empty", empty, empty),
        ("empty prediction", empty, inner),
        ("empty label", inner, empty),
        ("equal", inner, inner),
        ("moved", moved, inner),
        ("touching the border", border, inner),
        ("label touching the border", inner, border),
        ("far false positive", corner, inner),
        ("one voxel", one, inner),
        ("everything", ~empty, inner),
        ("disjoint", one, ball(SHAPE, (9, 8, 6), 2)),
    ]
    random = [
        (f"random {i}", generator.random(SHAPE) < p, generator.random(SHAPE) < q)
        for i, (p, q) in enumerate(product((0.002, 0.1, 0.5, 0.9), repeat=2))
    ]
    return fixed + random


def monai_value(metric: object, prediction: np.ndarray, label: np.ndarray) -> float | None:
    """MONAI's own number; its nan and inf are our None."""
    batch = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, label)]
    value = float(metric(*batch))  # type: ignore[operator]
    return value if math.isfinite(value) else None


def brute_hausdorff(prediction: np.ndarray, label: np.ndarray) -> float | None:
    """Every surface voxel against every other, with a surface found by looking at the six neighbours."""

    def surface(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        inner = np.ones_like(mask)
        for axis, step in product(range(3), (-1, 1)):
            inner &= np.roll(padded, step, axis=axis)[1:-1, 1:-1, 1:-1]
        return np.argwhere(mask & ~inner)

    first, second = surface(prediction), surface(label)
    if not len(first) or not len(second):
        return None
    squares = ((first[:, None] - second[None]) ** 2).sum(axis=-1)
    return math.sqrt(max(squares.min(axis=0).max(), squares.min(axis=1).max()))


@pytest.mark.filterwarnings("ignore:.*(all 0|inf|nan).*:UserWarning")
@pytest.mark.parametrize(("name", "prediction", "label"), pairs(), ids=[name for name, *_ in pairs()])
@pytest.mark.parametrize("search_cost", [0, 10**9], ids=["tree", "transform"])
def test_scores_equal_monai_s_and_a_brute_force(
    name: str, prediction: np.ndarray, label: np.ndarray, search_cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surface_search, "SEARCH_COST", search_cost)
    scores = score(prediction, label)
    assert scores.hausdorff_voxels == brute_hausdorff(prediction, label)
    theirs = monai_value(HausdorffDistanceMetric(include_background=True), prediction, label)
    # MONAI works in float32, so its number is the nearest float32 to ours
    assert (None if scores.hausdorff_voxels is None else float(np.float32(scores.hausdorff_voxels))) == theirs
    theirs = monai_value(DiceMetric(include_background=True), prediction, label)
    assert scores.dice == (None if theirs is None else pytest.approx(theirs, abs=1e-6))
    true = int(label.sum())
    expected = int((prediction != label).sum()) / true if true else None
    assert scores.absolute_difference == expected


def test_an_empty_prediction_has_dice_zero_and_no_hausdorff_distance() -> None:
    label = ball(SHAPE, (6, 5, 4), 3)
    scores = score(np.zeros(SHAPE, dtype=np.uint8), label)
    assert (scores.dice, scores.hausdorff_voxels, scores.absolute_difference) == (0.0, None, 1.0)


def test_masks_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2, 2\)"):
        score(np.zeros((2, 2, 2)), np.zeros((3, 3, 3)))


# dsc, abs_diff, fg_ratio of published test cases (synthetic task, UNet, patch 32, run 1; MIT, (c) 2022 AKA Math).
PUBLISHED_CASES = [
    (0.8571428656578064, 0.3262135922330097, 0.0005820945457175925),
    (0.8767123222351074, 0.2796116504854369, 0.0005820945457175925),
    (0.8975265026092529, 0.22524271844660193, 0.0005820945457175925),
    (0.9149722456932068, 0.1786407766990291, 0.0005820945457175925),
    (0.9253187775611877, 0.15922330097087378, 0.0005820945457175925),
    (0.9163745641708374, 0.18054054054054053, 0.001045509620949074),
    (0.9212362766265869, 0.17081081081081081, 0.001045509620949074),
    (0.9346473217010498, 0.1362162162162162, 0.001045509620949074),
    (0.9401975870132446, 0.12432432432432433, 0.001045509620949074),
    (0.934573233127594, 0.13883016208597604, 0.0016038682725694445),
    (0.9564220309257507, 0.09009009009009009, 0.002383761935763889),
    (0.950742781162262, 0.10257245197004233, 0.003471091941550926),
]


def test_abs_diff_is_the_published_one() -> None:
    """The published abs_diff is the symmetric difference: only then do its counts agree with those of dsc.

    With N = abs_diff x foreground voxels and Dice d, N / (1 - d) = |P| + |L| must be a whole number.
    """
    for dsc, abs_diff, ratio in PUBLISHED_CASES:
        total = abs_diff * ratio * 96**3 / (1 - dsc)
        assert abs(total - round(total)) < total / (1 - dsc) * 6e-8 + 0.01  # dsc was float32


def test_the_surface_is_what_an_erosion_takes_away() -> None:
    generator = np.random.default_rng(8)
    for shape in ((9, 7, 5), (1, 6, 6), (2, 2, 2), (4, 1, 1)):
        for density in (0.05, 0.5, 0.95, 1.0):
            mask = generator.random(shape) < density
            assert np.array_equal(overlap.surface(mask), mask & ~binary_erosion(mask))
            assert np.array_equal(surface_search.where(mask), np.argwhere(mask))


def test_masks_are_cut_to_the_smallest_box_that_holds_both_and_are_nothing_where_both_are_empty() -> None:
    prediction, label = np.zeros((7, 8, 9)), np.zeros((7, 8, 9), np.uint8)
    prediction[2, 3, 5], prediction[3, 5, 5] = 0.5, -2
    label[4, 4, 6], label[4, 4, 7] = 1, 255
    cut = overlap.crop_to_union(prediction, label)
    for mask, whole in zip(cut, (prediction, label), strict=True):
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, whole[2:5, 3:6, 5:8] != 0)
    np.testing.assert_array_equal(
        overlap.crop_to_union(prediction, prediction * 0)[0], prediction[2:4, 3:6, 5:6] != 0
    )
    assert [mask.shape for mask in overlap.crop_to_union(label * 0, label * 0)] == [(0, 0, 0)] * 2
    corners = np.zeros((2, 3, 4), bool)
    corners[0, 0, 0] = corners[1, 2, 3] = True
    assert overlap.crop_to_union(corners, corners)[0].shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("shared", "predicted", "true", "expected"),
    [(0, 0, 1, 0.0), (1, 1, 1, 1.0), (1, 2, 4, 1 / 3), (3, 4, 5, 2 / 3), (0, 5, 0, None), (0, 0, 0, None)],
)
def test_dice_is_twice_what_is_shared_of_both(
    shared: int, predicted: int, true: int, expected: float | None
) -> None:
    assert overlap.dice(shared, predicted, true) == (None if expected is None else pytest.approx(expected))
