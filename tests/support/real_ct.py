"""A small data set in MSD layout, cut from the one real CT that there is for tests."""

import json
import zlib
from pathlib import Path

import nibabel
import numpy as np

from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.core.geometry import Box
from context_fbr.core.nifti import GZIP
from context_fbr.datasets.dataset_json import NAME

FILE = "ct_3mm.nii.gz"
WHOLE: Box = ((0, 122), (0, 101), (0, 112))
BOXES: tuple[Box, ...] = (  # voxels of the CT; the spleen is in 10..43, 21..57, 82..111
    ((2, 58), (8, 72), (60, 112)),
    ((0, 50), (14, 78), (72, 112)),
    ((6, 70), (4, 60), (64, 108)),
    ((0, 64), (20, 76), (56, 104)),
    ((8, 64), (0, 48), (76, 112)),
    ((0, 122), (0, 101), (78, 112)),
)
"""Of ct_0 to ct_5, which have labels; they overlap, so that only the plumbing can be tested on them. None is
within another, which `verify` refuses."""
UNLABELLED: Box = ((4, 60), (10, 66), (58, 106))
"""Of ct_6, in imagesTs."""


def make(source: Path, folder: Path) -> None:
    """Write imagesTr, labelsTr, imagesTs and dataset.json, the same bytes every time.

    Args:
        source: holds the CT as imagesTr/ct_3mm.nii.gz and the mask of its spleen under labelsTr.
        folder: to make, or to replace.

    Raises:
        UserError: if the CT is another one, or a file cannot be written.
    """
    whole = {kind: nibabel.load(source / f"{kind}Tr" / FILE) for kind in ("images", "labels")}
    expected = tuple(stop for _, stop in WHOLE)
    for kind, volume in whole.items():
        if volume.shape != expected:
            raise UserError(f"{source / f'{kind}Tr' / FILE}: shape {volume.shape}, expected {expected}")
    names = [f"ct_{number}.nii.gz" for number in range(len(BOXES))]
    test = f"ct_{len(BOXES)}.nii.gz"
    description = {
        "name": "Real CT",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "spleen"},
        "numTraining": len(names),
        "numTest": 1,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [f"./imagesTs/{test}"],
    }
    with atomic.directory(folder) as partial:
        for kind, volume in whole.items():
            for name, box in zip(names, BOXES, strict=True):
                _write(partial / f"{kind}Tr" / name, cut(volume, box))
        _write(partial / "imagesTs" / test, cut(whole["images"], UNLABELLED))
        (partial / NAME).write_text(json.dumps(description, indent=1))


def cut(volume: nibabel.Nifti1Image, box: Box) -> nibabel.Nifti1Image:
    """The part of a volume in a box, where it is in the world, with the rest of the header as it was."""
    part = volume.slicer[tuple(slice(start, stop) for start, stop in box)]
    part.set_qform(part.affine, int(volume.header["qform_code"]))
    part.set_sform(part.affine, int(volume.header["sform_code"]))
    part.set_data_dtype(np.asanyarray(volume.dataobj).dtype)
    return part


def _write(path: Path, volume: nibabel.Nifti1Image) -> None:
    atomic.write_bytes(path, zlib.compress(volume.to_bytes(), level=1, wbits=GZIP))
