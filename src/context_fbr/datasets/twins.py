"""Generate twins: cubes of noise with two equal balls, each in a shell at a known distance.

Radius r and distance d are uniform over whole numbers, the same for both balls of a volume. Centres are
uniform over whole numbers in [r + 1, edge - r - 1) on each axis, drawn again until they are 2 (d + thickness)
apart, so that no shell voxel is nearer than d to either centre. Inside of a ball (squared distance <= r^2) is
flat `ball`, its shell (d <= distance < d + thickness) has one intensity around the foreground and another one
around the distractor, and the rest is uniform noise. All draws are the same for both balls: only the shells
show which is foreground.
"""

from dataclasses import dataclass

import numpy as np

from context_fbr.config.raw.twins import TwinSet, TwinsRaw

TRAINING, TEST = 1, 2
"""Streams of random numbers."""
FOREGROUND, DISTRACTOR = 1, 2
"""Values of the label, and of the shells."""
EXCHANGED, REMOVED = "exchanged", "removed"
DRAWS = 4096
"""Pairs of centres that are drawn at once."""


@dataclass(frozen=True)
class Volume:
    """A volume to generate."""

    name: str
    stream: int
    """TRAINING or TEST."""
    index: int
    """Its number in its set."""
    variant: str = ""
    """`exchanged` or `removed` shells; empty: as drawn."""


@dataclass(frozen=True, eq=False)
class Twins:
    """A generated volume."""

    image: np.ndarray
    """(x, y, z) float32."""
    label: np.ndarray
    """(x, y, z) uint8: 1 in the foreground ball, 2 in the distractor."""
    shells: np.ndarray
    """(x, y, z) uint8: 1 and 2 in the shells of these balls, wherever they are drawn."""
    distance: int
    """Distance from a ball's centre to the inside of its shell, in voxels."""
    radius: int
    centres: tuple[tuple[int, int, int], ...]
    """Centres of the foreground ball and of the distractor."""


def volumes(raw: TwinsRaw, task: str) -> tuple[Volume, ...]:
    """All volumes of a task: training, test, and the variants of test volumes; names are numbered through."""
    first = raw.training.count
    training = (Volume(f"{task}_{index:03d}", TRAINING, index) for index in range(first))
    test = [Volume(f"{task}_{first + index:03d}", TEST, index) for index in range(raw.test.count)]
    each = raw.test.per_distance or 1
    variants = (
        Volume(f"{volume.name}_{variant}", TEST, volume.index, variant)
        for variant, count in ((EXCHANGED, raw.variants.exchanged), (REMOVED, raw.variants.removed))
        for volume in test
        if volume.index % each < count
    )
    return (*training, *test, *variants)


def design(raw: TwinsRaw, task: str) -> dict[str, int]:
    """The distances of a designed test set by volume, in order; empty if they are drawn at random."""
    tests = [volume for volume in volumes(raw, task) if volume.stream == TEST]
    each = raw.test.per_distance
    return {v.name: raw.test.distance[0] + v.index // each for v in tests} if each else {}


def generate(raw: TwinsRaw, stream: int, index: int, variant: str = "") -> Twins:
    """Make one volume: a pure function of (raw.seed, stream, index), and of the variant.

    Args:
        raw: the recipe.
        stream: TRAINING or TEST.
        index: number of the volume in its set.
        variant: of its shells, with the same draws.
    """
    drawn: TwinSet = {TRAINING: raw.training, TEST: raw.test}[stream]
    generator = np.random.default_rng([stream, raw.seed, index])
    radius = int(generator.integers(raw.radius[0], raw.radius[1] + 1))
    least, most = drawn.distance
    if drawn.per_distance:
        distance = least + index // drawn.per_distance
    else:
        distance = int(generator.integers(least, most + 1))
    centres = _centres(generator, raw, radius, distance)
    shape = (raw.edge,) * 3
    image = generator.uniform(*raw.noise, size=shape).astype(np.float32)
    label, shells = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    intensities = (raw.shells.foreground, raw.shells.distractor)
    if variant == EXCHANGED:
        intensities = intensities[::-1]
    axis = np.arange(raw.edge)
    for value, centre, intensity in zip((FOREGROUND, DISTRACTOR), centres, intensities, strict=True):
        x, y, z = ((axis - place) ** 2 for place in centre)
        squares = x[:, None, None] + y[:, None] + z
        shell = (squares >= distance**2) & (squares < (distance + raw.thickness) ** 2)
        shells[shell] = value
        if variant != REMOVED:
            image[shell] = intensity
        label[squares <= radius**2] = value
    image[label > 0] = raw.ball
    return Twins(image, label, shells, distance, radius, centres)


def _centres(
    generator: np.random.Generator, raw: TwinsRaw, radius: int, distance: int
) -> tuple[tuple[int, int, int], ...]:
    """Draw the centres of both balls, as far apart as their shells need."""
    least = 2 * (distance + raw.thickness)
    while True:
        drawn = generator.integers(radius + 1, raw.edge - radius - 1, size=(DRAWS, 2, 3))
        fits = ((drawn[:, 0] - drawn[:, 1]) ** 2).sum(axis=1) >= least**2
        if fits.any():
            first, second = drawn[int(fits.argmax())].tolist()
            return tuple(first), tuple(second)
