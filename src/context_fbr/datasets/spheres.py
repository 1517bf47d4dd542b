"""Generate the spheres: cubes of noise that hold one bright sphere each.

The recipe is the study's (its original hides an intensity draw, here `background.hidden_intensity`):
radius r uniform over whole numbers, centre uniform over whole numbers in [r, edge - r) on each axis, inside
(squared distance <= r^2) flat `foreground`; background u / max(h, max u) with u uniform in
[0, noise_maximum) per voxel and h uniform in hidden_intensity per volume. A designed set (`each: true`) has
each radius once, in order, instead of drawing them.
"""

from dataclasses import dataclass

import numpy as np

from context_fbr.config.raw.spheres import Background, SphereSet, SpheresRaw

TRAINING, TEST = 1, 2  # streams of random numbers; nothing else may use these two


@dataclass(frozen=True)
class Volume:
    """A volume to generate."""

    name: str
    stream: int
    """TRAINING or TEST."""
    index: int
    """Its number in its set."""


def volumes(raw: SpheresRaw, task: str) -> tuple[Volume, ...]:
    """All volumes of a task, those for training first; names are numbered through."""
    return tuple(
        Volume(f"{task}_{first + index:03d}", stream, index)
        for stream, first, count in (
            (TRAINING, 0, raw.training.count),
            (TEST, raw.training.count, raw.test.count),
        )
        for index in range(count)
    )


def design(raw: SpheresRaw, task: str) -> dict[str, int]:
    """The radii of a designed test set by volume, in order; empty if they are drawn at random."""
    tests = [volume for volume in volumes(raw, task) if volume.stream == TEST]
    return {v.name: raw.test.radius[0] + v.index for v in tests} if raw.test.each else {}


def generate(raw: SpheresRaw, stream: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Make one volume: a pure function of (raw.seed, stream, index).

    Args:
        raw: the recipe.
        stream: TRAINING or TEST.
        index: number of the volume in its set.

    Returns:
        image (x, y, z) float32 and label (x, y, z) uint8, 1 inside of the sphere.
    """
    spheres: SphereSet = {TRAINING: raw.training, TEST: raw.test}[stream]
    generator = np.random.default_rng([stream, raw.seed, index])
    smallest, largest = spheres.radius
    radius = smallest + index if spheres.each else int(generator.integers(smallest, largest + 1))
    centre = generator.integers(radius, raw.edge - radius, size=3)
    image = _background(raw.background, raw.edge, generator)
    label = np.zeros(image.shape, dtype=np.uint8)
    # Only the sphere's bounding box is worked on: a third of the time for the whole cube.
    box = tuple(slice(c - radius, c + radius + 1) for c in centre)
    squares = np.arange(-radius, radius + 1) ** 2
    inside = squares[:, None, None] + squares[:, None] + squares <= radius**2
    label[box][inside] = 1
    image[box][inside] = raw.foreground
    return image, label


def _background(recipe: Background, edge: int, generator: np.random.Generator) -> np.ndarray:
    noise = generator.random((edge, edge, edge), dtype=np.float32) * np.float32(recipe.noise_maximum)
    if recipe.hidden_intensity is None:
        return noise
    hidden = generator.uniform(*recipe.hidden_intensity)
    return noise / np.float32(max(hidden, float(noise.max())))
