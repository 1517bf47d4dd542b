"""The forecast of a study: parts of its cells, measured once on each machine, and the costs of all cells."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import context_fbr
from context_fbr.config.cell import Cell
from context_fbr.config.evaluation import EvaluateConfig
from context_fbr.config.study import Study
from context_fbr.config.training import TrainConfig
from context_fbr.core import atomic, bounded
from context_fbr.core.errors import UserError
from context_fbr.networks.device import identify, prepare_device
from context_fbr.preprocessing import prepared
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
    ready = [cell for cell in cells if cell.task not in left_out and _has_data(cell.task, left_out)]
    keys = {cell: key_of(cell, study) for cell in ready}
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
        {cell: costs(cell, study, found[keys[cell]], overhead_s) for cell in ready if keys[cell] in found},
        left_out,
    )


def known(study: Study, cells: Iterable[Cell]) -> dict[Cell, Costs]:
    """Return the costs of the cells whose parts this machine has measured before."""
    found = {}
    left_out: dict[str, str] = {}
    overhead_s = overhead.seconds()
    for cell in cells:
        if cell.task in left_out or not _has_data(cell.task, left_out):
            continue
        if parts := _read(key_of(cell, study)):
            found[cell] = costs(cell, study, parts, overhead_s)
    return found


def wall_seconds(study: Study, cells: Sequence[Cell], places: int) -> float | None:
    """Return the time of cells, so many at once; None if this machine has not measured all of them."""
    found = known(study, cells) if CACHE.is_dir() else {}
    if not cells or any(cell not in found for cell in cells):
        return None
    return wall_time(started(found, study.study_cells.tasks), places)


def key_of(cell: Cell, study: Study) -> str:
    """Return a name for the parts of a cell: of its parameters but the seed, its cases, code and device."""
    document = study.document
    task = prepared.read_task(cell.task)
    parameters: dict[str, Any] = {
        "train": {**TrainConfig.read(document, cell).identity(cell), "cell": _without_seed(cell)},
        "evaluate": {**EvaluateConfig.read(document, cell).identity(cell), "cell": _without_seed(cell)},
        "shapes": {
            name: [case.shape for case in task.split(name)] for name in ("train", "validation", "test")
        },
        "code": _code(),
        "device": identify(prepare_device(study.train.threads)),
    }
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """Return the SHA-256 of the package's code, without comments."""
    files = sorted(Path(context_fbr.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(code_of(path.read_bytes()) for path in files)).hexdigest()


def _without_seed(cell: Cell) -> str:
    return cell.key.rpartition("-")[0]


def _has_data(task: str, left_out: dict[str, str]) -> bool:
    try:
        prepared.read_task(task)
    except UserError as error:
        left_out[task] = f"its data are not prepared ({error})"
        return False
    return True


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
