"""An unfinished training on disk: the newest state and the one before it."""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from context_fbr.core import atomic
from context_fbr.runtime import checksummed_file
from context_fbr.runtime.checksummed_file import CorruptFileError
from context_fbr.runtime.resume import CheckpointDir
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training.history import Epoch
from context_fbr.training.loop import Step, TrainingState

KIND, FORMAT = "training", 2
NEWEST, PREVIOUS = "newest", "previous"
SHARE = 50
"""Saving takes at most one part in so many of the time."""


def save(place: CheckpointDir, state: TrainingState, history: Sequence[Epoch]) -> None:
    """Write the state; the one before it stays until the next.

    Raises:
        UserError: if the system refuses; the states that are there stay.
    """
    buffer = io.BytesIO()
    steps = [tuple(vars(step).values()) for step in state.steps]
    content = {**vars(state), "steps": steps, "history": [tuple(vars(epoch).values()) for epoch in history]}
    torch.save(content, buffer)
    newest = place.folder / NEWEST
    if newest.exists():
        atomic.move(newest, place.folder / PREVIOUS)
    checksummed_file.write(newest, KIND, FORMAT, place.digest, buffer.getbuffer())


def load(place: CheckpointDir) -> tuple[TrainingState | None, list[Epoch], list[str]]:
    """Load the newest complete state, with the epochs before it, and the problems of damaged ones.

    Tensors are in main memory. A damaged state is removed once the one before it is loaded, or the next save
    would replace the good one by it.
    """
    problems: list[str] = []
    unusable: list[Path] = []
    for name in (NEWEST, PREVIOUS):
        path = place.folder / name
        try:
            found = _unpack(checksummed_file.read(path, KIND, FORMAT, place.digest))
            for other in unusable:
                other.unlink(missing_ok=True)
            return *found, problems
        except FileNotFoundError:
            continue
        except CorruptFileError as error:
            problems.append(f"{path}: {error}")
            unusable.append(path)
    return None, [], problems


def _unpack(content: memoryview) -> tuple[TrainingState, list[Epoch]]:
    found: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    history = [Epoch(*values) for values in found.pop("history")]
    steps = tuple(Step(*values) for values in found.pop("steps"))
    return TrainingState(**found, steps=steps), history


class Checkpointer:
    """Saves a training at intervals, and when a stop is requested."""

    def __init__(
        self, place: CheckpointDir, what: str, every_s: float, request: StopRequest, history: Sequence[Epoch]
    ) -> None:
        """Start the clock of the intervals.

        Args:
            place: folder of the checkpoints.
            what: name of the training.
            every_s: seconds between two saves; 0 saves at every call.
            request: that ends the training.
            history: its epochs, to which the caller adds.
        """
        self._place, self._what, self._every_s = place, what, every_s
        self._request, self._history = request, history
        self._saved, self._cost = time.monotonic(), 0.0

    def pause(self, state: Callable[[], TrainingState]) -> bool:
        """Save if it is time; return true if it was.

        Raises:
            StoppedError: after saving, if a stop was requested.
            UserError: if the system refuses to write.
        """
        start = time.monotonic()
        due = start - self._saved >= max(self._every_s, SHARE * self._cost if self._every_s else 0)
        if not due and not self._request.reason:
            return False
        now = state()
        save(self._place, now, self._history)
        self._request.obey(f"{self._what}: saved in epoch {now.epoch} after step {len(now.steps)}")
        self._saved = time.monotonic()
        self._cost = self._saved - start
        return True
