"""The forecast of a study: parts of its cells, measured once on each machine, and the costs of all cells."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

import context_fbr
from context_fbr.config.cell import Cell
from context_fbr.config.evaluation import EvaluateConfig
from context_fbr.config.study import Study
from context_fbr.config.training import TrainConfig
from context_fbr.core import atomic, bounded
from context_fbr.core.errors import UserError
from context_fbr.networks.device import DEVICE_VARIABLE, identify
from context_fbr.preprocessing import prepared
from context_fbr.preprocessing.prepared import PreparedTask
from context_fbr.runtime.code_digest import code_of
from context_fbr_tools.study.planning.forecast import overhead
from context_fbr_tools.study.planning.forecast.costs import Costs, costs, started, wall_time
from context_fbr_tools.study.planning.forecast.measure import Parts

CACHE = Path(".dvc/tmp/context-fbr/plan")
LAST_LINES = 3
"""Number of lines of what a measurement has printed, in a message."""


@dataclass(frozen=True)
class Forecast:
    """Costs of the cells of a study on this machine."""

    cells: Mapping[Cell, Costs]
    """Costs by cell, in the order of the study."""
    left_out: Mapping[str, str]
    """Reason by cell or task."""


def forecast(
    study: Study,
    cells: Sequence[Cell],
    places: int,
    environment: Mapping[str, str],
    again: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Forecast:
    """Measure what is not known of the cells, several at once as the study would run them.

    Args:
        study: the parameters.
        cells: of the study.
        places: cells at once; as many are measured side by side.
        environment: what the processes get besides this one's, such as the GPUs to take.
        again: measure also what is known.
        report: called with a line for each measurement.
    """
    left_out: dict[str, str] = {}
    keys = _keys(study, cells, places, environment, left_out)
    found = {} if again else {key: parts for key in {*keys.values()} if (parts := _read(key))}
    wanted = {key: cell for cell, key in reversed(keys.items()) if key not in found}

    def one(item: tuple[str, Cell]) -> None:
        key, cell = item
        try:
            found[key] = measured(cell, environment)
        except UserError as error:
            left_out[cell.key] = str(error)
            report(f"{cell.key}: could not be measured: {error}")
            return
        atomic.write_text(CACHE / f"{key}.json", json.dumps(asdict(found[key])) + "\n")
        report(f"{cell.key}: a step takes {found[key].step * 1000:.0f} ms")

    with ThreadPoolExecutor(max(places, 1)) as pool:
        list(pool.map(one, wanted.items()))
    overhead_s = overhead.seconds()
    return Forecast(
        {cell: costs(cell, study, found[key], overhead_s) for cell, key in keys.items() if key in found},
        left_out,
    )


def known(
    study: Study, cells: Sequence[Cell], places: int, environment: Mapping[str, str]
) -> dict[Cell, Costs]:
    """Return the costs of the cells whose parts were measured before, with so many side by side."""
    if not CACHE.is_dir():
        return {}
    overhead_s = overhead.seconds()
    keys = _keys(study, cells, places, environment, {})
    found = {key: _read(key) for key in {*keys.values()}}
    return {
        cell: costs(cell, study, parts, overhead_s) for cell, key in keys.items() if (parts := found[key])
    }


def wall_seconds(
    study: Study, cells: Sequence[Cell], places: int, environment: Mapping[str, str]
) -> float | None:
    """Return the time of cells, so many at once; None if this machine has not measured all of them."""
    found = known(study, cells, places, environment)
    if not cells or len(found) < len(cells):
        return None
    return wall_time(started(found, study.study_cells.tasks), places)


def _keys(
    study: Study,
    cells: Sequence[Cell],
    places: int,
    environment: Mapping[str, str],
    left_out: dict[str, str],
) -> dict[Cell, str]:
    """Return the name of the parts of each cell, as far as its data are prepared; `left_out` gets reasons.

    It depends on the cell's parameters but the seed, its cases, the code, the device, and how many are
    measured side by side.
    """
    tasks: dict[str, PreparedTask] = {}
    for name in dict.fromkeys(cell.task for cell in cells):
        try:
            tasks[name] = prepared.read_task(name)
        except UserError as error:
            left_out[name] = f"its data are not prepared ({error})"
    machine = {"places": places, "code": _code(), "device": identify(device({**os.environ, **environment}))}
    shapes = {
        name: [[case.shape for case in task.split(split)] for split in ("train", "validation", "test")]
        for name, task in tasks.items()
    }
    return {
        cell: _digest({**machine, "shapes": shapes[cell.task], **_parameters(study, cell)})
        for cell in cells
        if cell.task in tasks
    }


def _parameters(study: Study, cell: Cell) -> dict[str, Any]:
    without_seed = {"cell": cell.key.rpartition("-")[0]}
    return {
        "train": TrainConfig.read(study.document, cell).identity(cell) | without_seed,
        "evaluate": EvaluateConfig.read(study.document, cell).identity(cell) | without_seed,
    }


def _digest(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:32]


def device(environment: Mapping[str, str]) -> torch.device:
    """Return a device that cells would run on, without taking a share of it as a cell does."""
    wanted = environment.get(DEVICE_VARIABLE, "").partition(",")[0].strip()
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))


@cache
def _code() -> str:
    """Return the SHA-256 of the package's code, without comments."""
    files = sorted(Path(context_fbr.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(code_of(path.read_bytes()) for path in files)).hexdigest()


def _read(key: str) -> Parts | None:
    try:
        return Parts(**bounded.read_json(CACHE / f"{key}.json"))
    except (OSError, ValueError, TypeError):
        return None


def measured(cell: Cell, environment: Mapping[str, str]) -> Parts:
    """Measure a cell in a process of its own; UserError with the end of what it printed."""
    command = [sys.executable, "-m", "context_fbr_tools.study.planning.forecast.measure", cell.key]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    try:
        return Parts(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        lines = (done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:]
        raise UserError(" / ".join(lines) or f"it ended with {done.returncode}") from None
