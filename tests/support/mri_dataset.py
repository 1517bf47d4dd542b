"""A small MRI data set in MSD layout with three labels: grids, orientations and gains differ between cases."""

import json
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform

from context_fbr.core import atomic, nifti
from context_fbr.datasets.dataset_json import NAME

LABELS = ("background", "core", "rim", "dot")
SCALE = 250.0  # intensity of white matter at gain 1
GRIDS = (  # shape and spacing (mm) towards right, anterior and superior; the file's orientation
    ((40, 44, 24), (1.0, 1.0, 2.0), "RAS"),
    ((44, 48, 20), (0.9, 0.9, 2.5), "LPS"),
    ((38, 42, 34), (1.2, 1.1, 1.4), "ASR"),
    ((28, 46, 26), (1.5, 1.0, 1.8), "PIR"),
    ((42, 40, 22), (1.0, 1.1, 2.2), "LAS"),
    ((48, 44, 18), (0.8, 1.0, 3.0), "SRA"),
    ((40, 30, 36), (1.1, 1.6, 1.2), "RPI"),
    ((36, 38, 30), (1.3, 1.2, 1.6), "IPL"),
)


@dataclass(frozen=True)
class Volume:
    """One case on an RAS grid."""

    image: np.ndarray
    """(x, y, z) int16, 0 outside of the head and nowhere below."""
    label: np.ndarray
    """(x, y, z) uint8: an index of LABELS."""
    affine: np.ndarray
    """(4, 4) voxel to world in mm."""


def make(folder: Path, cases: int = 8) -> None:
    """Write imagesTr, labelsTr and dataset.json, the same bytes every time; grids repeat after eight cases.

    Raises:
        UserError: if a file cannot be written.
    """
    names = [f"blob_{number}" for number in range(cases)]
    training = [{kind: f"./{kind}sTr/{name}.nii.gz" for kind in ("image", "label")} for name in names]
    description = {
        "name": "Blobs",
        "modality": {"0": "MRI"},
        "labels": {str(value): name for value, name in enumerate(LABELS)},
        "numTraining": cases,
        "numTest": 0,
        "training": training,
        "test": [],
    }
    with atomic.directory(folder) as partial:
        for number, name in enumerate(names):
            shape, spacing, orientation = GRIDS[number % len(GRIDS)]
            volume = paint(name, shape, spacing)
            turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(orientation))
            for kind, voxels in (("images", volume.image), ("labels", volume.label)):
                turned = nibabel.Nifti1Image(voxels, volume.affine).as_reoriented(turn)
                path = partial / f"{kind}Tr" / f"{name}.nii.gz"
                nifti.write(path, np.asanyarray(turned.dataobj), turned.affine)
        (partial / NAME).write_text(json.dumps(description, indent=1))


def paint(name: str, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    """Paint a head with one lesion: a pure function of its arguments.

    Rician noise is the magnitude of a signal with Gaussian noise in its real and imaginary part; the bias
    field changes intensities by up to a third across the head, the gain by a factor of 0.5 to 3 between cases.

    Args:
        name: of the case; seeds everything random.
        shape: of the volume.
        spacing: edges of a voxel in mm.
    """
    draw = np.random.default_rng(crc32(name.encode()))
    gain = np.exp(draw.uniform(np.log(0.5), np.log(3.0)))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s + draw.uniform(-9, 9) for n, s in zip(shape, spacing, strict=True)]
    mm = np.stack(
        np.meshgrid(
            *((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"
        )
    )
    half = np.array(shape) * spacing / 2
    radius = _distance(mm / half[:, None, None, None])  # 1 at the middles of the volume's faces
    head = radius < 0.92
    centre = draw.uniform(-0.25, 0.25, 3) * half
    lesion = _distance(mm - centre[:, None, None, None]) / draw.uniform(8.0, 10.0)  # mm
    outward = draw.normal(size=3)
    dot = _distance(mm - (centre + 12.5 * outward / np.linalg.norm(outward))[:, None, None, None]) < 2.6  # mm
    label = np.zeros(shape, np.uint8)
    label[(lesion < 1) & head] = LABELS.index("rim")
    label[(lesion < 0.65) & head] = LABELS.index("core")
    label[dot & head] = LABELS.index("dot")
    tissue = np.select(
        [radius > 0.82, radius > 0.6, radius < 0.18], [0.35, 0.7, 0.03], 1.0
    )  # skull, grey, fluid
    for value, brightness in ((1, 0.5), (2, 1.4), (3, 1.9)):
        tissue[label == value] = brightness
    bias = np.exp(np.tensordot(draw.uniform(-0.17, 0.17, 3), mm / half[:, None, None, None], 1))
    signal = tissue * bias + draw.normal(0, 0.06, shape)
    magnitude = np.hypot(signal, draw.normal(0, 0.06, shape)) * SCALE * gain
    return Volume(np.where(head, np.rint(magnitude), 0).astype(np.int16), label, affine)


def _distance(offsets: np.ndarray) -> np.ndarray:
    return np.sqrt((offsets**2).sum(axis=0))
