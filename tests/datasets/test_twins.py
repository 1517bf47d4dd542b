"""Generated twins: geometry by brute force, and the theorem that without a shell nothing tells the balls apart."""

import itertools
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from context_fbr.config.document import Document
from context_fbr.config.raw.source import Raw, read_raw
from context_fbr.config.raw.twins import Shells, TwinSet, TwinsRaw, Variants
from context_fbr.core.errors import UserError
from context_fbr.datasets import twins
from context_fbr.datasets.twins import Twins
from context_fbr.datasets.verify import verify
from context_fbr.raw import write_twins

RAW = TwinsRaw(
    source="twins",
    seed=2022,
    edge=16,
    spacing_mm=1.0,
    training=TwinSet(volumes=6, distance=(4, 5)),
    test=TwinSet(per_distance=3, distance=(4, 5)),
    variants=Variants(exchanged=2, removed=1),
    radius=(1, 2),
    thickness=1,
    ball=1.0,
    noise=(-0.75, -0.25),
    shells=Shells(foreground=0.0, distractor=-1.0),
)
EQUAL = RAW.model_copy(
    update={"shells": Shells(foreground=0.0, distractor=0.0), "variants": Variants(exchanged=0, removed=0)}
)
VOLUMES = 1000
LIMIT = 4.0
"""Standard errors: a mean of 0 exceeds it once in 16,000 tests."""


@cache
def sample(raw_name: str, variant: str = "") -> tuple[Twins, ...]:
    """Many training volumes of a recipe, made once for all tests."""
    recipe = {"told apart": RAW, "equal": EQUAL}[raw_name]
    return tuple(twins.generate(recipe, twins.TRAINING, index, variant) for index in range(VOLUMES))


def standard_errors(values: np.ndarray) -> float:
    """Mean in standard errors."""
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))


def squares(edge: int, centre: tuple[int, int, int]) -> np.ndarray:
    """Squared distance of each voxel to a centre, voxel by voxel."""
    return sum((axis - place) ** 2 for axis, place in zip(np.indices((edge,) * 3), centre, strict=True))


@pytest.mark.parametrize("stream", [twins.TRAINING, twins.TEST])
def test_balls_and_shells_are_every_voxel_at_their_distances_from_the_centres(stream: int) -> None:
    for index in range(6):
        made = twins.generate(RAW, stream, index)
        assert (made.image.dtype, made.label.dtype, made.shells.dtype) == (np.float32, np.uint8, np.uint8)
        label, shells, image = np.zeros((3, 16, 16, 16))
        image[:] = np.nan
        for ball, centre, intensity in zip((1, 2), made.centres, (0.0, -1.0), strict=True):
            distance = np.sqrt(squares(16, centre))
            label[distance <= made.radius] = ball
            shell = (distance >= made.distance) & (distance < made.distance + 1)
            shells[shell] = ball
            image[shell] = intensity
            image[distance <= made.radius] = 1.0
        np.testing.assert_array_equal(made.label, label)
        np.testing.assert_array_equal(made.shells, shells)
        flat = ~np.isnan(image)
        np.testing.assert_array_equal(made.image[flat], image[flat])
        noise = made.image[~flat]
        assert noise.min() >= -0.75
        assert noise.max() <= -0.25
        assert noise.mean() == pytest.approx(-0.5, abs=0.02)


def test_a_volume_depends_on_seed_set_number_and_variant_alone() -> None:
    image = twins.generate(RAW, twins.TEST, 3).image
    more = RAW.model_copy(update={"test": TwinSet(per_distance=3, distance=(4, 6))})
    np.testing.assert_array_equal(image, twins.generate(more, twins.TEST, 3).image)
    others = [
        twins.generate(RAW, twins.TEST, 4),
        twins.generate(RAW, twins.TRAINING, 3),
        twins.generate(RAW.model_copy(update={"seed": 1}), twins.TEST, 3),
    ]
    assert not any(np.array_equal(image, other.image) for other in others)


def test_nothing_of_a_shell_is_nearer_to_a_centre_than_its_distance_and_balls_are_whole() -> None:
    for made in sample("told apart")[:300]:
        one, other = made.centres
        apart = np.linalg.norm(np.subtract(one, other))
        assert apart >= 2 * (made.distance + RAW.thickness)
        assert all(made.radius < place < 15 - made.radius for place in (*one, *other))
        for centre in made.centres:
            x, y, z = np.nonzero(made.shells)
            nearest = np.min((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
            assert nearest >= made.distance**2
    first = sample("told apart")[:300]
    seen = [set(pair) for pair in zip(*((made.radius, made.distance) for made in first), strict=True)]
    assert seen == [{1, 2}, {4, 5}]


def test_centres_are_uniform_over_all_pairs_that_are_far_enough_apart() -> None:
    """Brute force over the pairs of a cube so small that each comes up about ten times."""
    small = RAW.model_copy(
        update={"edge": 9, "radius": (1, 1), "training": TwinSet(volumes=1, distance=(2, 2))}
    )
    places = [*itertools.product(range(2, 7), repeat=3)]
    pairs = [(a, b) for a in places for b in places if np.subtract(a, b) @ np.subtract(a, b) >= 36]
    draws = 10 * len(pairs)
    found = Counter(twins.generate(small, twins.TRAINING, index).centres for index in range(draws))
    assert set(found) <= set(pairs)
    assert stats.chisquare([found[pair] for pair in pairs]).pvalue > 1e-4


def random_field(seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Predict bright voxels where a smooth random function of place and image is above 0."""
    weights = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(16, 16, 16)), 2)

    def predict(image: np.ndarray) -> np.ndarray:
        return (image > 0) & (weights / weights.std() + ndimage.uniform_filter(image, 5) > 0)

    return predict


def one_ball(better: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray], np.ndarray]:
    """Predict the ball that a function of the image and of the ball's voxels (n, 3) prefers."""

    def predict(image: np.ndarray) -> np.ndarray:
        balls, _ = ndimage.label(image > 0)
        scores = [better(image, np.argwhere(balls == ball)) for ball in (1, 2)]
        return balls == 1 + int(np.argmax(scores))

    return predict


def surroundings(image: np.ndarray, ball: np.ndarray, steps: int) -> np.ndarray:
    """Voxels up to so many steps along the axes from a ball (n, 3)."""
    inside = np.zeros(image.shape, bool)
    inside[tuple(ball.T)] = True
    return image[ndimage.binary_dilation(inside, iterations=steps) & ~inside]


BLIND = {
    **{f"field {seed}": random_field(seed) for seed in range(3)},
    "nearest to a corner": one_ball(lambda _, ball: -float(ball.mean(0).sum())),
    "nearest to the middle": one_ball(lambda _, ball: -float(np.abs(ball.mean(0) - 7.5).max())),
    "darker noise": one_ball(lambda image, ball: -float(surroundings(image, ball, 3).mean())),
}
"""Predictors that read an image without shells."""
NARROW = {
    "bright voxels by their 26 neighbours": lambda image: (
        (image > 0) & (ndimage.uniform_filter(image, 3) > 0.1)
    ),
    "bright voxels by the darkest neighbour": lambda image: (
        (image > 0) & (ndimage.minimum_filter(image, 3) > -0.6)
    ),
    "one of both balls": one_ball(lambda image, ball: float(surroundings(image, ball, 1).mean())),
}
"""Predictors whose windows around a ball hold no voxel of a shell: it is 2 or more voxels away."""


def nearest_shell(image: np.ndarray, ball: np.ndarray) -> float:
    """Intensity of the voxel nearest to a ball's centre that has one of a shell; without shells of any."""
    x, y, z = ball.mean(0)
    places = np.argwhere((image == 0) | (image == -1))
    if not len(places):
        places = np.argwhere(image <= 0)
    nearest = places[((places - (x, y, z)) ** 2).sum(1).argmin()]
    return float(image[tuple(nearest)])


seer = one_ball(nearest_shell)


def hit_minus_false(predict: Callable[[np.ndarray], np.ndarray], volumes: tuple[Twins, ...]) -> np.ndarray:
    """Share of the foreground ball minus share of the distractor, (volumes)."""
    found = []
    for made in volumes:
        predicted = predict(made.image)
        found.append(predicted[made.label == 1].mean() - predicted[made.label == 2].mean())
    return np.array(found)


@pytest.mark.parametrize("name", BLIND)
def test_a_predictor_of_images_without_shells_finds_both_balls_equally_often(name: str) -> None:
    differences = hit_minus_false(BLIND[name], sample("told apart", twins.REMOVED))
    assert differences.std() > 0.1  # it prefers one ball in each volume
    assert abs(standard_errors(differences)) < LIMIT


@pytest.mark.parametrize("name", NARROW)
def test_a_predictor_whose_windows_hold_no_shell_finds_both_balls_equally_often(name: str) -> None:
    differences = hit_minus_false(NARROW[name], sample("told apart"))
    assert differences.std() > 0.02
    assert abs(standard_errors(differences)) < LIMIT


def test_a_predictor_that_sees_the_shells_finds_the_foreground_ball_unless_shells_are_equal() -> None:
    """The control of the two tests before: it would fail them."""
    assert hit_minus_false(seer, sample("told apart")[:200]).mean() > 0.95
    assert hit_minus_false(seer, sample("told apart", twins.EXCHANGED)[:200]).mean() < -0.95
    assert abs(standard_errors(hit_minus_false(seer, sample("told apart", twins.REMOVED)))) < LIMIT
    assert abs(standard_errors(hit_minus_false(seer, sample("equal")))) < LIMIT


STATISTICS: dict[str, Callable[[Twins, int], float]] = {
    "x": lambda made, ball: made.centres[ball - 1][0],
    "y": lambda made, ball: made.centres[ball - 1][1],
    "z": lambda made, ball: made.centres[ball - 1][2],
    "distance to the border": lambda made, ball: min(min(c, 15 - c) for c in made.centres[ball - 1]),
    "distance to the middle": lambda made, ball: float(
        np.linalg.norm(np.subtract(made.centres[ball - 1], 7.5))
    ),
    "voxels of the shell": lambda made, ball: int((made.shells == ball).sum()),
    "noise around the ball": lambda made, ball: float(
        surroundings(made.image, np.argwhere(made.label == ball), 1).mean()
    ),
}


def differs(values: np.ndarray) -> bool:
    """Whether the two columns (n, 2) differ in their means or distributions."""
    apart = abs(standard_errors(values[:, 0] - values[:, 1])) > LIMIT
    return apart or stats.ks_2samp(*values.T).pvalue < 1e-4


@pytest.mark.parametrize("name", STATISTICS)
def test_balls_and_their_shells_are_drawn_alike(name: str) -> None:
    values = np.array([[STATISTICS[name](made, ball) for ball in (1, 2)] for made in sample("told apart")])
    assert values.std() > 0
    assert not differs(values)
    assert differs(np.sort(values, axis=1))  # the test sees an order of the two


def test_both_balls_have_the_same_voxels_and_intensity_and_a_threshold_finds_exactly_both() -> None:
    for made in sample("told apart")[:100]:
        first, second = (made.label == ball for ball in (1, 2))
        assert first.sum() == second.sum()
        assert set(made.image[first]) == set(made.image[second]) == {1.0}
        predicted = made.image > 0
        np.testing.assert_array_equal(predicted, made.label > 0)
        dice = 2 * (predicted & first).sum() / (predicted.sum() + first.sum())
        assert dice == pytest.approx(2 / 3)


def test_a_variant_has_the_same_draws_and_differs_in_voxels_of_shells_alone() -> None:
    for index in range(RAW.test.count):
        drawn, exchanged, removed = (
            twins.generate(RAW, twins.TEST, index, variant) for variant in ("", "exchanged", "removed")
        )
        shells = drawn.shells > 0
        for made in (exchanged, removed):
            np.testing.assert_array_equal(made.label, drawn.label)
            np.testing.assert_array_equal(made.shells, drawn.shells)
            np.testing.assert_array_equal(made.image != drawn.image, shells)
        np.testing.assert_array_equal(exchanged.image[drawn.shells == 1], -1.0)
        np.testing.assert_array_equal(exchanged.image[drawn.shells == 2], 0.0)
        inside = removed.image[shells]
        assert ((inside >= -0.75) & (inside <= -0.25)).all()
        assert len(set(inside.tolist())) > 0.9 * len(inside)  # noise, not a shell of another intensity


def test_with_equal_shells_the_image_does_not_depend_on_which_ball_is_foreground() -> None:
    for index in range(20):
        made = twins.generate(EQUAL, twins.TRAINING, index)
        np.testing.assert_array_equal(
            made.image, twins.generate(EQUAL, twins.TRAINING, index, "exchanged").image
        )
        told = twins.generate(RAW, twins.TRAINING, index)
        np.testing.assert_array_equal(made.label, told.label)  # the control has the volumes of the task
        np.testing.assert_array_equal(made.image != told.image, told.shells == 2)


def test_designed_distances_are_in_order_and_variants_are_named_after_their_volumes() -> None:
    names = [volume.name for volume in twins.volumes(RAW, "twins")]
    assert names[:12] == [f"twins_{number:03d}" for number in range(12)]
    assert sorted(names[12:]) == sorted(
        f"twins_{number:03d}_{variant}"
        for variant, numbers in {"exchanged": (6, 7, 9, 10), "removed": (6, 9)}.items()
        for number in numbers
    )
    design = twins.design(RAW, "twins")
    assert [design[name] for name in names[6:12]] == [4, 4, 4, 5, 5, 5]
    assert all(design[name] == design[name[: len("twins_000")]] for name in names[12:])
    for volume in twins.volumes(RAW, "twins")[6:]:
        assert twins.generate(RAW, volume.stream, volume.index).distance == design[volume.name]


def test_the_raw_data_is_a_data_set_without_any_problem_that_declares_design_and_variants(
    tmp_path: Path,
) -> None:
    write_twins(RAW, "twins", tmp_path)
    report = verify(tmp_path)
    assert report.problems == ()
    assert report.description is not None
    assert report.description.labels == (0, 1, 2)
    assert report.description.test_design == twins.design(RAW, "twins")
    assert len(report.description.test) == 12
    assert Counter(report.description.test_variants.values()) == {"exchanged": 4, "removed": 2}
    files = {case.name: case for case in report.cases}
    for name, variant in report.description.test_variants.items():
        drawn, changed = files[name.removesuffix(f"_{variant}")], files[name]
        assert changed.label.digest == drawn.label.digest
        assert changed.image.digest != drawn.image.digest


LINES = {
    "source": "twins", "seed": "1", "edge": "28", "spacing_mm": "1.0",
    "training": "{volumes: 2, distance: [6, 12]}", "test": "{per_distance: 3, distance: [6, 12]}",
    "variants": "{exchanged: 1}", "radius": "[3, 4]", "thickness": "2", "ball": "1.0",
    "noise": "[-0.75, -0.25]", "shells": "{foreground: 0.0, distractor: -1.0}",
}  # fmt: skip


def read(folder: Path, **changes: str) -> Raw:
    """Read the parameters of twins in the smallest cube that holds them."""
    lines = "".join(f"      {key}: {value}\n" for key, value in (LINES | changes).items())
    (folder / "params.yaml").write_text(f"tasks:\n  twins:\n    raw:\n{lines}")
    return read_raw(Document.read(folder / "params.yaml"), "twins")


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("radius", "[4, 3]", "radius"),
        ("radius", "[3, 6]", "training.distance"),
        ("test", "{per_distance: 3, distance: [4, 12]}", "test.distance"),
        ("test", "{per_distance: 3, distance: [12, 6]}", "test.distance"),
        ("test", "{per_distance: 3, distance: [6, 13]}", "test.distance"),
        ("thickness", "3", "training.distance"),
        ("edge", "27", "training.distance"),
        ("ball", "0.0", "ball"),
        ("noise", "[-0.75, 0.25]", "noise"),
        ("noise", "[-0.25, -0.75]", "noise"),
        ("noise", "[-0.5, -0.5]", "noise"),
        ("shells", "{foreground: 0.5, distractor: -1.0}", "shells.foreground"),
        ("shells", "{foreground: 0.0, distractor: 0.0}", "variants.exchanged"),
        ("variants", "{exchanged: 4}", "variants.exchanged"),
        ("variants", "{removed: -1}", "variants.removed"),
    ],
)
def test_twins_that_cannot_be_made_are_refused_at_the_key_to_change(
    tmp_path: Path, key: str, value: str, place: str
) -> None:
    made = read(tmp_path)
    assert isinstance(made, TwinsRaw)
    twins.generate(made, twins.TEST, made.test.count - 1)  # the largest distance fits
    with pytest.raises(UserError) as error:
        read(tmp_path, **{key: value})
    assert {
        problem.split(": ")[1].removesuffix(".0").removesuffix(".1") for problem in error.value.problems
    } == {f"tasks.twins.raw.{place}"}
