"""Evaluate one cell on the test volumes: models/CELL -> metrics/test/CELL.csv, data/predictions/CELL.

python -m context_fbr.evaluate TASK MODEL PATCH_SIZE SEED
"""

import pickle
import zipfile

import numpy as np
import torch

from context_fbr import atomic, case_scores, networks, nifti, originals, prepared
from context_fbr.cells import Cell
from context_fbr.device import prepare_device
from context_fbr.errors import UserError, raise_problems, run
from context_fbr.inference import segment
from context_fbr.progress import progress
from context_fbr.score_columns import CELL_SCORES
from context_fbr.study.document import Document
from context_fbr.study.evaluation import TaskEvaluation
from context_fbr.study.training import SlidingWindow, Training
from context_fbr.tables import csv_text


def load_network(document: Document, cell: Cell, device: torch.device) -> torch.nn.Module:
    """Build the cell's network and give it the trained weights.

    Raises:
        UserError: if the weights are missing, damaged, or of another network.
    """
    network = networks.build(document, cell.model, cell.patch_size, cell.seed)
    remedy = f"train it again with `dvc repro -f train@{cell.key}`"
    try:
        network.load_state_dict(torch.load(cell.weights, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise UserError(f"{cell.weights}: not found; run `dvc repro train@{cell.key}` first") from None
    except (OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, TypeError) as error:
        raise UserError(
            f"{cell.weights}: holds no weights of networks.{cell.model} "
            f"({(str(error) or type(error).__name__).splitlines()[0]}); {remedy}"
        ) from error
    return network.to(device, memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]


def main(arguments: list[str]) -> None:
    """Run the stage."""
    cell = Cell.from_arguments(arguments)
    document = Document.read()
    window = document.section(("sliding_window",), SlidingWindow)
    device = prepare_device(document.section(("train",), Training).threads)
    network = load_network(document, cell, device)
    tolerance = document.section(("tasks", cell.task, "evaluate"), TaskEvaluation).surface_tolerance_mm
    cases = prepared.read_cases(cell.task, "test")
    rows: list[tuple[object, ...]] = []
    problems: list[str] = []
    with atomic.directory(cell.predictions) as folder:
        for case in progress(cases, len(cases), f"evaluate {cell.key}", "case"):
            try:
                image, label = prepared.read_volume(cell.task, case)
                original_label = originals.read_label(cell.task, case)
            except UserError as error:  # go on: several bad files are reported together
                problems.extend(error.problems)
                continue
            voxels = torch.from_numpy(image).to(device)
            mask = segment(network, voxels, cell.patch_size, window, case.background).cpu().numpy()
            row, original = case_scores.score_case(mask, label, case, original_label, tolerance)
            nifti.write(folder / f"{case.name}.nii.gz", original, np.array(case.geometry.original_affine))
            rows.append((*row, int(min(case.shape) < cell.patch_size)))
        raise_problems(problems)
    atomic.write_text(cell.scores, csv_text(CELL_SCORES, rows))


if __name__ == "__main__":
    run(main)
