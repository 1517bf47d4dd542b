"""Tracker of a cell while it is computed. Nothing here can change or end the computation."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Self

from torch.nn import Module

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import TrainConfig
from context_fbr.core.errors import StoppedError
from context_fbr.runtime import provenance
from context_fbr.training.batches import Volume
from context_fbr.training.history import Epoch
from context_fbr.training.tracking import VARIABLE, warn
from context_fbr_tools.wandb_sync import media, run_identity
from context_fbr_tools.wandb_sync.curves import Curves
from context_fbr_tools.wandb_sync.session import Session

LIMIT_S, STOPPED_LIMIT_S = 30, 3  # for uploads at the end of a stage, and of one that was asked to stop


class Tracker:
    """Tracker of a training, with its network and a volume, or of an evaluation, as in tracking.py."""

    def __init__(self, cell: Cell, document: Document, subject: tuple[Module, Volume] | None) -> None:
        self._cell, self._document, self._subject = cell, document, subject
        self._session: Session | None = None
        self._shown: set[str] = set()
        self._try(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and issubclass(kind, (StoppedError, KeyboardInterrupt))
        self._use(lambda session: session.close(kind is None, STOPPED_LIMIT_S if stopped else LIMIT_S))

    def epoch(self, epoch: Epoch, new: bool = True) -> None:
        """Log an epoch; only a new one has gradients, and weights to be shown."""
        arrays: media.Arrays = {}
        if self._session and new and epoch.validation_dice is not None:
            self._try(lambda: self._look(epoch, arrays), "no picture of the network could be made: ")
        self._use(lambda session: session.rows(self._curves.rows(epoch), arrays))

    def done(self) -> None:
        """Log the results; an evaluation logs its training, too, which may have been computed without W&B."""
        cell, document = self._cell, self._document
        self._use(lambda own: own.training(cell) if self._subject else own.cell(cell, document))

    def _use(self, act: Callable[[Session], object]) -> None:
        """Do something with the session; print where the run is, and warn if W&B lacks something."""
        if (session := self._session) is None:
            return
        self._try(lambda: act(session))
        if session.place and "place" not in self._shown:
            self._shown.add("place")
            print(f"{self._cell.key}: W&B: {session.place}", file=sys.stderr, flush=True)
        if session.error:
            self._warn("upload", f"{session.error}; `context-fbr wandb push {self._cell.key}` tries again")

    def _open(self) -> None:
        origin, experiment = provenance.start(), os.environ.get("DVC_EXP_NAME")
        now = {"revision": origin.revision, "changed_files": list(origin.changed)}
        config = {f"provenance_{'train' if self._subject else 'evaluate'}": now, "experiment": experiment}
        self._curves = Curves(self._document, self._cell)
        identity = run_identity.identify(self._cell, self._document)
        self._session = Session(identity, os.environ[VARIABLE] == "online", config)

    def _try(self, act: Callable[[], object], kind: str = "") -> None:
        try:
            act()
        except (Exception, SystemExit) as error:  # W&B ends programs, too
            self._warn(kind, f"{kind}{type(error).__name__}: {error}")

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._shown:  # one warning of each kind
            self._shown.add(kind)
            warn(self._cell, text)

    def _look(self, epoch: Epoch, arrays: media.Arrays) -> None:
        """Add histograms, and a picture if the network is the best so far."""
        assert self._subject
        network, volume = self._subject
        arrays |= media.histograms(network)
        if epoch.weights is not None:
            config = TrainConfig.read(self._document, self._cell)
            caption = f"{volume.where.name} after epoch {epoch.number}"
            size, core = self._cell.patch_size, config.train.inner_core(self._cell.patch_size)
            planes = media.example(network, volume, size, config.window, caption, core)
            arrays |= {f"train/example/{part}": plane for part, plane in planes.items()}


def of_training(
    cell: Cell, document: Document, network: Module, volume: Volume, before: Sequence[Epoch]
) -> Tracker:
    """Track a training, of which the epochs before are known."""
    tracker = Tracker(cell, document, (network, volume))
    for epoch in before:
        tracker.epoch(epoch, new=False)
    return tracker


def of_evaluation(cell: Cell, document: Document) -> Tracker:
    """Track an evaluation."""
    return Tracker(cell, document, None)
