"""Tracker of a cell while it is computed. Nothing here can change or end the computation."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow
from context_fbr.core.errors import StoppedError
from context_fbr.runtime import provenance
from context_fbr.training.batches import Volume
from context_fbr.training.history import Epoch
from context_fbr.training.tracking import VARIABLE, warn
from context_fbr_tools.wandb_sync import media, run_identity
from context_fbr_tools.wandb_sync.curves import batch_of, better, rows
from context_fbr_tools.wandb_sync.session import Session

LIMIT_S, STOPPED_LIMIT_S = 30, 3
"""Time for uploads at the end of a stage, and of a stage that was asked to stop."""


class Tracker:
    """Tracker of an evaluation; its methods are those of tracking.py."""

    def __init__(self, cell: Cell, document: Document, stage: str) -> None:
        self._cell, self._document = cell, document
        self._session: Session | None = None
        self._shown: set[str] = set()
        self._try(lambda: self._open(stage))

    def epoch(self, epoch: Epoch) -> None:
        """Log nothing: an evaluation has no epochs."""

    def done(self) -> None:
        """Log the results, with those of the training, which may have been computed without W&B."""
        self.use(lambda session: session.cell(self._cell, self._document))

    def use(self, act: Callable[[Session], object]) -> None:
        """Do something with the session; print where the run is, and warn if W&B lacks something."""
        if (session := self._session) is None:
            return
        self._try(lambda: act(session))
        if session.place and "place" not in self._shown:
            self._shown.add("place")
            print(f"{self._cell.key}: W&B: {session.place}", file=sys.stderr, flush=True)
        if session.error:
            self.warn("upload", f"{session.error}; `context-fbr wandb push {self._cell.key}` tries again")

    def warn(self, kind: str, text: str) -> None:
        """Warn of each kind of problem once."""
        if kind not in self._shown:
            self._shown.add(kind)
            warn(self._cell, text)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            self.warn("record", f"{type(error).__name__}: {error}")

    def _open(self, stage: str) -> None:
        origin, experiment = provenance.start(), os.environ.get("DVC_EXP_NAME")
        now = {"revision": origin.revision, "changed_files": list(origin.changed), "experiment": experiment}
        identity, online = run_identity.identify(self._cell, self._document), os.environ[VARIABLE] == "online"
        self._session = Session(identity, online, {f"provenance_{stage}": now})


class TrainingTracker(Tracker):
    """Tracker of a training."""

    def __init__(self, cell: Cell, document: Document, network: torch.nn.Module, volume: Volume) -> None:
        super().__init__(cell, document, "train")
        self._network, self._volume = network, volume
        self._best: Epoch | None = None

    def epoch(self, epoch: Epoch, new: bool = True) -> None:
        """Log an epoch that has ended; only for a new one there are gradients and weights to be shown."""
        self.use(lambda session: self._log(session, epoch, new and epoch.validation_dice is not None))

    def done(self) -> None:
        """Log the results."""
        self.use(lambda session: session.training(self._cell))

    def _log(self, session: Session, epoch: Epoch, shown: bool) -> None:
        self._best = better(self._best, replace(epoch, weights=None))
        found = rows(epoch, batch_of(self._document), self._best)
        for step, row in found:
            if not session.has(step):
                session.row(step, row, self._arrays(epoch) if shown and step == found[-1][0] else None)

    def _arrays(self, epoch: Epoch) -> media.Arrays:
        """Return histograms, and a picture if the network is the best so far; without those that fail."""
        arrays: media.Arrays = {}
        try:
            arrays |= media.histograms(self._network)
            if epoch.weights is not None:
                window = self._document.section(("sliding_window",), SlidingWindow)
                caption = f"{self._volume.where.name} after epoch {epoch.number}"
                planes = media.example(self._network, self._volume, self._cell.patch_size, window, caption)
                arrays |= {f"train/example/{part}": plane for part, plane in planes.items()}
        except Exception as error:
            self.warn("pictures", f"no picture of the network could be made: {error}")
        return arrays


@contextmanager
def of_evaluation(cell: Cell, document: Document) -> Iterator[Tracker]:
    """Track an evaluation."""
    yield from _closed(Tracker(cell, document, "evaluate"))


@contextmanager
def of_training(
    cell: Cell, document: Document, network: torch.nn.Module, volume: Volume, before: Sequence[Epoch]
) -> Iterator[Tracker]:
    """Track a training, of which the epochs before are known."""
    tracker = TrainingTracker(cell, document, network, volume)
    for epoch in before:
        tracker.epoch(epoch, new=False)
    yield from _closed(tracker)


def _closed(tracker: Tracker) -> Iterator[Tracker]:
    done, limit_s = False, LIMIT_S
    try:
        yield tracker
        done = True
    except (StoppedError, KeyboardInterrupt):
        limit_s = STOPPED_LIMIT_S
        raise
    finally:
        tracker.use(lambda session: session.close(done, limit_s))
