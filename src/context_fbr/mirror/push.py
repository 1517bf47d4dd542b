"""`context-fbr wandb push`: W&B is told of finished cells from their files alone, of each once."""

import os
from collections.abc import Sequence
from typing import Any

import torch

from context_fbr import prepared
from context_fbr.cells import Cell
from context_fbr.device import prepare_device
from context_fbr.errors import UserError, raise_problems
from context_fbr.mirror import identity, media, results
from context_fbr.mirror.live import batch_of
from context_fbr.mirror.rows import better, epochs_of, last_step, rows
from context_fbr.mirror.run import Run
from context_fbr.patches import load_volume
from context_fbr.progress import progress
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow, Training
from context_fbr.tracking import MODES, VARIABLE
from context_fbr.trained import load_network


def push(document: Document, cells: Sequence[Cell], named: bool) -> int:
    """Tell W&B of cells; how many there were.

    Args:
        document: the parameters.
        cells: to be told of.
        named: whether somebody named them: then one that is not finished is an error.

    Raises:
        UserError: if W&B cannot be told; or with every cell that is not finished or damaged.
    """
    mode: Any = os.environ.get(VARIABLE) or "online"
    if mode not in MODES:
        raise UserError(f"{VARIABLE} is {mode!r}: `wandb push` needs online (its default) or offline")
    finished = [cell for cell in cells if not _missing(cell)]
    if named:
        raise_problems([f"{cell.key}: {text}" for cell in cells if (text := _missing(cell))])
    device = prepare_device(document.section(("train",), Training).threads)
    problems: list[str] = []
    for cell in progress(finished, len(finished), "wandb push", "cell"):
        try:
            run = Run(identity.identify(cell, document), mode)
        except Exception as error:  # the next cell would meet the same
            text = " ".join(str(error).split())
            raise UserError(*problems, f"{cell.key}: W&B cannot be told ({text}); try again later") from error
        failed = True
        try:
            _tell(run, cell, document, device)
            failed = False
        except Exception as error:
            problems.append(f"{cell.key}: {type(error).__name__}: {' '.join(str(error).split())}")
        finally:
            run.finish(failed)
    raise_problems(problems)
    return len(finished)


def _missing(cell: Cell) -> str | None:
    """What a cell lacks of its results."""
    wanted = (cell.weights, cell.training, cell.history, cell.foreground_ratios, cell.scores)
    lacking = [str(path) for path in wanted if not path.is_file()]
    if not lacking:
        return None
    return f"{', '.join(lacking)}: not found; `dvc repro evaluate@{cell.key}` or `dvc pull` brings them"


def _tell(run: Run, cell: Cell, document: Document, device: torch.device) -> None:
    batch, epochs = batch_of(document), [*epochs_of(cell)]
    best = None
    for epoch in epochs:
        best = better(best, epoch)
        told = rows(epoch, batch, best)
        is_new = epoch is epochs[-1] and told[-1][0] > run.steps
        run.rows(told, _media(cell, document, device) if is_new else None)
    results.tell_training(run, cell)
    results.tell_test(run, cell, last_step(epochs, batch) + 1)


def _media(cell: Cell, document: Document, device: torch.device) -> dict[str, Any]:
    """The trained network's weights, and what it makes of the first training case, if that is here."""
    import wandb

    network = load_network(document, cell, device)
    found: dict[str, Any] = {
        name: wandb.Histogram(np_histogram=(counts.tolist(), edges.tolist()))
        for name, (counts, edges) in media.histograms(network, gradients=False).items()
    }
    try:
        case = prepared.read_cases(cell.task, "train")[0]
        image, label = prepared.read_volume(cell.task, case)
    except UserError:
        return found
    volume = load_volume(case.name, image, label, device, cell.patch_size, case.background)
    window = document.section(("sliding_window",), SlidingWindow)
    shown = media.example(network, volume, cell.patch_size, window, f"{case.name}, the weights that are kept")
    found["train/example"] = media.picture(shown)
    return found
