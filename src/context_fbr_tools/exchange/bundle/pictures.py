"""Pictures of a cell's cases for its model card."""

from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes

from context_fbr.config.analysis import OverlayConfig
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.figures.overlays import Panel, overlays
from context_fbr.overlay import choose, credit, slice_of
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr.preprocessing.transforms import class_map


def draw(cell: Cell, own: pd.DataFrame, document: Document) -> bytes:
    """Draw the median and the worst test case of a cell.

    Args:
        cell: that is evaluated.
        own: rows of its test cases, of `columns.CELL_SCORES`.
        document: params.yaml.

    Raises:
        UserError: if no case has a Dice, or a volume is missing or does not fit.
    """
    window = OverlayConfig.read(document, cell.task).window
    cases = {case.name: case for case in prepared.read_cases(cell.task, "test")}
    panels = [_panel(cell, row._asdict(), cases, window) for row in choose(own).itertuples(index=False)]
    return overlays(panels, credit(cell.task))


def _panel(
    cell: Cell, row: Mapping[str, object], cases: Mapping[str, Case], window: tuple[float, float] | None
) -> Panel:
    name = str(row["filename"])
    if name not in cases:
        raise UserError(f"{cell.scores}: {name} is no test case of {cell.task}; run `dvc repro`")
    case = cases[name]
    image = nibabel.as_closest_canonical(originals.read_image(cell.task, case))
    written = np.asarray(nifti.read(Path(cell.predictions) / f"{name}.nii.gz").dataobj)
    masks = (
        originals.read_masks(cell.task, case).label,
        class_map(written, case.groups) if case.structures else written,
    )
    label, prediction = (
        np.asarray(
            nibabel.as_closest_canonical(nibabel.Nifti1Image(mask, case.geometry.original_affine)).dataobj
        )
        for mask in masks
    )
    _, (shown, truth, found) = slice_of(image.get_fdata(dtype=np.float32), label, prediction)
    width, height, _ = voxel_sizes(image.affine)
    grey = window or (float(shown.min()), float(np.percentile(shown, 99.5)))
    scores = float(str(row["dsc"])), float(str(row["hausdorff"]))
    place = str(row["place"])
    return Panel(cell.model, cell.patch_size, place, name, *scores, shown, truth, found, height / width, grey)
