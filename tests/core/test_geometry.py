"""The prepared grid and the way back, against MONAI, against scipy and on the labels of MSD."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from workspace import ROOT

from context_fbr.config.document import plain
from context_fbr.core import nifti
from context_fbr.core.geometry import Box, Geometry, distance_mm, geometry, shear, to_original, to_prepared

LABELS = ROOT.parent / "shared" / "data" / "msd_spleen_labels" / "labelsTr"
EDGES_MM = (0.5, 0.75, 0.7988, 1.0003, 1.2345, 1.5, 2.0, 3.0, 5.0, 7.0)
SPACINGS_MM = (0.8, 1.0, 1.5, 2.0, 3.3)


def random_affine(generator: np.random.Generator, degrees: float) -> np.ndarray:
    """Axes in any order and direction, turned by up to some degrees, with any of `EDGES_MM`."""
    axes = np.eye(3)[generator.permutation(3)] * generator.choice([-1, 1], 3)
    turn = Rotation.from_euler("xyz", generator.uniform(-degrees, degrees, 3), degrees=True)
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() @ axes * generator.choice(EDGES_MM, 3)
    affine[:3, 3] = generator.uniform(-300, 300, 3)
    return affine


def random_box(generator: np.random.Generator, shape: tuple[int, ...]) -> Box:
    starts = [int(generator.integers(0, edge)) for edge in shape]
    x, y, z = (
        (start, int(generator.integers(start + 1, edge + 1)))
        for start, edge in zip(starts, shape, strict=True)
    )
    return x, y, z


def random_geometry(seed: int) -> tuple[np.random.Generator, Geometry]:
    """A volume of 1 to 9 voxels an axis, a box of it, a spacing; every second one is oblique."""
    generator = np.random.default_rng(seed)
    shape = tuple(int(edge) for edge in generator.integers(1, 10, 3))
    affine = random_affine(generator, 20 if seed % 2 else 0)
    x, y, z = (float(edge) for edge in generator.choice(SPACINGS_MM, 3))
    return generator, geometry(shape, affine, random_box(generator, shape), (x, y, z))


def monai_s(voxels: np.ndarray, where: Geometry, mode: str) -> MetaTensor:
    """The box of a volume through MONAI's Orientation and Spacing, (x, y, z)."""
    affine = np.array(where.original_affine)
    affine[:3, 3] += affine[:3, :3] @ [start for start, _ in where.box]
    cropped = voxels[tuple(slice(*edges) for edges in where.box)].astype(np.float32)
    tensor = MetaTensor(torch.from_numpy(cropped)[None], affine=torch.from_numpy(affine))
    turned = Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(tensor)
    return Spacing(where.spacing_mm, mode=mode)(turned)


def positions(where: Geometry) -> list[np.ndarray]:
    """By axis of the prepared grid: where its voxels lie between those of the turned box."""
    return [
        (np.arange(length) * step).clip(0, edge - 1)
        for length, step, edge in zip(where.shape, where.steps, where.cropped_shape, strict=True)
    ]


def is_half(values: np.ndarray) -> np.ndarray:
    return np.abs(values - np.floor(values) - 0.5) < 1e-6


def original_indices(where: Geometry) -> np.ndarray:
    """(3, x, y, z): where the prepared voxels lie in the original grid, through the world."""
    index = np.stack([*np.indices(where.shape), np.ones(where.shape)])
    through = np.linalg.inv(where.original_affine) @ np.array(where.affine)
    return np.einsum("ij,j...->i...", through, index)[:3]


@pytest.mark.slow
def test_random_grids_are_resampled_as_monai_does() -> None:
    """Labels, and shapes by one voxel, may differ at exact halves alone.

    There MONAI's choice hangs on the last bit of a position; ours is the even one.
    """
    voxels = differing = other_shapes = 0
    for seed in range(300):
        generator, where = random_geometry(seed)
        image = generator.normal(0, 1, where.original_shape).astype(np.float32)
        label = (image > 0.3).astype(np.uint8)
        their_image, their_label = monai_s(image, where, "bilinear"), monai_s(label, where, "nearest")
        if their_image.shape[1:] != where.shape:
            extents = (np.array(where.cropped_shape) - 1) / where.steps
            differ = np.array(their_image.shape[1:]) != where.shape
            assert is_half(extents[differ]).all(), seed
            assert (np.array(where.shape)[differ] % 2 == 0).all(), seed  # ours is the even one
            other_shapes += 1
            continue
        np.testing.assert_allclose(where.affine, their_image.affine.numpy(), atol=1e-6, rtol=0)
        np.testing.assert_allclose(
            to_prepared(image, where, linear=True), their_image[0].numpy(), atol=1e-6, rtol=0
        )
        ours = to_prepared(label, where, linear=False)
        places = np.argwhere(ours != their_label[0].numpy())
        halves = [is_half(axis) for axis in positions(where)]
        assert all(any(half[i] for half, i in zip(halves, place, strict=True)) for place in places), seed
        voxels, differing = voxels + ours.size, differing + len(places)
    assert other_shapes <= 3
    assert differing < 0.01 * voxels


def test_every_prepared_voxel_is_where_its_affine_says() -> None:
    """The world coordinates of the original voxels, as three images: interpolated linearly, they are exact."""
    for seed in range(100):
        _, where = random_geometry(seed)
        index = np.stack([*np.indices(where.original_shape), np.ones(where.original_shape)])
        world = np.einsum("ij,j...->i...", np.array(where.original_affine), index)[:3]
        ours = np.stack([to_prepared(axis, where, linear=True) for axis in world])
        prepared = np.stack([*np.indices(where.shape), np.ones(where.shape)])
        there = np.einsum("ij,j...->i...", np.array(where.affine), prepared)[:3]
        inside = [
            np.arange(length) * step <= edge - 1
            for length, step, edge in zip(where.shape, where.steps, where.cropped_shape, strict=True)
        ]
        kept = np.ix_(*(np.flatnonzero(axis) for axis in inside))  # past the last voxel its value is repeated
        for axis in range(3):
            np.testing.assert_allclose(ours[axis][kept], there[axis][kept], atol=1e-4, rtol=0)
        assert all(np.flatnonzero(~axis).size <= 1 for axis in inside)


@pytest.mark.parametrize("seed", range(12))
def test_an_oblique_scan_is_resampled_and_brought_back_as_scipy_does_through_the_world(seed: int) -> None:
    """Turned by 10 degrees about two axes, with its axes swapped and flipped in all ways."""
    generator = np.random.default_rng(seed)
    shape = (11, 8, 13)
    affine = np.eye(4)
    turn = Rotation.from_euler("xy", [10, 10], degrees=True).as_matrix()
    axes = np.eye(3)[generator.permutation(3)] * generator.choice([-1, 1], 3)
    affine[:3, :3] = turn @ axes * (0.9, 1.1, 4.0)
    affine[:3, 3] = 20, -30, 40
    where = geometry(shape, affine, ((1, 10), (0, 7), (2, 13)), (1.5, 1.3, 2.0))
    image = generator.normal(0, 1, shape)
    start, stop = np.array(where.box).T
    indices = original_indices(where).clip(start[:, None, None, None], stop[:, None, None, None] - 1)
    np.testing.assert_allclose(
        to_prepared(image, where, linear=True), map_coordinates(image, indices, order=1), atol=1e-9, rtol=0
    )
    mask = (generator.normal(0, 1, where.shape) > 0).astype(np.uint8)
    index = np.stack([*np.indices(shape), np.ones(shape)])
    back = np.einsum("ij,j...->i...", np.linalg.inv(where.affine) @ affine, index)[:3]
    expected = map_coordinates(mask.astype(np.float64), back, order=1, mode="nearest")
    inside = np.zeros(shape, bool)
    inside[tuple(slice(*edges) for edges in where.box)] = True
    ours = to_original(mask, where)
    sure = np.abs(expected - 0.5) > 1e-5
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours[sure], ((expected >= 0.5) & inside)[sure])
    assert sure.mean() > 0.95


def test_a_grid_that_is_kept_is_kept_to_the_last_voxel() -> None:
    generator = np.random.default_rng(0)
    image = generator.random((4, 1, 6), dtype=np.float32)
    kept = geometry(image.shape, np.diag([0.7, 0.7, 5.0, 1.0]))
    assert kept.is_kept
    assert (kept.shape, kept.steps) == (image.shape, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(to_prepared(image, kept, linear=True), image)
    np.testing.assert_array_equal(kept.affine, kept.original_affine)
    flipped = geometry(image.shape, np.diag([-0.7, 0.7, 5.0, 1.0]))
    cropped = geometry(image.shape, np.eye(4), ((0, 4), (0, 1), (1, 6)))
    finer = geometry(image.shape, np.eye(4), None, (1.0, 1.0, 0.5))
    assert not any(where.is_kept for where in (flipped, cropped, finer))


def test_is_kept_means_that_nothing_changes() -> None:
    kept = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        shape = tuple(int(edge) for edge in generator.integers(1, 4, 3))
        affine = np.diag([*generator.choice([1.0, 1.5], 3), 1.0]) if seed % 2 else random_affine(generator, 0)
        box = None if seed % 3 else random_box(generator, shape)
        where = geometry(shape, affine, box, (1.0, 1.5, 1.0) if seed % 5 else None)
        image = generator.random(shape)
        same = where.shape == shape and np.array_equal(to_prepared(image, where, linear=True), image)
        assert same or not where.is_kept
        kept += where.is_kept
    assert kept > 10


def test_a_mask_comes_back_from_its_own_spacing_as_it_was_inside_the_box() -> None:
    for seed in range(200):
        generator = np.random.default_rng(seed)
        shape = tuple(int(edge) for edge in generator.integers(1, 10, 3))
        affine = random_affine(generator, 20 if seed % 2 else 0)
        where = geometry(shape, affine, random_box(generator, shape))
        mask = generator.integers(0, 2, shape).astype(np.uint8)
        expected = np.zeros_like(mask)
        box = tuple(slice(*edges) for edges in where.box)
        expected[box] = mask[box]
        back = to_original(to_prepared(mask, where, linear=False), where)
        np.testing.assert_array_equal(back, expected)


def test_inputs_are_left_as_they_were() -> None:
    generator, where = random_geometry(7)
    image = generator.random(where.original_shape, dtype=np.float32)
    mask = generator.integers(0, 2, where.shape).astype(np.uint8)
    before = image.copy(), mask.copy()
    to_prepared(image, where, linear=True)
    to_original(mask, where)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("degrees", [0.0, 5.0, 37.0])
@pytest.mark.parametrize(("slices", "expected"), [(34, 84), (35, 86), (36, 88), (37, 91)])
def test_an_extent_that_ends_half_way_is_even_however_the_scan_is_oriented(
    slices: int, expected: int, degrees: float
) -> None:
    """5 mm slices to 2 mm: (34 - 1) * 2.5 + 1 = 83.5 voxels."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix() * (1, 1, 5)
    affine[:3, 3] = -383.1, 71.7, 0.1
    assert geometry((1, 1, slices), affine, None, (1.0, 1.0, 2.0)).shape[2] == expected


def test_an_edge_that_is_wanted_but_for_rounding_is_kept() -> None:
    where = geometry((5, 5, 300), np.diag([1.5004, 1.502, 2.0, 1.0]), None, (1.5, 1.5, 2.0))
    assert where.spacing_mm == pytest.approx((1.5004, 1.5, 2.0), abs=1e-12)
    assert where.steps == pytest.approx((1.0, 1.5 / 1.502, 1.0), abs=1e-12)


def test_the_original_spacing_is_in_the_order_of_the_original_axes() -> None:
    affine = np.array([[0, -2.0, 0, 30], [1.0, 0, 0, 5], [0, 0, -3.0, 9], [0, 0, 0, 1]])
    where = geometry((4, 5, 6), affine)
    assert where.original_spacing_mm == (1.0, 2.0, 3.0)
    assert (where.spacing_mm, where.shape) == ((2.0, 1.0, 3.0), (5, 4, 6))


def test_a_geometry_survives_its_json() -> None:
    for seed in range(10):
        _, where = random_geometry(seed)
        listed = {key: plain(_lists(value)) for key, value in asdict(where).items()}
        assert Geometry(**listed) == where


def _lists(value: object) -> object:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def test_the_distance_of_two_grids_is_that_of_their_corners() -> None:
    first, second = np.diag([1.0, 2.0, 3.0, 1.0]), np.diag([1.0, 2.0, 3.1, 1.0])
    second[:3, 3] = 0.4, 0, 0
    assert distance_mm(first, second, (10, 20, 30)) == pytest.approx(math.hypot(0.4, 0.1 * 30))
    assert distance_mm(first, first, (10, 20, 30)) == 0


def test_shear_is_the_cosine_between_two_axes() -> None:
    angle = math.radians(70)
    sheared = np.eye(4)
    sheared[:3, 1] = math.cos(angle), math.sin(angle), 0
    assert shear(sheared * (2, 3, 4, 1)) == pytest.approx(math.cos(angle))
    assert shear(random_affine(np.random.default_rng(0), 20)) < 1e-9


def overlap(path: Path) -> float:
    """Dice of an MSD label with itself through the published grid, cropped in-plane as a body would."""
    volume = nifti.read(path)
    label = (np.asarray(volume.dataobj) > 0).astype(np.uint8)
    used = [np.flatnonzero(label.any(axis=axes)) for axes in ((1, 2), (0, 2))]
    x, y = (
        (max(int(axis[0]) - 40, 0), min(int(axis[-1]) + 41, edge))
        for axis, edge in zip(used, label.shape, strict=False)
    )
    where = geometry(label.shape, volume.affine, (x, y, (0, label.shape[2])), (1.5, 1.5, 2.0))
    back = to_original(to_prepared(label, where, linear=False), where)
    return 2 * int((label & back).sum()) / (int(label.sum()) + int(back.sum()))


@pytest.mark.parametrize("case", ["spleen_24", "spleen_56", "spleen_6", "spleen_21", "spleen_17", "spleen_8"])
def test_msd_labels_overlap_themselves_after_the_way_there_and_back(case: str) -> None:
    """Those that overlap least, and the one with slices of 7.5 mm."""
    path = LABELS / f"{case}.nii.gz"
    if not path.is_file():
        pytest.skip("the labels of MSD Task09 are not at hand")
    assert overlap(path) > 0.97


@pytest.mark.slow
def test_all_msd_labels_overlap_themselves_after_the_way_there_and_back() -> None:
    if not LABELS.is_dir():
        pytest.skip("the labels of MSD Task09 are not at hand")
    scores = {path.name: overlap(path) for path in sorted(LABELS.glob("[!.]*.nii.gz"))}
    assert len(scores) == 41
    worst = min(scores, key=scores.__getitem__)
    assert scores[worst] > 0.97, (worst, scores[worst])
    assert worst == "spleen_24.nii.gz"
