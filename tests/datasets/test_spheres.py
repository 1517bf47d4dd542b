import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from context_fbr.config.document import Document
from context_fbr.config.raw.spheres import SphereSet, SpheresRaw
from context_fbr.datasets import spheres


@pytest.fixture
def raw(params: Path) -> SpheresRaw:
    return Document.read(params).section(("tasks", "spheres", "raw"), SpheresRaw)


def random_test(raw: SpheresRaw) -> SpheresRaw:
    """The recipe with test radii that are drawn."""
    return raw.model_copy(update={"test": SphereSet(volumes=24, radius=(2, 23))})


def test_a_volume_depends_on_seed_set_and_number_alone(raw: SpheresRaw) -> None:
    image, label = spheres.generate(raw, spheres.TRAINING, 3)
    again, _ = spheres.generate(raw, spheres.TRAINING, 3)
    np.testing.assert_array_equal(image, again)
    assert (image.dtype, label.dtype, image.shape) == (np.float32, np.uint8, (48, 48, 48))
    more = raw.model_copy(update={"training": raw.training.model_copy(update={"volumes": 1000})})
    np.testing.assert_array_equal(image, spheres.generate(more, spheres.TRAINING, 3)[0])
    others = [
        spheres.generate(raw, spheres.TRAINING, 4),
        spheres.generate(raw, spheres.TEST, 3),
        spheres.generate(raw.model_copy(update={"seed": raw.seed + 1}), spheres.TRAINING, 3),
    ]
    assert not any(np.array_equal(image, other) for other, _ in others)


def test_the_sphere_is_every_voxel_within_the_radius_and_is_inside_of_the_cube(raw: SpheresRaw) -> None:
    """Brute force over the whole cube; the published check values r = 25 and 34 at 96^3."""
    expected = {25: 0.07377, 34: 0.18595}
    for radius, ratio in expected.items():
        recipe = raw.model_copy(
            update={"edge": 96, "training": raw.training.model_copy(update={"radius": (radius, radius)})}
        )
        _, label = spheres.generate(recipe, spheres.TRAINING, 0)
        assert label.mean() == pytest.approx(ratio, abs=5e-6)
        centre = np.argwhere(label).mean(axis=0)
        assert ((centre >= radius) & (centre < 96 - radius)).all()
        distance = sum((g - c) ** 2 for g, c in zip(np.indices(label.shape), centre, strict=True))
        np.testing.assert_array_equal(label, distance <= radius**2 + 1e-6)


def test_radii_cover_their_range_evenly(raw: SpheresRaw) -> None:
    volumes = [spheres.generate(raw, spheres.TRAINING, i)[1].sum() for i in range(300)]
    sizes, counts = np.unique(volumes, return_counts=True)
    assert len(sizes) == raw.training.radius[1] - raw.training.radius[0] + 1
    # 300 draws from 6 values: chi-square of 5 degrees of freedom, level 1e-4
    assert ((counts - 50) ** 2 / 50).sum() < 25.7


def test_the_background_is_the_published_recipe(raw: SpheresRaw) -> None:
    """Its maximum is 1.0 where the hidden intensity is below 0.8, else 0.8 / h."""
    maxima, means = [], []
    for index in range(60):
        image, label = spheres.generate(raw, spheres.TRAINING, index)
        assert (image[label > 0] == 1.0).all()
        background = image[label == 0]
        assert background.min() >= 0
        maxima.append(background.max())
        means.append(background.mean())
    np.testing.assert_allclose(means, np.divide(maxima, 2), atol=0.005)  # uniform from 0 to the maximum
    saturated = np.isclose(maxima, 1.0, atol=1e-3)
    assert 0.3 < saturated.mean() < 0.9  # h < 0.8 in three of five draws
    assert 0.79 < min(maxima) < 0.9  # 0.8 / h for h up to 1


def test_without_hidden_intensity_the_background_is_the_noise_itself(
    change: Callable[[str, str], Document],
) -> None:
    document = change("hidden_intensity: [0.5, 1.0]", "hidden_intensity: null")
    raw = document.section(("tasks", "spheres", "raw"), SpheresRaw)
    for index in range(5):
        image, label = spheres.generate(raw, spheres.TRAINING, index)
        assert image[label == 0].max() == pytest.approx(0.8, abs=1e-3)


def by_hand(
    raw: SpheresRaw, stream: int, index: int, radii: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The recipe again, over the whole cube: radius, centre, noise, hidden intensity, in this order."""
    generator = np.random.default_rng([stream, raw.seed, index])
    radius = int(generator.integers(radii[0], radii[1] + 1))
    centre = generator.integers(radius, raw.edge - radius, size=3)
    image = generator.random((raw.edge,) * 3, dtype=np.float32) * np.float32(raw.background.noise_maximum)
    if raw.background.hidden_intensity is not None:
        hidden = generator.uniform(*raw.background.hidden_intensity)
        image = image / np.float32(max(hidden, float(image.max())))
    places = np.indices(image.shape)
    inside = sum((axis - c) ** 2 for axis, c in zip(places, centre, strict=True)) <= radius**2
    image[inside] = raw.foreground
    return image, inside.astype(np.uint8)


@pytest.mark.parametrize("index", [0, 1, 7])
def test_a_volume_is_the_recipe_by_hand_with_a_stream_for_training_and_one_for_test(
    raw: SpheresRaw, index: int
) -> None:
    raw = random_test(raw).model_copy(update={"foreground": 0.75})
    for stream, spheres_of in ((1, raw.training), (2, raw.test)):
        image, label = spheres.generate(raw, stream, index)
        expected_image, expected_label = by_hand(raw, stream, index, spheres_of.radius)
        np.testing.assert_array_equal(image, expected_image)
        np.testing.assert_array_equal(label, expected_label)
    assert (spheres.TRAINING, spheres.TEST) == (1, 2)


def test_training_and_test_spheres_of_equal_radii_have_backgrounds_of_their_own(raw: SpheresRaw) -> None:
    """Equal draws would put the test set's noise into the training."""
    raw = raw.model_copy(update={"test": raw.training})
    pairs = {
        "set": ((raw, spheres.TRAINING, 3), (raw, spheres.TEST, 3)),
        "number": ((raw, spheres.TRAINING, 3), (raw, spheres.TRAINING, 4)),
        "seed": ((raw, spheres.TRAINING, 3), (raw.model_copy(update={"seed": 1}), spheres.TRAINING, 3)),
    }
    for name, pair in pairs.items():
        (first, label), (second, other) = (spheres.generate(*arguments) for arguments in pair)
        both = (label == 0) & (other == 0)
        # 50,000 pairs of independent voxels correlate by less than 0.02 in all but 1 of 100,000 cases
        assert abs(np.corrcoef(first[both], second[both])[0, 1]) < 0.02, name


def test_volumes_are_numbered_through_those_for_training_first(raw: SpheresRaw) -> None:
    raw = raw.model_copy(
        update={
            "training": raw.training.model_copy(update={"volumes": 3}),
            "test": random_test(raw).test.model_copy(update={"volumes": 2}),
        }
    )
    assert [(v.name, v.stream, v.index) for v in spheres.volumes(raw, "balls")] == [
        ("balls_000", 1, 0), ("balls_001", 1, 1), ("balls_002", 1, 2), ("balls_003", 2, 0), ("balls_004", 2, 1),
    ]  # fmt: skip


def test_radii_and_centres_reach_both_ends_of_their_range(raw: SpheresRaw) -> None:
    raw = raw.model_copy(update={"edge": 9, "training": raw.training.model_copy(update={"radius": (1, 3)})})
    seen: dict[int, set[int]] = {}
    for index in range(300):
        _, label = spheres.generate(raw, spheres.TRAINING, index)
        used = np.argwhere(label)
        radius = int(used[:, 0].max() - used[:, 0].min()) // 2
        seen.setdefault(radius, set()).update((used.min(axis=0) + radius).tolist())
    assert seen == {radius: set(range(radius, 9 - radius)) for radius in (1, 2, 3)}


def test_a_designed_set_has_each_radius_once_in_order(raw: SpheresRaw) -> None:
    designed = raw.model_copy(update={"test": SphereSet(radius=(2, 23), each=True)})
    volumes = [v for v in spheres.volumes(designed, "balls") if v.stream == spheres.TEST]
    assert [v.name for v in volumes] == [f"balls_{20 + number:03d}" for number in range(22)]
    radii = []
    for volume in volumes:
        _, label = spheres.generate(designed, volume.stream, volume.index)
        used = np.argwhere(label)
        edges = used.max(axis=0) - used.min(axis=0)
        radii.append(set(edges.tolist()))
        assert ((used >= 0) & (used < 48)).all()
    assert radii == [{2 * radius} for radius in range(2, 24)]
    assert spheres.design(designed, "balls") == {
        f"balls_{18 + radius:03d}": radius for radius in range(2, 24)
    }
    image, _ = spheres.generate(designed, spheres.TEST, 3)
    fewer = designed.model_copy(update={"test": SphereSet(radius=(2, 9), each=True)})
    np.testing.assert_array_equal(image, spheres.generate(fewer, spheres.TEST, 3)[0])


@pytest.mark.parametrize(
    ("stream", "index", "expected"),
    [(1, 0, "113c817a375cb25f"), (2, 0, "218e46286ef8b5e2"), (2, 23, "b4e9f2d50dbebf33")],
)
def test_random_volumes_are_those_from_before_there_were_designed_sets(
    raw: SpheresRaw, stream: int, index: int, expected: str
) -> None:
    image, label = spheres.generate(random_test(raw), stream, index)
    assert hashlib.sha256(image.tobytes() + label.tobytes()).hexdigest()[:16] == expected
    assert spheres.design(random_test(raw), "balls") == {}
