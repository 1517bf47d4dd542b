"""The original files of a prepared case, in data/raw/TASK."""

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.preprocessing.prepared import Case
from context_fbr.preprocessing.transforms import class_map, foreground_mask


@dataclass(frozen=True, eq=False)
class Original:
    """Masks of a case's label as it was drawn, (i, j, k) uint8."""

    label: np.ndarray
    """The number of the structure, from 1, in the foreground."""
    distractor: np.ndarray | None = None
    """1 in the distractor; None if the task has none."""


def read_masks(task: str, case: Case) -> Original:
    """Read the masks of a case's label on its original grid; errors as in `read_image`."""
    values = _read(task, case, case.label).get_fdata(dtype=np.float32)
    distractor = foreground_mask(values, case.distractor) if case.distractor else None
    return Original(class_map(values, case.groups), distractor)


def read_image(task: str, case: Case) -> nibabel.Nifti1Image:
    """Read the original image of a case, of several channels the first.

    Raises:
        UserError: if the file is missing, damaged, or not of the shape that was prepared.
    """
    return nifti.channel(_read(task, case, case.image, channels=True), 0)


def read_header(task: str, case: Case) -> nibabel.Nifti1Header:
    """Read the header of a case's original image, on which masks of the case are written.

    Raises:
        UserError: if the file is missing or not NIfTI-1.
    """
    path = Path("data/raw") / task / case.image
    try:
        return nifti.read_header(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; run `dvc checkout raw@{task}`") from error


def _read(task: str, case: Case, file: str, channels: bool = False) -> nibabel.Nifti1Image:
    path = Path("data/raw") / task / file
    image = nifti.read(path, channels)
    if image.shape[:3] != case.geometry.original_shape:
        raise UserError(
            f"{path}: shape {image.shape}, but {case.geometry.original_shape} was prepared; "
            f"run `dvc repro prepare@{task}`"
        )
    return image
