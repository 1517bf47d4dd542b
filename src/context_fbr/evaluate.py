"""Evaluate one cell on the test volumes: models/CELL -> metrics/test/CELL.csv, data/predictions/CELL.

python -m context_fbr.evaluate TASK MODEL PATCH_SIZE SEED
"""

import pickle
import zipfile

import numpy as np
import torch

from context_fbr import atomic, networks, nifti, prepared, scoring
from context_fbr.cells import Cell
from context_fbr.device import prepare_device
from context_fbr.errors import UserError, raise_problems, run
from context_fbr.inference import segment
from context_fbr.progress import progress
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow, Training
from context_fbr.tables import score_table


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
    cases = prepared.read_cases(cell.task, "test")
    rows: list[tuple[str, scoring.Scores, float]] = []
    problems: list[str] = []
    with atomic.directory(cell.predictions) as folder:
        for case in progress(cases, len(cases), f"evaluate {cell.key}", "case"):
            try:
                image, label = prepared.read_volume(cell.task, case)
            except UserError as error:  # go on: several bad files are reported together
                problems.extend(error.problems)
                continue
            mask = segment(network, torch.from_numpy(image).to(device), cell.patch_size, window)
            prediction = mask.cpu().numpy()
            nifti.write(folder / f"{case.name}.nii.gz", prediction, np.asarray(case.affine))
            rows.append((case.name, scoring.score(prediction, label), case.foreground_ratio))
        raise_problems(problems)
    atomic.write_text(cell.scores, score_table(rows))


if __name__ == "__main__":
    run(main)
