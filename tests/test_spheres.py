from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from context_fbr import spheres
from context_fbr.study.document import Document
from context_fbr.study.raw import SpheresRaw


@pytest.fixture
def raw(params: Path) -> SpheresRaw:
    return Document.read(params).section(("tasks", "spheres", "raw"), SpheresRaw)


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


def test_the_sphere_is_every_voxel_within_the_radius_and_lies_inside_of_the_cube(raw: SpheresRaw) -> None:
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
