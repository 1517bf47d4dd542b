"""Pilot: the first epochs of some cells, in processes that are stopped and keep their checkpoints."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from context_fbr.analysis.result_files import HISTORY, read_table
from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.runtime import resume
from context_fbr_tools.dvc import process as dvc
from context_fbr_tools.grid.log_lines import progress
from context_fbr_tools.study.planning.advice.halving import Round, halve

BEST = re.compile(r"\(best (\d\.\d+|nan) at (\d+)\)")
LAST_LINES = 3
"""Number of lines of a training that failed, in a message."""


@dataclass(frozen=True)
class Recommendation:
    """Outcome of a pilot."""

    rounds: tuple[Round, ...]
    """Complete rounds."""
    again: Mapping[Cell, float] = field(default_factory=dict)
    """Best validation Dice of the two best with another seed, after as many epochs as the last round."""

    @property
    def best(self) -> Cell:
        """The candidate with the greatest Dice in the last round."""
        return next(iter(self.rounds[-1].dice))

    def sentences(self) -> list[str]:
        """Return what to choose, and how sure that is."""
        last = self.rounds[-1]
        names = [*last.dice]
        dice = last.dice[names[0]]
        text = f"{_named(names[0])} has the best validation Dice after {last.epochs} epochs, {dice:.3f}"
        if len(names) == 1:
            return [f"{text}; it was the only candidate"]
        gap = last.dice[names[0]] - last.dice[names[1]]
        text += f"; next is {_named(names[1])} with {last.dice[names[1]]:.3f}"
        if not self.again:
            return [
                text,
                f"how much another seed changes is not known: there was no time for one; gap {gap:.3f}",
            ]
        first = {(cell.model, cell.patch_size): dice for cell, dice in last.dice.items()}
        change = max(abs(dice - first[cell.model, cell.patch_size]) for cell, dice in self.again.items())
        if gap > change:
            return [
                text,
                f"another seed changes them by up to {change:.3f}, less than the gap: choose the first",
            ]
        return [
            text,
            f"another seed changes them by up to {change:.3f}, as much as the gap of {gap:.3f}: the pilot "
            "cannot tell them apart; choose the cheaper one, or train both",
        ]


class Pilot:
    """Trainings of a pilot, up to a time limit."""

    def __init__(self, places: int, minutes: float, every: Callable[[Cell], int]) -> None:
        """`every`: function from a cell to the number of epochs between its validations."""
        self._places, self._deadline, self._every = places, time.monotonic() + 60 * minutes, every
        self._changed = dvc.changed_stages()

    def run(self, cells: Sequence[Cell], seed: int, at: Sequence[int]) -> Recommendation | None:
        """Halve the candidates, then train the two best with another seed.

        Args:
            cells: candidates of one seed.
            seed: another one.
            at: epochs of the rounds.

        Returns:
            What to choose; None if not even the first round ended in time.
        """
        rounds = halve(cells, at, self._look)
        if not rounds:
            return None
        twice = [replace(cell, seed=seed) for cell in [*rounds[-1].dice][:2]]
        again = self._look(twice, rounds[-1].epochs) if len(rounds[-1].dice) > 1 else {}
        return Recommendation(tuple(rounds), again if len(again) == len(twice) else {})

    def _look(self, cells: Sequence[Cell], epochs: int) -> dict[Cell, float]:
        """Train cells up to an epoch, and return their best validation Dice; some lack it if time is up.

        Raises:
            UserError: if a training fails.
        """
        print(f"{len(cells)} trainings up to epoch {epochs}", flush=True)
        with ThreadPoolExecutor(self._places) as pool:
            found = pool.map(lambda cell: self._train(cell, epochs), cells)
            return {cell: dice for cell, dice in zip(cells, found, strict=True) if dice is not None}

    def _train(self, cell: Cell, epochs: int) -> float | None:
        if cell.stage("train") not in self._changed and cell.history.is_file():  # it is trained
            problems: list[str] = []
            history = read_table(cell.history, HISTORY, problems)
            raise_problems(problems)
            return float(history.loc[history["epoch"] <= epochs, "validation_dice"].max())
        try:
            best = self._follow(cell, epochs, None)
        except _AheadError as ahead:
            print(f"  {cell.key}: was trained up to epoch {ahead}; trains again to be compared", flush=True)
            with tempfile.TemporaryDirectory(prefix="context-fbr-") as folder:
                best = self._follow(cell, epochs, folder)
        if best is not None:
            print(f"  {cell.key}: {best:.3f}", flush=True)
        return best

    def _follow(self, cell: Cell, epochs: int, checkpoints: str | None) -> float | None:
        """Train a cell up to its first validation at or after `epochs`, and return the best Dice so far.

        Args:
            cell: to train.
            epochs: least number of epochs.
            checkpoints: folder for them; None for that of the study, from which the cell may resume.

        Raises:
            _AheadError: if it resumes after that validation, so that its best Dice up to there is not known.
            UserError: if the training fails.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            return None
        every = self._every(cell)
        due = -(-epochs // every) * every
        command = [sys.executable, "-m", "context_fbr.train", *cell.item.values()]
        environment = {**os.environ, **({resume.ROOT_VARIABLE: checkpoints} if checkpoints else {})}
        best: float | None = None
        ahead = 0
        last: deque[str] = deque(maxlen=LAST_LINES)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process:
            limit = threading.Timer(left, process.terminate)
            limit.start()
            reached = False
            assert process.stdout is not None
            for line in process.stdout:
                last.append(line.strip())
                seen = progress(line, cell.key)
                if seen is not None and not reached and (value := BEST.search(line)):
                    best, reached = float(value[1]), seen.epoch >= epochs
                    ahead = seen.epoch if min(seen.epoch, int(value[2])) > due else 0
                    if reached:
                        process.terminate()  # it saves its state and ends
            limit.cancel()
        if not reached and time.monotonic() < self._deadline:
            raise UserError(f"{cell.key}: its training ended before epoch {epochs}: {' / '.join(last)}")
        if ahead:
            raise _AheadError(ahead)
        return best if reached else None


class _AheadError(Exception):
    """A training that resumes after the validation that is asked for; with its epoch."""


def _named(cell: Cell) -> str:
    return f"{cell.model} at patch {cell.patch_size}"
