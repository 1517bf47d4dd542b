"""Costs of cells on a device that was measured before: benchmarks/gpu.csv, made by benchmarks/gpu.sh.

The table has steps and sliding windows of the paper profile on spheres. A cell is in the forecast if it is
one of that profile, to its last parameter, and its network and patch size are in the table.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from context_fbr.analysis import run_records
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.config.study import Study, read_study
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import written
from context_fbr_tools.study.planning.forecast.costs import Costs
from context_fbr_tools.study.planning.forecast.forecast import Forecast

TABLE = Path("benchmarks/gpu.csv")
STEP, WINDOW, SCORING = "step, ours", "sliding window", "scoring of a case"
"""Values of the table, in seconds: of a training step, of a volume, of a test case (0 if it is not there)."""
MEMORY = ("memory of a step", "memory of a sliding window")
"""Values in GB."""
TASKS = ("spheres",)
"""Tasks whose volumes were measured."""
Measured = Mapping[str, float]
"""Values of a network and patch size by name."""


def forecast(study: Study, cells: Sequence[Cell], device: str) -> Forecast:
    """Return the costs of the cells of the paper profile on a device; others are left out with a reason.

    Raises:
        UserError: if there is no table, or it does not have the device.
    """
    measured, paper = _read(device), run_records.paper_document()
    known = read_study(paper).models
    costs: dict[Cell, Costs] = {}
    left_out: dict[str, str] = {}
    for cell in cells:
        values = measured.get((cell.model, str(written(cell.patch_size))))
        place = cell.key.rpartition("-")[0]
        if cell.task not in TASKS or cell.model not in known or _differs(study, paper, cell):
            left_out[place] = f"is not as in the paper profile, which {TABLE} measured"
        elif values is None or STEP not in values or WINDOW not in values:
            left_out[place] = f"{TABLE} has no step of it on {device}"
        else:
            costs[cell] = _costs(study, cell, values)
    return Forecast(costs, left_out)


def _differs(study: Study, paper: Document, cell: Cell) -> bool:
    """Return whether a cell has other parameters than in the paper profile."""
    own, theirs = (run_records.digest(document, cell.key) for document in (study.document, paper))
    return own != theirs


def _costs(study: Study, cell: Cell, values: Measured) -> Costs:
    task, settings = study.tasks[cell.task], study.training_of(cell)
    split, epochs = task.prepare.split, task.train.epochs
    assert isinstance(split.train, int)  # generated cases have no names to list
    assert isinstance(split.validation, int)
    steps = math.ceil(split.train / settings.batch_volumes)
    validations = math.ceil(epochs / settings.validate_every_epochs)
    train_s = epochs * steps * values[STEP] + validations * split.validation * values[WINDOW]
    assert isinstance(task.raw, SpheresRaw)  # what was measured
    evaluate_s = task.raw.test.count * (values[WINDOW] + values.get(SCORING, 0.0))
    memory = round(1e9 * max((values[name] for name in MEMORY if name in values), default=0.0))
    return Costs(train_s, evaluate_s, memory=0, gpu_memory=memory, disk=0)


def _read(device: str) -> dict[tuple[str, str], dict[str, float]]:
    """Return the values of a device by network and patch size; errors as in `forecast`."""
    try:
        with TABLE.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        names = sorted({row["machine"] for row in rows})
        found: dict[tuple[str, str], dict[str, float]] = {}
        for row in rows:
            if row["machine"] == device:
                own = found.setdefault((row["network"], row["patch_size"]), {})
                own[row["value_of"]] = float(row["value"])
    except FileNotFoundError:
        raise UserError(
            f"{TABLE}: not found; `bash benchmarks/gpu.sh` of the project makes it on a GPU"
        ) from None
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{TABLE}: cannot be read ({error!r}); bring it back with git") from error
    if not found:
        raise UserError(f"--on {device}: is not in {TABLE}, which has {', '.join(names)}")
    return found
