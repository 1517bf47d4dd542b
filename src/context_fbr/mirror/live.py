"""A cell while it is computed: written into its run's journal, and told by a process of its own.

Nothing here can change or end the computation, and nothing of W&B is in this process.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import torch

from context_fbr.cells import Cell
from context_fbr.epoch import Epoch
from context_fbr.mirror import identity, journal, media
from context_fbr.mirror.identity import Identity
from context_fbr.mirror.journal import Journal
from context_fbr.mirror.record import record_test, record_training
from context_fbr.mirror.rows import batch_of, better, epochs_of, rows
from context_fbr.patches import Volume
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow
from context_fbr.tracking import warn

PATIENCE_S = 30
"""At the end of a stage, with W&B."""
LOG = "teller.log"


class _Tracker:
    """What trainings and evaluations have in common. It warns once, and then does nothing more."""

    def __init__(self, cell: Cell, document: Document, stage: str) -> None:
        self._cell, self._document, self._stage = cell, document, stage
        self._open = ExitStack()
        self._teller: subprocess.Popen[bytes] | None = None
        self._journal: Journal | None = None
        self._identity: Identity | None = None
        self._place: str | None = None
        self._try(self._begin)

    def __enter__(self) -> "_Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._try(lambda: self._end(done=kind is None))
        self._try(self._open.close)

    def epoch(self, epoch: Epoch) -> None:
        """As in tracking.py."""

    def done(self) -> None:
        """As in tracking.py."""

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, text: str) -> None:
        if self._journal is not None or self._identity is None:
            warn(self._cell, text)
        self._journal = None

    def _begin(self) -> None:
        self._identity = identity.identify(self._cell, self._document)
        self._journal = self._open.enter_context(journal.writing(self._identity.run))
        now = identity.provenance_now()
        self._journal.append(identity.message(self._identity, self._stage, now))
        log = self._open.enter_context((self._journal.folder / LOG).open("wb"))
        command = [sys.executable, "-m", "context_fbr.mirror.teller", str(self._journal.folder), "--follow"]
        self._teller = subprocess.Popen(
            [*command, "--patience", str(PATIENCE_S)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Ctrl-C and a scheduler's signals are for who computes; this one ends when its input does.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def _end(self, done: bool) -> None:
        """Let the teller go; wait for it if somebody may look at what it could not do."""
        teller = self._teller
        if teller is None or teller.stdin is None:
            return
        if done:
            teller.stdin.write(b"done\n")
        teller.stdin.close()
        if not done:
            return
        try:
            teller.wait(PATIENCE_S + 5)
        except subprocess.TimeoutExpired:
            teller.kill()
        self._say_where()
        if teller.poll() != 0 and self._journal is not None:
            said = self._said("failed: ") or "its process was killed"
            self._give_up(f"{said}; `context-fbr wandb push {self._cell.key}` tries again")

    def _say_where(self) -> None:
        """Once, where to look."""
        if self._place is None and (place := self._said("at: ")):
            self._place = place
            print(f"{self._cell.key}: W&B: {place}", file=sys.stderr, flush=True)

    def _said(self, begin: str) -> str | None:
        """What the teller said in the last line that begins so."""
        if self._identity is None:
            return None
        path = journal.folder_of(self._identity.run) / LOG
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.removeprefix(begin) for line in lines[::-1] if line.startswith(begin)), None)


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
                continue
            message = {"kind": "row", "step": step, "row": row}
            if not new or epoch.validation_dice is None or step != found[-1][0]:
                self._journal.append(message)
                continue
            arrays = media.histograms(self._network)
            if epoch.weights is not None:
                shown = self._slice(epoch.number)
                arrays |= {f"train/example/{part}": plane for part, plane in shown.planes.items()}
                message["captions"] = {"train/example": shown.caption}
            self._journal.append(message, arrays)
        self._say_where()

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
        if self._journal is not None and self._identity is not None:
            record_files(self._journal, self._cell, self._document, self._identity)


def record_files(own: Journal, cell: Cell, document: Document, run: Identity) -> None:
    """Write into a journal what it lacks of a finished cell, from the cell's files alone.

    Raises:
        OSError, ValueError, KeyError, UserError: if a result is missing or damaged, or cannot be kept.
    """
    batch, best = batch_of(document), None
    for epoch in epochs_of(cell):
        best = better(best, epoch)
        for step, row in rows(epoch, batch, best):
            if step > own.last_step:
                own.append({"kind": "row", "step": step, "row": row})
    record_training(own, cell, run)
    record_test(own, cell)


of_training = _Training
of_evaluation = _Evaluation
