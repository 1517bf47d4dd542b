"""A cell while it is computed: written into its run's journal, and told by a process of its own.

Nothing here can change or end the computation, and nothing of W&B is in this process.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow
from context_fbr.core.errors import StoppedError, UserError
from context_fbr.training.batches import Volume
from context_fbr.training.history import Epoch
from context_fbr.training.tracking import VARIABLE, warn
from context_fbr_tools.wandb_sync import journal, lock_state, media, run_identity, uploader_process
from context_fbr_tools.wandb_sync.backfill import OTHER, record_files, record_training
from context_fbr_tools.wandb_sync.curves import batch_of, better, rows
from context_fbr_tools.wandb_sync.journal import Journal
from context_fbr_tools.wandb_sync.run_identity import Identity

IN_A_HURRY = (StoppedError, KeyboardInterrupt)
"""How stages end of which somebody waits for the end."""


class _Tracker:
    """What trainings and evaluations have in common."""

    def __init__(self, cell: Cell, document: Document, stage: str) -> None:
        self._cell, self._document, self._stage = cell, document, stage
        self._open = ExitStack()
        self._teller: subprocess.Popen[bytes] | None = None
        self._journal: Journal | None = None
        self._identity: Identity | None = None
        self._place: str | None = None
        self._warned: set[str] = set()
        self._try(self._begin)
        self._try_to_tell(self._begin_to_tell)

    def __enter__(self) -> "_Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        waits = kind is None or not issubclass(kind, IN_A_HURRY)
        self._try_to_tell(lambda: self._end(done=kind is None, waits=waits))
        self._try(self._open.close)

    def epoch(self, epoch: Epoch) -> None:
        """As in tracking.py."""

    def done(self) -> None:
        """As in tracking.py."""

    def _try(self, act: Callable[[], object]) -> None:
        """Write something; if it cannot be written, nothing more is."""
        try:
            act()
        except Exception as error:
            self._journal = None
            self._warn("journal", f"{type(error).__name__}: {error}")

    def _try_to_tell(self, act: Callable[[], object]) -> None:
        """Do something with the teller; the journal is written on for later."""
        try:
            act()
        except Exception as error:
            self._warn("teller", f"{type(error).__name__}: {error}; {self._later}")

    @property
    def _later(self) -> str:
        return f"`context-fbr wandb push {self._cell.key}` tries again"

    def _warn(self, what: str, text: str) -> None:
        """Of each thing once."""
        if what not in self._warned:
            self._warned.add(what)
            warn(self._cell, text)

    def _begin(self) -> None:
        self._identity = run_identity.identify(self._cell, self._document)
        own = self._open.enter_context(journal.writing(self._identity.run))
        own.append(run_identity.message(self._identity, self._stage, run_identity.provenance_now()))
        self._journal = own

    def _begin_to_tell(self) -> None:
        if self._journal is not None:
            self._teller = uploader_process.follow(self._journal.folder, os.environ.get(VARIABLE) == "online")

    def _end(self, done: bool, waits: bool) -> None:
        """Let the teller go; wait for it if somebody may look at what it could not do."""
        teller = self._teller
        if teller is None or teller.stdin is None:
            return
        with suppress(BrokenPipeError):  # it may have ended long ago; why is in what it said
            if done:
                teller.stdin.write(b"done\n")
            teller.stdin.close()
        if waits:
            try:
                teller.wait(uploader_process.PATIENCE_S + 5)
            except subprocess.TimeoutExpired:
                teller.kill()
                teller.wait()
        self._look_at_teller()

    def _look_at_teller(self) -> None:
        """Say once where to look, and what the teller cannot do; the journal is written on for later."""
        teller, run = self._teller, self._identity
        if teller is None or run is None or (self._place and teller.poll() is None):
            return
        said = (journal.folder_of(run.run) / uploader_process.LOG).read_text(
            encoding="utf-8", errors="replace"
        )
        place = uploader_process.said(said, uploader_process.PLACE)
        if place and not self._place:
            self._place = place
            print(f"{self._cell.key}: W&B: {place}", file=sys.stderr, flush=True)
        if teller.poll():
            problem = (
                uploader_process.said(said, uploader_process.FAILED) or "the process that tells it was killed"
            )
            self._warn("teller", f"{problem}; {self._later}")


class _Training(_Tracker):
    def __init__(
        self,
        cell: Cell,
        document: Document,
        network: torch.nn.Module,
        example: Volume,
        before: Sequence[Epoch],
    ) -> None:
        super().__init__(cell, document, "train")
        self._network, self._example = network, example
        self._best: Epoch | None = None
        for epoch in before:
            self._try(lambda epoch=epoch: self._tell(epoch))  # type: ignore[misc]

    def epoch(self, epoch: Epoch) -> None:
        self._try(lambda: self._tell(epoch, new=True))
        self._try_to_tell(self._look_at_teller)

    def done(self) -> None:
        if self._journal is not None and self._identity is not None:
            own, run = self._journal, self._identity
            self._try(lambda: record_training(own, self._cell, run))

    def _tell(self, epoch: Epoch, new: bool = False) -> None:
        if self._journal is None:
            return
        self._best = better(self._best, replace(epoch, weights=None))
        found = rows(epoch, batch_of(self._document), self._best)
        for step, row in found:
            if step <= self._journal.last_step:
                if self._journal.differs(step, row):
                    self._warn("curves", OTHER.format(step))
                continue
            message = {"kind": "row", "step": step, "row": row}
            if new and epoch.validation_dice is not None and step == found[-1][0]:
                arrays, captions = self._look(epoch)
                self._journal.append(message | captions, arrays)
            else:
                self._journal.append(message)

    def _look(self, epoch: Epoch) -> tuple[dict[str, Any], dict[str, Any]]:
        """Pictures of the network, with what they are called; without those that cannot be made."""
        arrays: dict[str, Any] = {}
        captions: dict[str, Any] = {}
        try:
            arrays |= media.histograms(self._network)
            if epoch.weights is not None:
                shown = self._slice(epoch.number)
                arrays |= {f"train/example/{part}": plane for part, plane in shown.planes.items()}
                captions = {"captions": {"train/example": shown.caption}}
        except Exception as error:
            self._warn("pictures", f"it cannot be shown what the network does: {error}")
        return arrays, captions

    def _slice(self, number: int) -> media.Slice:
        """Of the training case that the best network so far is shown with."""
        window = self._document.section(("sliding_window",), SlidingWindow)
        caption = f"{self._example.where.name} after epoch {number}"
        return media.example(self._network, self._example, self._cell.patch_size, window, caption)


class _Evaluation(_Tracker):
    def __init__(self, cell: Cell, document: Document) -> None:
        super().__init__(cell, document, "evaluate")

    def done(self) -> None:
        self._try(self._tell)

    def _tell(self) -> None:
        """The test, behind its training, which may have been computed without W&B."""
        if self._journal is None or self._identity is None:
            return
        stage = f"train@{self._cell.key}"
        differs = [*lock_state.differences(stage, self._document, lock_state.stages(stage))]
        if differs:
            raise UserError(
                f"its training is not what dvc.lock says of {', '.join(differs)}; nothing is told"
            )
        record_files(self._journal, self._cell, self._document, self._identity)


of_training = _Training
of_evaluation = _Evaluation
