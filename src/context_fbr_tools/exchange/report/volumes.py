"""Volumes of the cases that the report opens: images of 64 greys, labels and predictions, packed."""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass

import nibabel
import numpy as np

from context_fbr.config.analysis import OverlayConfig
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import parse
from context_fbr.evaluation.predictions import read_prediction
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr_tools.exchange.report.tables import Copy

GREYS = 64
BRIGHTEST = 99.5
"""Percentile of the intensities that is drawn white."""


@dataclass(frozen=True)
class Volumes:
    """Volumes as gzipped NIfTI in base64."""

    packed: Mapping[str, str]
    """Volumes by name, as of `image_name`, `label_name` and `prediction_name`."""
    left_out: tuple[str, ...]
    """Missing volumes, with reasons."""


def image_name(task: str, case: str) -> str:
    """Return the name of an image."""
    return f"{task}/{case}/image"


def label_name(task: str, case: str) -> str:
    """Return the name of a label."""
    return f"{task}/{case}/label"


def prediction_name(cell: Cell, case: str) -> str:
    """Return the name of a prediction."""
    return f"{cell.key}/{case}"


def read_volumes(task: str, shown: Copy, document: Document, room: int) -> Volumes:
    """Read and pack the cases of a table of overlays, in its order, as long as there is room.

    Args:
        task: of the cases.
        shown: rows model, patch, seed, place, case, ...
        document: params.yaml.
        room: most characters of all volumes together.
    """
    packed: dict[str, str] = {}
    left_out: list[str] = []
    try:
        window = OverlayConfig.read(document, task).window
        cases = {case.name: case for case in prepared.read_cases(task, "test")}
    except UserError as error:
        return Volumes({}, (f"{task}: no volumes: {error}",))
    for model, size, seed, _, name, *_ in shown.rows:
        cell = Cell(task, str(model), parse(str(size)), int(str(seed)))
        try:
            own = _case(task, cases[str(name)], window, packed) | _prediction(cell, cases[str(name)])
        except (UserError, KeyError, OSError) as error:
            left_out.append(f"{cell.key}, {name}: no volumes: {error}; run `dvc repro`")
            continue
        if sum(map(len, (packed | own).values())) > room:
            left_out.append(f"{cell.key}, {name}: no volumes, to keep the file small")
            continue
        packed |= own
    return Volumes(packed, tuple(left_out))


def _case(
    task: str, case: Case, window: tuple[float, float] | None, known: Mapping[str, str]
) -> dict[str, str]:
    if image_name(task, case.name) in known:
        return {}
    image = originals.read_image(task, case)
    values = image.get_fdata(dtype=np.float32)
    low, high = window or (float(values.min()), float(np.percentile(values, BRIGHTEST)))
    greys = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * (GREYS - 1)
    affine = np.array(case.geometry.original_affine)
    return {
        image_name(task, case.name): pack(np.round(greys), affine),
        label_name(task, case.name): pack(originals.read_masks(task, case).label, affine),
    }


def _prediction(cell: Cell, case: Case) -> dict[str, str]:
    affine = np.array(case.geometry.original_affine)
    return {prediction_name(cell, case.name): pack(read_prediction(cell, case), affine)}


def pack(values: np.ndarray, affine: np.ndarray) -> str:
    """Return values 0 to 255, (i, j, k), as a gzipped NIfTI in base64; the same bytes every time."""
    content = nibabel.Nifti1Image(values.astype(np.uint8), affine).to_bytes()
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
