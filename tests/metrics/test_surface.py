"""Surface distances in mm against DeepMind's own code and against counting."""

import warnings
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import surface_distance
from surface_distance import metrics as oracle

from context_fbr.metrics import surface, surface_elements, surface_search
from context_fbr.metrics.surface import SurfaceScores, score_surface

SPACINGS = [(1.0, 1.0, 1.0), (0.79, 0.79, 5.0), (2.5, 0.7, 1.5), (1.5, 1.5, 2.0)]


@pytest.fixture(autouse=True)
def _old_names_of_scipy() -> Iterator[None]:
    """The oracle is of 2018: it takes functions of scipy by names that scipy has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def blobs(generator: np.random.Generator, shape: tuple[int, int, int], count: int) -> np.ndarray:
    """A mask of some balls and of single voxels; balls may be cut by the border."""
    mask = np.zeros(shape, bool)
    places = np.indices(shape).transpose(1, 2, 3, 0)
    for _ in range(count):
        centre, radius = generator.uniform(0, shape), generator.uniform(0.5, min(shape) / 3)
        mask |= ((places - centre) ** 2).sum(axis=-1) <= radius**2
    mask[generator.random(shape) < 0.003] = True
    return mask


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of masks: similar, apart, one inside of the other, at the border, full, single voxels, noise."""
    generator = np.random.default_rng(5)
    found = []
    for _ in range(6):
        shape = tuple(int(n) for n in generator.integers(3, 22, 3))
        found.append((blobs(generator, shape, 3), blobs(generator, shape, 3)))
    mask = blobs(generator, (20, 18, 15), 2)
    found += [(mask, mask), (mask, np.roll(mask, 2, axis=0)), (np.ones_like(mask), mask)]
    single, other = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    single[0, 0, 0] = other[8, 8, 8] = True
    noise = generator.random((11, 12, 13))
    return [*found, (single, other), (noise > 0.5, noise > 0.7)]


def deepmind(
    prediction: np.ndarray, label: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> tuple[float, float, float]:
    distances = surface_distance.compute_surface_distances(label, prediction, spacing)
    return (
        oracle.compute_robust_hausdorff(distances, 100),
        oracle.compute_robust_hausdorff(distances, 95),
        oracle.compute_surface_dice_at_tolerance(distances, tolerance),
    )


@pytest.mark.parametrize(
    "search_cost", [0, surface_search.SEARCH_COST, 10**9], ids=["tree", "either", "transform"]
)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_scores_are_those_of_deepminds_surface_distance(
    spacing: tuple[float, float, float], search_cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surface_search, "SEARCH_COST", search_cost)
    for tolerance, (prediction, label) in product((1.0, 3.0), pairs()):
        ours = score_surface(prediction, label, spacing, tolerance)
        expected = deepmind(prediction, label, spacing, tolerance)
        # its areas are float64, those of the table here float32
        np.testing.assert_allclose(
            (ours.hausdorff_mm, ours.hd95_mm, ours.surface_dice), expected, rtol=1e-6, atol=1e-7
        )


def test_an_empty_mask_has_no_distance_and_the_volume_is_signed() -> None:
    empty, two = np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)
    two[1, 2, 2:4] = True
    spacing = (2.0, 5.0, 10.0)  # 0.1 ml a voxel
    assert score_surface(empty, two, spacing, 1.0) == SurfaceScores(None, None, 0.0, -0.2)
    assert score_surface(two, empty, spacing, 1.0) == SurfaceScores(None, None, None, 0.2)
    assert score_surface(empty, empty, spacing, 1.0) == SurfaceScores(None, None, None, 0.0)


def test_a_distance_equal_to_the_tolerance_is_within_it_whatever_the_rounding() -> None:
    # Two plates ten voxels of 0.1 mm apart: in floating point 0.7 + 1.0 - 0.7 is not 1.0.
    label, moved = np.zeros((3, 3, 40), bool), np.zeros((3, 3, 40), bool)
    label[:, :, :7], moved[:, :, :17] = True, True
    scores = score_surface(moved, label, (5.0, 5.0, 0.1), 1.0)
    assert scores.hausdorff_mm == 1.0
    assert scores.surface_dice == 1.0
    assert score_surface(moved, label, (5.0, 5.0, 0.1), 0.999).surface_dice < 1.0


def test_area_counts_in_the_percentile_and_not_the_number_of_elements() -> None:
    label = np.zeros((30, 30, 12), bool)
    label[5:25, 5:25, 2:6] = True
    prediction = label.copy()
    prediction[10:13, 10:13, 6:10] = True  # a spike: few of the elements, little of the area
    scores = score_surface(prediction, label, (1.0, 1.0, 4.0), 1.0)
    assert scores.hausdorff_mm == 16.0
    assert scores.hd95_mm is not None
    assert scores.hd95_mm < 16.0


def test_a_crop_or_a_larger_volume_changes_nothing() -> None:
    prediction, label = pairs()[0]
    larger = [np.pad(mask, ((3, 1), (0, 7), (2, 2))) for mask in (prediction, label)]
    spacing = (0.79, 0.79, 5.0)
    assert score_surface(*larger, spacing, 2.0) == score_surface(prediction, label, spacing, 2.0)


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction has the shape \(2, 2, 2\), label \(2, 2, 3\)"):
        score_surface(np.ones((2, 2, 2)), np.ones((2, 2, 3)), (1.0, 1.0, 1.0), 1.0)


def test_the_areas_are_those_of_the_oracle_s_table() -> None:
    from surface_distance import lookup_tables

    for spacing in SPACINGS:
        ours = surface_elements.areas(spacing)
        theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_scores_of_two_single_voxels_are_these() -> None:
    """Two voxels that are 3 voxels apart along y: the eight corners of one are 3 x 0.5 mm from those of the other."""
    prediction, label = np.zeros((5, 9, 5), bool), np.zeros((5, 9, 5), bool)
    prediction[2, 1, 2] = label[2, 4, 2] = True
    spacing = (2.0, 0.5, 4.0)
    far = score_surface(prediction, label, spacing, 1.0)
    # Of each surface four corners are 2 voxels from the other's nearest ones, and four are 3 voxels.
    assert (far.hausdorff_mm, far.hd95_mm, far.volume_difference_ml) == (1.5, 1.5, 0.0)
    assert far.surface_dice == 0.5
    assert score_surface(prediction, label, spacing, 0.999).surface_dice == 0.0
    assert score_surface(prediction, label, spacing, 1.499).surface_dice == 0.5
    assert score_surface(prediction, label, spacing, 1.5).surface_dice == 1.0


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((95.0, 5.0), 1.0),  # exactly 95 % of the area keep within 1 mm
        ((94.9, 5.1), 2.0),
        ((1.0, 99.0), 2.0),
        ((99.0, 1.0), 1.0),
    ],
)
def test_the_percentile_is_the_least_distance_that_95_percent_of_the_area_keep_within(
    weights: tuple[float, float], expected: float
) -> None:
    distances, areas = np.array([2.0, 1.0]), np.array(weights[::-1])
    assert surface._percentile(distances, areas) == expected
    assert surface._percentile(np.array([3.0]), np.array([0.1])) == 3.0


def test_each_way_between_two_surfaces_counts_and_the_greater_distance_is_taken() -> None:
    """A far voxel of one mask: its own surface is far from the other's, and not the other way round."""
    label = np.zeros((12, 5, 5), bool)
    label[1:4, 1:4, 1:4] = True
    more = label.copy()
    more[10, 2, 2] = True
    for prediction, truth, sign in ((more, label, 1), (label, more, -1)):
        scores = score_surface(prediction, truth, (1.0, 1.0, 1.0), 1.0)
        # From the corner at 10.5 to the face at 3.5, where the surface has an element at every corner of it.
        assert scores.hausdorff_mm == 7.0
        assert scores.volume_difference_ml == pytest.approx(sign * 0.001)
        assert 0.8 < scores.surface_dice < 1.0
