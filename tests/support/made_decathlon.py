"""Small data sets in the shape of the Decathlon's tasks: channels, structures, kind of intensities, spacing."""

import json
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import nibabel
import numpy as np

CASES = 5
SHAPE = (22, 24, 18)
MODALITIES = {
    1: {"0": "MRI"},
    2: {"0": "T2", "1": "ADC"},
    4: {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
}


def make(folder: Path, channels: int, values: Sequence[int], is_ct: bool, spacing: Sequence[float]) -> None:
    """Write imagesTr, labelsTr and dataset.json.

    Args:
        folder: to be filled.
        channels: of an image.
        values: of the label, one ellipsoid each, the second inside of the first.
        is_ct: whether intensities are HU, with air around a body.
        spacing: edges of a voxel in mm.
    """
    names = [f"{folder.name}_{number:03d}" for number in range(CASES)]
    for name in names:
        image, label = paint(name, channels, values, is_ct)
        for kind, voxels in (("images", image), ("labels", label)):
            path = folder / f"{kind}Tr" / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    description = {
        "name": folder.name,
        "modality": {"0": "CT"} if is_ct else MODALITIES[channels],
        "labels": {"0": "background", **{str(value): f"part {value}" for value in values}},
        "numTraining": CASES,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def paint(name: str, channels: int, values: Sequence[int], is_ct: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return image (x, y, z), with channels behind if there are several, and label: a function of the name."""
    draw = np.random.default_rng(crc32(name.encode()))
    places = np.stack(np.indices(SHAPE), axis=-1) / (np.array(SHAPE) - 1)
    centre = draw.uniform(0.4, 0.6, 3)
    distance = np.sqrt((((places - centre) / draw.uniform(0.22, 0.3, 3)) ** 2).sum(axis=-1))
    label = np.zeros(SHAPE, np.uint8)
    for value, limit in zip(values, (1.0, 0.7, 0.4), strict=False):
        label[distance < limit] = value
    body = np.sqrt((((places - 0.5) / 0.48) ** 2).sum(axis=-1)) < 1
    images = []
    for number in range(channels):
        tissue = 100 * (1 + number) * (1 + 0.4 * label * (1 if number % 2 else -0.5))
        noisy = tissue + draw.normal(0, 5, SHAPE)
        images.append(np.where(body, noisy, -1000 if is_ct else 0))
    image = np.stack(images, axis=-1) if channels > 1 else images[0]
    return image.astype(np.int16 if is_ct else np.float32), label
