"""A whole cell both ways, on the same volumes: from files to scores and predictions."""

from pathlib import Path

import numpy as np

from benchmarks.generated import Dice, Study
from benchmarks.original import data, evaluation, training
from benchmarks.request import Request
from context_fbr.config.cell import Cell
from context_fbr.config.training import TaskTraining
from context_fbr.networks import factory
from context_fbr.networks.convolutions import unguard
from context_fbr.training.batches import Protocol

SPLITS = ("train", "validation", "test")


def original(request: Request, study: Study, cell: Cell, folder: Path, workers: int) -> Dice:
    """The original's cell.

    Args:
        request: what to measure.
        study: whose volumes.
        cell: which; both ways begin with the same weights.
        folder: for weights and predictions.
        workers: processes of its loaders.
    """
    epochs = study.document.section(("tasks", study.task, "train"), TaskTraining).epochs
    protocol = Protocol(request.training, request.window, epochs, cell.patch_size, cell.seed)
    learn, check, test = (study.items(split) for split in SPLITS)
    network = factory.rebuild(study.document, cell.model, cell.patch_size, cell.seed)
    training.train(
        unguard(network).to(request.device),
        data.training_loader(learn, protocol, workers),
        data.volume_loader(check, workers),
        protocol,
        folder / "weights.pt",
    )
    loader = data.volume_loader(test, workers)
    return {row[0]: row[1] for row in evaluation.test(network, loader, protocol, folder, np.eye(4))}


def ours(study: Study, cell: Cell) -> Dice:
    """Our cell: the stages as the study runs them."""
    return study.run(cell)
