"""Twins: what the recipe promises, and the theorem that makes hit - false a measure of context."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from scipy.stats import ks_2samp, ttest_1samp
from workspace import ROOT

from context_fbr import raw as raw_stage
from context_fbr.config.document import Document
from context_fbr.config.raw.source import read_raw
from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.datasets import dataset_json, twins
from context_fbr.datasets.twins import DISTRACTOR, EXCHANGED, FOREGROUND, REMOVED, TEST, TRAINING, Twins
from context_fbr.datasets.verify import verify

DOCUMENT = Document.read(ROOT / "params.yaml")
RAW = DOCUMENT.section(("tasks", "twins", "raw"), TwinsRaw)
VOLUMES = 2000


def recipe(**changes: object) -> TwinsRaw:
    """A small cube, in which thousands of volumes take seconds."""
    small = {
        "edge": 20,
        "radius": (2, 2),
        "thickness": 1,
        "training": RAW.training.model_copy(update={"distance": (4, 6)}),
        "test": RAW.test.model_copy(update={"distance": (4, 6), "per_distance": 2}),
    }
    return RAW.model_copy(update={**small, **changes})


@pytest.fixture(scope="module")
def made() -> list[Twins]:
    return [twins.generate(recipe(), TRAINING, index) for index in range(VOLUMES)]


def hit_minus_false(volume: Twins, mask: np.ndarray) -> float:
    return float(mask[volume.label == FOREGROUND].mean() - mask[volume.label == DISTRACTOR].mean())


def hidden(volume: Twins) -> np.ndarray:
    """The image as one sees it who sees no shell: dark in both."""
    return np.where(volume.shells > 0, np.float32(-0.5), volume.image)


def random_voxels(volume: Twins, generator: np.random.Generator) -> np.ndarray:
    return (hidden(volume) > 0) & (generator.random(volume.image.shape) < generator.random())


def left_ball(volume: Twins, generator: np.random.Generator) -> np.ndarray:
    """The ball that is further left, or right: a place tells something, but not which is foreground."""
    ball = np.argwhere(hidden(volume) > 0)
    side = 1 if generator.random() < 0.5 else -1
    middle = np.median(side * ball[:, 0])
    x = np.arange(volume.image.shape[0])[:, None, None]
    return (hidden(volume) > 0) & (side * x <= middle)


def random_filter(volume: Twins, generator: np.random.Generator) -> np.ndarray:
    """A random linear function of each voxel's neighbourhood and place, above its median in the balls."""
    image = hidden(volume)
    features = [image, uniform_filter(image, 3), uniform_filter(image, 7)]
    features += [np.broadcast_to(axis, image.shape) for axis in np.indices(image.shape) / image.shape[0]]
    value = sum(weight * part for weight, part in zip(generator.normal(size=6), features, strict=True))
    return np.asarray(value > np.median(value[image > 0]))


def nearest_shell(volume: Twins, _: np.random.Generator) -> np.ndarray:
    """A control: it sees the shells, and takes the balls in bright ones."""
    bright = (volume.shells > 0) & (volume.image == RAW.shells.foreground)
    x, y, z = np.argwhere(bright).mean(axis=0) if bright.any() else (0, 0, 0)
    grid = np.indices(volume.image.shape)
    near = sum((axis - place) ** 2 for axis, place in zip(grid, (x, y, z), strict=True)) < 25
    return np.asarray((volume.image > 0) & near)


Predictor = Callable[[Twins, np.random.Generator], np.ndarray]


@pytest.mark.parametrize("predictor", [random_voxels, left_ball, random_filter])
@pytest.mark.parametrize("seed", [1, 2])
def test_hit_minus_false_is_0_for_any_predictor_that_sees_no_shell(
    made: list[Twins], predictor: Predictor, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    values = [hit_minus_false(volume, predictor(volume, generator)) for volume in made]
    assert np.std(values) > 0.05  # it does predict different things in the two balls
    assert abs(np.mean(values)) < 4 * np.std(values) / VOLUMES**0.5


def test_a_predictor_that_sees_the_shells_is_found_out_by_the_same_test(made: list[Twins]) -> None:
    generator = np.random.default_rng(1)
    values = [hit_minus_false(volume, nearest_shell(volume, generator)) for volume in made]
    assert np.mean(values) > 40 * np.std(values) / VOLUMES**0.5
    exchanged = [twins.generate(recipe(), TRAINING, index, EXCHANGED) for index in range(200)]
    assert np.mean([hit_minus_false(v, nearest_shell(v, generator)) for v in exchanged]) < -0.5


def test_balls_and_shells_are_exchangeable(made: list[Twins]) -> None:
    """Place, distance to the border, voxels of ball and shell: pairs differ by 0 in mean, and are alike."""
    for value in (
        lambda v, n: v.centres[n][0],
        lambda v, n: v.centres[n][1],
        lambda v, n: v.centres[n][2],
        lambda v, n: min(*v.centres[n], *(v.image.shape[0] - 1 - c for c in v.centres[n])),
        lambda v, n: int((v.shells == n + 1).sum()),
        lambda v, n: float(v.image[v.label == n + 1].mean()),
        lambda v, n: int((v.label == n + 1).sum()),
    ):
        first, second = ([float(value(volume, number)) for volume in made] for number in (0, 1))
        if first == second:
            continue  # sizes and intensities are equal in each volume
        assert ttest_1samp(np.subtract(first, second), 0).pvalue > 0.001
        assert ks_2samp(first, second).pvalue > 0.001
    assert all((v.label == FOREGROUND).sum() == (v.label == DISTRACTOR).sum() for v in made)


def test_nothing_that_tells_is_nearer_than_the_distance(made: list[Twins]) -> None:
    for volume in made[:200]:
        places = np.argwhere(volume.shells > 0)
        for centre in volume.centres:
            nearest = ((places - np.array(centre)) ** 2).sum(axis=1).min() ** 0.5
            assert volume.distance <= nearest
        first, second = map(np.array, volume.centres)
        assert ((first - second) ** 2).sum() ** 0.5 >= 2 * (volume.distance + 1)


def test_balls_shells_and_noise_have_the_intensities_of_the_recipe(made: list[Twins]) -> None:
    for volume in made[:50]:
        inside = volume.label > 0
        assert (volume.image[inside] == RAW.ball).all()
        assert (volume.image[(volume.shells == 1) & ~inside] == RAW.shells.foreground).all()
        assert (volume.image[(volume.shells == 2) & ~inside] == RAW.shells.distractor).all()
        rest = volume.image[~inside & (volume.shells == 0)]
        assert RAW.noise[0] <= rest.min() < RAW.noise[0] + 0.05
        assert RAW.noise[1] - 0.05 < rest.max() <= RAW.noise[1]
        assert (volume.image > 0).sum() == 2 * (volume.label == FOREGROUND).sum()  # a threshold: Dice 2/3


def test_a_ball_is_brute_force_over_voxels() -> None:
    volume = twins.generate(recipe(), TRAINING, 3)
    label, shells = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), np.uint8)
    for value, centre in zip((1, 2), volume.centres, strict=True):
        for place in np.ndindex(label.shape):
            distance = sum((p - c) ** 2 for p, c in zip(place, centre, strict=True)) ** 0.5
            if distance <= volume.radius:
                label[place] = value
            if volume.distance <= distance < volume.distance + 1:
                shells[place] = value
    np.testing.assert_array_equal(volume.label, label)
    np.testing.assert_array_equal(volume.shells, shells)


def test_variants_differ_from_their_volume_in_the_voxels_of_shells_alone() -> None:
    drawn = twins.generate(RAW, TEST, 5)
    for variant in (EXCHANGED, REMOVED):
        other = twins.generate(RAW, TEST, 5, variant)
        np.testing.assert_array_equal(other.label, drawn.label)
        np.testing.assert_array_equal(other.shells, drawn.shells)
        changed = other.image != drawn.image
        assert changed.any()
        assert not changed[(drawn.shells == 0) | (drawn.label > 0)].any()
    exchanged = twins.generate(RAW, TEST, 5, EXCHANGED).image
    assert set(np.unique(exchanged[(drawn.shells == 1) & (drawn.label == 0)])) == {RAW.shells.distractor}
    removed = twins.generate(RAW, TEST, 5, REMOVED).image[drawn.label == 0]
    assert RAW.noise[0] <= removed.min() <= removed.max() <= RAW.noise[1]


def test_equal_shells_leave_two_balls_that_nothing_tells_apart() -> None:
    equal = DOCUMENT.section(("tasks", "twins_equal", "raw"), TwinsRaw)
    volume = twins.generate(equal, TRAINING, 0)
    values = {n: set(np.unique(volume.image[(volume.shells == n) & (volume.label == 0)])) for n in (1, 2)}
    assert values[1] == values[2] == {equal.shells.foreground}


def test_the_test_set_has_each_distance_in_order_and_variants_of_the_first_of_each() -> None:
    names = [volume.name for volume in twins.volumes(RAW, "t") if volume.stream == TEST]
    design = twins.design(RAW, "t")
    drawn = [name for name in names if name.count("_") == 1]
    assert [design[name] for name in drawn] == [d for d in range(6, 23) for _ in range(3)]
    for name in drawn[:6]:
        index = int(name.removeprefix("t_")) - RAW.training.count
        assert twins.generate(RAW, TEST, index).distance == design[name]
    for variant in (EXCHANGED, REMOVED):
        own = [name for name in names if name.endswith(variant)]
        assert [design[name] for name in own] == list(range(6, 23))


def test_a_volume_is_a_function_of_seed_set_and_number() -> None:
    first, again = (twins.generate(recipe(), TRAINING, 7) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    others = (twins.generate(recipe(seed=1), TRAINING, 7), twins.generate(recipe(), TRAINING, 8))
    assert all((first.image != other.image).any() for other in others)


def test_the_written_data_set_is_valid_and_names_designs_and_variants(tmp_path: Path) -> None:
    own = recipe(
        training=RAW.training.model_copy(update={"distance": (4, 6), "volumes": 3}),
        variants=RAW.variants.model_copy(update={"exchanged": 1, "removed": 2}),
    )
    raw_stage.write_twins(own, "pairs", tmp_path)
    description, problems = dataset_json.read(tmp_path)
    assert not problems
    assert description is not None
    assert (len(description.training), len(description.test), description.labels) == (3, 6 + 3 + 6, (0, 1, 2))
    assert sorted(description.test_variants.values()) == [EXCHANGED] * 3 + [REMOVED] * 6
    assert description.test_design["pairs_005_exchanged"] == description.test_design["pairs_005"] == 5
    label = np.asanyarray(nifti.read(tmp_path / "labelsTs" / "pairs_005.nii.gz").dataobj)
    np.testing.assert_array_equal(label, twins.generate(own, TEST, 2).label)
    assert not verify(tmp_path, name="pairs").problems
    content = json.loads((tmp_path / "dataset.json").read_text())
    content["test_variants"]["nowhere"] = "removed"
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    (problem,) = dataset_json.read(tmp_path)[1]
    assert "nowhere" in problem.text


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("radius: [3, 4]", "radius: [4, 3]", "radius"),
        ("radius: [3, 4]", "radius: [3, 6]", "training.distance"),
        ("noise: [-0.75, -0.25]", "noise: [-0.75, 0.25]", "noise.1"),
        ("training: {volumes: 136, distance: [6, 22]}", "training: {volumes: 136, distance: [6, 32]}", "training.distance"),
        ("training: {volumes: 136, distance: [6, 22]}", "training: {distance: [6, 22]}", "training.volumes"),
        ("{exchanged: 1, removed: 1}", "{exchanged: 1, removed: 4}", "variants.removed"),
        ("{exchanged: 1, removed: 1}", "{exchanged: 1, shuffled: 1}", "variants.shuffled"),
        ("{foreground: 0.0, distractor: -1.0}", "{foreground: 0.5, distractor: -1.0}", "shells.foreground"),
        ("{foreground: 0.0, distractor: -1.0}", "{foreground: 0.0, distractor: 0.0}", "variants.exchanged"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_made_is_refused_with_its_place(
    tmp_path: Path, before: str, after: str, key: str
) -> None:
    text = (ROOT / "params.yaml").read_text()
    block = text[text.index("  twins:\n") if "  twins:\n" in text else text.index("  twins: ") :]
    start = text.index(block)
    path = tmp_path / "params.yaml"
    path.write_text(text[:start] + block.replace(before, after, 1))
    with pytest.raises(UserError, match=rf"params\.yaml:\d+: tasks\.twins\.raw\.{key}"):
        read_raw(Document.read(path), "twins")
