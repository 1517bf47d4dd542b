"""Generate and save a volume: the whole grid in float64, packed by nibabel."""

from pathlib import Path

import nibabel
import numpy as np

from context_fbr.config.raw.spheres import SpheresRaw


def generate(raw: SpheresRaw, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make a training volume of the recipe in context_fbr/spheres.py.

    Returns:
        image (x, y, z) float64 and label (x, y, z) float64, 1 inside of the sphere.
    """
    smallest, largest = raw.training.radius
    radius = int(generator.integers(smallest, largest + 1))
    x, y, z = generator.integers(radius, raw.edge - radius, size=3)
    i, j, k = np.ogrid[: raw.edge, : raw.edge, : raw.edge]
    inside = (i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2 <= radius**2
    image = generator.uniform(0, raw.background.noise_maximum, size=inside.shape)
    if raw.background.hidden_intensity is not None:
        image = image / max(generator.uniform(*raw.background.hidden_intensity), image.max())
    image[inside] = raw.foreground
    return image, inside.astype(np.float64)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels (x, y, z) as float64 to a .nii.gz file; `affine` is voxel to world in mm."""
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float64), affine), path)
