"""Predictions of test cases, read again with their images and labels, for figures and the report."""

from dataclasses import dataclass

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Image

from context_fbr.config.cell import Cell
from context_fbr.core import nifti
from context_fbr.preprocessing import originals
from context_fbr.preprocessing.prepared import Case
from context_fbr.preprocessing.transforms import class_map


@dataclass(frozen=True, eq=False)
class View:
    """A case on its original grid, axes towards right, anterior and superior."""

    image: Nifti1Image
    """(x, y, z), of several channels the first."""
    label: np.ndarray
    """(x, y, z), the number of a structure or 0."""
    prediction: np.ndarray
    """(x, y, z), the number of a structure or 0."""


def read_prediction(cell: Cell, case: Case) -> np.ndarray:
    """Read the classes (i, j, k) that a cell has predicted for a case; errors as in `nifti.read`."""
    written = np.asarray(nifti.read(cell.predictions / f"{case.name}.nii.gz").dataobj)
    return class_map(written, case.groups) if case.structures else written


def read_view(cell: Cell, case: Case) -> View:
    """Read a case with a cell's prediction.

    Raises:
        UserError: if a file is missing or damaged.
    """
    image = nibabel.as_closest_canonical(originals.read_image(cell.task, case))
    affine = np.array(case.geometry.original_affine)
    label, prediction = (
        np.asarray(nibabel.as_closest_canonical(Nifti1Image(classes, affine)).dataobj)
        for classes in (originals.read_masks(cell.task, case).label, read_prediction(cell, case))
    )
    return View(image, label, prediction)
