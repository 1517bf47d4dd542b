"""`context-fbr wandb push`: upload finished cells from their files, each once."""

import os
from collections.abc import Container, Sequence

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.progress import progress
from context_fbr.runtime import code_digest, fetching
from context_fbr.runtime.locks import HeldError
from context_fbr.training.tracking import MODES, VARIABLE
from context_fbr_tools.dvc import lockfile, process
from context_fbr_tools.dvc.lock_check import ABSENT
from context_fbr_tools.dvc.stages import CACHED_INPUT_STAGES, CELL_STAGES
from context_fbr_tools.wandb_sync import run_identity
from context_fbr_tools.wandb_sync.session import Session


def push(document: Document, cells: Sequence[Cell], named: bool) -> int:
    """Upload cells and return their number. An unfinished cell is an error if the user named it.

    Raises UserError if W&B cannot be reached, and with each cell that is unfinished, damaged, or has other
    results than dvc.lock records.
    """
    mode = os.environ.get(VARIABLE) or "online"
    if mode not in MODES:
        raise UserError(f"{VARIABLE} is {mode!r}: `wandb push` needs online (its default) or offline")
    missing = {cell: _missing(cell) for cell in cells}
    problems = [f"{cell.key}: {text}" for cell, text in missing.items() if named and text]
    finished = [cell for cell in cells if not missing[cell]]
    if not finished and not problems and cells:
        first = cells[0]
        raise UserError(
            f"none of {len(cells)} cells is finished here, for example {first.key}: {missing[first]}"
        )
    recorded, changes = lockfile.entries(), process.changes() if finished else []
    modules = [module for stage in CELL_STAGES for module in code_digest.changed_modules(stage)]
    uploaded = 0
    for cell in progress(finished, len(finished), "wandb push", "cell"):
        try:
            if differs := [*_differences(cell, recorded, changes), *modules]:
                raise UserError(
                    f"{cell.key}: its results are not what dvc.lock records of {', '.join(differs)}; "
                    f"`dvc checkout` or `dvc repro {cell.stage('evaluate')}` brings them up to date"
                )
            if error := upload(cell, document, mode == "online"):
                problems.append(f"{cell.key}: upload failed ({error}); cells after it were not tried")
                break
            uploaded += 1
        except (HeldError, UserError, OSError, ValueError, KeyError) as error:
            problems += getattr(error, "problems", [f"{cell.key}: {type(error).__name__}: {error}"])
    raise_problems(problems)
    return uploaded


def upload(cell: Cell, document: Document, online: bool) -> str | None:
    """Upload a finished cell; return the reason if W&B did not take it; errors as in `Session`."""
    session, done = Session(run_identity.identify(cell, document), online), False
    try:
        session.cell(cell, document)
        done = True
    finally:
        session.close(done, None)
    if session.error is None:
        print(f"{cell.key}: W&B: {session.place}")
    return session.error


def _missing(cell: Cell) -> str | None:
    """Return the results that a cell lacks, and how to get them."""
    wanted = (cell.weights, cell.training, cell.history, cell.foreground_ratios, cell.scores)
    lacking = [str(path) for path in wanted if not path.is_file()]
    return f"{', '.join(lacking)}: not found; {fetching.remedy(cell.stage('evaluate'))}" if lacking else None


def _differences(cell: Cell, recorded: Container[str], changes: Sequence[process.Change]) -> list[str]:
    """Return the results, parameters and data of a cell that are not what dvc.lock records."""
    stages = [cell.stage(stage) for stage in CELL_STAGES]
    inputs = [f"{stage}@{cell.task}" for stage in CACHED_INPUT_STAGES]
    differs = [stage for stage in stages if stage not in recorded]
    differs += [c.what for c in changes if c.stage in (*stages, *inputs) and c.state not in ABSENT]
    return [*dict.fromkeys(differs)]
