"""`context-fbr wandb push`: W&B is told of finished cells from their files alone, of each once."""

import os
from collections.abc import Sequence
from pathlib import Path

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.progress import progress
from context_fbr.runtime import fetching
from context_fbr.runtime.locks import HeldError
from context_fbr.training.tracking import MODES, VARIABLE
from context_fbr_tools.wandb_sync import journal, lock_state, run_identity, uploader_process
from context_fbr_tools.wandb_sync.backfill import record_files

MOST_FAILURES = 2
"""One after the other, of W&B."""


def push(document: Document, cells: Sequence[Cell], named: bool) -> int:
    """Tell W&B of cells; how many there were.

    Args:
        document: the parameters.
        cells: to be told of.
        named: whether somebody named them: then one that is not finished is an error.

    Raises:
        UserError: if W&B cannot be told; or with every cell that is not finished, of another state of the
            checkout, or damaged.
    """
    mode = os.environ.get(VARIABLE) or "online"
    if mode not in MODES:
        raise UserError(f"{VARIABLE} is {mode!r}: `wandb push` needs online (its default) or offline")
    missing = {cell: text for cell in cells if (text := _missing(cell))}
    problems = [f"{cell.key}: {text}" for cell, text in missing.items()] if named else []
    finished = [cell for cell in cells if cell not in missing]
    told = failures = 0
    for number, cell in enumerate(progress(finished, len(finished), "wandb push", "cell"), start=1):
        try:
            folder = _record(cell, document)
        except HeldError as owner:
            problems.append(f"{cell.key}: is being told of by {owner}; try again when it has ended")
            continue
        except (UserError, OSError, ValueError, KeyError) as error:
            problems += getattr(error, "problems", [f"{cell.key}: {type(error).__name__}: {error}"])
            continue
        failed = _tell(cell, folder, mode)
        told += failed is None
        failures = failures + 1 if failed else 0
        if failed:
            problems.append(f"{cell.key}: {failed}")
        if failures == MOST_FAILURES:  # the next cell would meet the same
            problems.append(f"{len(finished) - number} cells were not tried")
            break
    raise_problems(problems)
    return told


def _missing(cell: Cell) -> str | None:
    """What a cell lacks of its results."""
    wanted = (cell.weights, cell.training, cell.history, cell.foreground_ratios, cell.scores)
    lacking = [str(path) for path in wanted if not path.is_file()]
    if not lacking:
        return None
    return f"{', '.join(lacking)}: not found; {fetching.remedy(f'evaluate@{cell.key}')}"


def _record(cell: Cell, document: Document) -> Path:
    """The folder of the cell's journal, which holds all of it now."""
    lock_state.check(cell, document)
    run = run_identity.identify(cell, document)
    with journal.writing(run.run) as own:
        record_files(own, cell, document, run)
        return own.folder


def _tell(cell: Cell, folder: Path, mode: str) -> str | None:
    """Tell W&B of a journal; what went wrong."""
    done = uploader_process.tell(folder, mode == "online")
    text = done.stdout + done.stderr
    if done.returncode == 0:
        print(f"{cell.key}: W&B: {uploader_process.said(text, uploader_process.PLACE)}")
        return None
    last = (text.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    reason = uploader_process.said(text, uploader_process.FAILED) or last
    return f"W&B cannot be reached ({reason}); try again later"
