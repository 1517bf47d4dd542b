"""Experiment tracking: a no-op unless WANDB_MODE selects Weights & Biases.

A tracker gets results and gives nothing back, so it can change none. Its modules are loaded by name, which
keeps them out of the code that cells depend on (runtime/code_digest.py): a change of them retrains nothing.
"""

import importlib
import os
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.training.history import Epoch

VARIABLE = "WANDB_MODE"
MODES = ("online", "offline")
OFF = ("", "disabled")
MIRROR = "context_fbr_tools.wandb_sync.live"


class Tracker(Protocol):
    """Gets the progress of a stage of a cell."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch has ended; the network still holds the gradients of its last step."""

    def done(self) -> None:
        """The results of the stage are on disk."""


class NullTracker:
    """A tracker that does nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Do nothing."""

    def done(self) -> None:
        """Do nothing."""


def of_training(cell: Cell, document: Document, *subject: object) -> AbstractContextManager[Tracker]:
    """Return the tracker of a training.

    Args:
        cell: that is trained.
        document: the parameters.
        subject: the network, a training volume and the epochs before, as in wandb_sync/live.py; without
            types, or an evaluation would depend on how patches are drawn.
    """
    return _tracker("of_training", cell, document, *subject)


def of_evaluation(cell: Cell, document: Document) -> AbstractContextManager[Tracker]:
    """Return the tracker of an evaluation."""
    return _tracker("of_evaluation", cell, document)


def _tracker(name: str, cell: Cell, *arguments: object) -> AbstractContextManager[Tracker]:
    mode = os.environ.get(VARIABLE, "")
    if mode not in MODES:
        if mode not in OFF:
            warn(cell, f"{VARIABLE} is {mode!r}, expected {', '.join(MODES)} or disabled")
        return nullcontext(NullTracker())
    try:
        tracker: AbstractContextManager[Tracker] = getattr(importlib.import_module(MIRROR), name)(
            cell, *arguments
        )
    except Exception as error:  # the cell is computed without it
        warn(cell, f"{type(error).__name__}: {error}")
        return nullcontext(NullTracker())
    return tracker


def warn(cell: Cell, text: str) -> None:
    """Print a problem with W&B, which does not affect the cell."""
    with suppress(OSError):  # the reader of the stream may have ended
        print(f"warning: {cell.key}: W&B: {' '.join(text.split())}", file=sys.stderr, flush=True)
