"""Cells side by side on this machine: each worker runs DVC on one cell of the same workspace."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from context_fbr.config.cell import Cell
from context_fbr.runtime.stop_signals import signals_as_exceptions
from context_fbr_tools.dvc import process as dvc
from context_fbr_tools.dvc.stages import CELL_STAGES
from context_fbr_tools.grid import log_lines
from context_fbr_tools.grid.board import Board
from context_fbr_tools.grid.start import preloaded
from context_fbr_tools.grid.start.processes import Processes
from context_fbr_tools.grid.table import State

LOGS = Path(".dvc/tmp/context-fbr/logs")


@dataclass(frozen=True)
class Outcome:
    """Result of running a cell."""

    cell: Cell
    state: State
    seconds: float
    problem: str | None
    """None if it succeeded."""


def run_cells(
    cells: Sequence[Cell], jobs: int, environment: Mapping[str, str], following: Sequence[str] = ()
) -> list[Outcome]:
    """Run cells in parallel and show their progress; one that fails does not stop the others.

    As soon as the last cell of a task has ended, and none of them failed, the place that it had runs what
    follows from them. A failure of that is left to the `dvc repro` at the end.

    An interrupt or a signal to end stops the cells first; DVC ends by itself, because a DVC that is killed
    while it writes dvc.lock leaves half of it.
    """
    outcomes: list[Outcome] = []
    if not cells:
        return outcomes
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        waiting.put(cell)
    running = _Tasks(cells)
    with (
        preloaded.starter(len(cells), {**dvc.environment(), **environment}) as start,
        Board([cell.key for cell in cells]) as board,
        signals_as_exceptions(),
    ):
        processes = Processes(start)

        def work() -> None:
            while not processes.stopped:
                try:
                    cell = waiting.get_nowait()
                except queue.Empty:
                    return
                board.started(cell.key)
                outcome = _run_cell(cell, environment, processes, board)
                if processes.stopped:
                    return
                outcomes.append(outcome)
                board.ended(cell.key, outcome.state, outcome.seconds)
                if running.is_complete(outcome) and following:
                    _follow(cell.task, following, processes, board)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():  # a join without timeout would not notice Ctrl-C
                    worker.join(timeout=0.2)
        except BaseException:
            board.print(dvc.STOPPING)
            processes.stop()
            for worker in workers:
                worker.join(timeout=5)
            raise
    return outcomes


class _Tasks:
    """Tasks with cells that have not ended; shared by the workers."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._lock = threading.Lock()
        self._left = Counter(cell.task for cell in cells)
        self._failed: set[str] = set()

    def is_complete(self, outcome: Outcome) -> bool:
        """Note the end of a cell; true if it is the last one of its task, and none of them failed."""
        task = outcome.cell.task
        with self._lock:
            self._left[task] -= 1
            if outcome.problem is not None:
                self._failed.add(task)
            return self._left[task] == 0 and task not in self._failed


def _follow(task: str, kinds: Sequence[str], processes: Processes, board: Board) -> None:
    """Run the stages of a task that follow from its cells, and say where the results are."""
    log = LOGS / f"{task}.log"
    arguments = ["repro", "-s", *(f"{kind}@{task}" for kind in kinds)]
    try:
        with (
            log.open("w", encoding="utf-8") as file,
            processes.start(arguments, dvc.environment()) as process,
        ):
            for line in process.stdout:
                file.write(line)
            code = process.wait()
    except OSError:
        return  # the last `dvc repro` names the problem
    if code == 0:
        board.print(f"{task}: its results are in metrics/{task} and plots/{task}")


def _run_cell(cell: Cell, environment: Mapping[str, str], processes: Processes, board: Board) -> Outcome:
    log = LOGS / f"{cell.key}.log"
    start = time.monotonic()
    # `-s`: these two stages alone; without it, and without --wait-for-lock, workers fail on DVC's locks.
    arguments = ["repro", "-s", *(cell.stage(kind) for kind in CELL_STAGES)]
    said: list[str] = []
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with (
            log.open("w", encoding="utf-8") as file,
            processes.start(arguments, {**dvc.environment(), **environment}) as process,
        ):
            for line in process.stdout:
                file.write(line)
                file.flush()
                board.said(cell.key, line)
                said.append(line)
            code = process.wait()
    except OSError as error:
        return Outcome(cell, State.FAILED, time.monotonic() - start, f"{log}: {error.strerror}")
    seconds = time.monotonic() - start
    if code:
        errors = [line.removeprefix("error: ").strip() for line in said if line.startswith("error: ")]
        problem = f"{errors[0] if errors else f'exit status {code}'} (log: {log})"
        return Outcome(cell, State.FAILED, seconds, problem)
    return Outcome(
        cell, State.CACHED if log_lines.is_cached("".join(said), cell) else State.DONE, seconds, None
    )
