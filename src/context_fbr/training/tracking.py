"""Whoever is told how a cell comes along: nobody, unless WANDB_MODE asks for Weights & Biases.

A tracker is told and never asked: it can change no result. That is why the modules behind it are loaded by
name, which makes them no part of the code on which cells depend (code.py): to change how a page looks trains
nothing again.
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
    """Told of a stage of a cell while it is computed."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch has ended; the network still holds the gradients of its last step."""

    def done(self) -> None:
        """The results of the stage are on disk."""


class NullTracker:
    """Nobody."""

    def epoch(self, epoch: Epoch) -> None:
        """Nothing."""

    def done(self) -> None:
        """Nothing."""


def of_training(cell: Cell, document: Document, *subject: object) -> AbstractContextManager[Tracker]:
    """Who is told of a training.

    Args:
        cell: that is trained.
        document: the parameters.
        subject: the network, a volume of the training, and the epochs before, as in mirror/live.py. They have
            no types here, or an evaluation would depend on how patches are drawn.
    """
    return _tracker("of_training", cell, document, *subject)


def of_evaluation(cell: Cell, document: Document) -> AbstractContextManager[Tracker]:
    """Who is told of an evaluation."""
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
    except Exception as error:  # whatever is wrong with it, the cell is computed
        warn(cell, f"{type(error).__name__}: {error}")
        return nullcontext(NullTracker())
    return tracker


def warn(cell: Cell, text: str) -> None:
    """Tell of a problem with W&B, which is none of the cell's."""
    with suppress(OSError):  # nobody may be left to read
        print(f"warning: {cell.key}: W&B: {' '.join(text.split())}", file=sys.stderr, flush=True)
