"""Job that submitit runs: a cell, and what to do when the job's time is over."""

import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from context_fbr.config.cell import Cell
from context_fbr_tools.grid.start.processes import Running
from context_fbr_tools.slurm import batches, worker
from context_fbr_tools.slurm.batches import Batch

SAVED = re.compile(r"saved in epoch \d+ after step \d+|\d+ of \d+ cases are evaluated and kept")
"""Texts that a training or an evaluation prints when it was asked to stop."""
_RUNNING = Running()
"""State of this process: a signal's handler has no other arguments."""


@dataclass(frozen=True)
class CellTask:
    """Called with a cell's key, and checkpointed on the warning before the end of the job's time."""

    folder: Path
    """Folder of the batch."""

    def __call__(self, key: str) -> str:
        """Compute the cell; its end is recorded in its batch."""
        batch, cell = batches.read(self.folder), Cell.from_key(key)
        if batch.end(cell) is None:  # else Slurm queued again what had come to its end
            worker.work(batch, cell, _RUNNING)
        end = batch.end(cell)
        return end.outcome if end else "lost"

    def checkpoint(self, key: str) -> Any:
        """Let the training save itself. Then submitit has Slurm queue the job again, and exits."""
        from submitit.core.utils import DelayedSubmission

        batch, cell = batches.read(self.folder), Cell.from_key(key)
        _RUNNING.save(batch.save_seconds - 10)
        if not is_stuck(batch.log(cell).read_text(encoding="utf-8", errors="replace"), batch, time.time()):
            return DelayedSubmission(self, key)
        batch.write_end(
            cell,
            "failed",
            "came no further in all of its time, twice; give it more: time_minutes in slurm.yaml "
            f"(log: {batch.log(cell)})",
        )
        return None


def is_stuck(said: str, batch: Batch, now: float) -> bool:
    """Return true if this job and the one before had most of their time, and this one saved nothing new.

    Args:
        said: what all jobs of the cell said.
        batch: of the cell.
        now: seconds since the epoch.
    """
    begun = [*worker.BEGUN.finditer(said)]
    if len(begun) < 2:
        return False
    ends = [match.start() for match in begun[1:]] + [len(said)]
    saved = [SAVED.findall(said[match.end() : end])[-1:] for match, end in zip(begun, ends, strict=True)]
    starts = [datetime.strptime(match[1], worker.TIME).timestamp() for match in begun]
    most = batch.time_minutes * 30
    had_their_time = now - starts[-1] > most and starts[-1] - starts[-2] > most
    return had_their_time and saved[-1] in ([], saved[-2])
