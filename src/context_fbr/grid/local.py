"""The cells of the grid side by side on this machine.

DVC runs stages one after the other; cells do not depend on one another. Each worker runs DVC on one cell of
the same workspace, so that DVC stays the truth of what is done: results, hashes and dvc.lock are those of a
plain `dvc repro`.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from context_fbr import lockfile
from context_fbr.cells import Cell
from context_fbr.errors import UserError, raise_problems
from context_fbr.grid import dvc
from context_fbr.grid.board import Board
from context_fbr.study.whole import Study

LOGS = Path(".dvc/tmp/context-fbr/logs")


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    cell: Cell
    succeeded: bool
    seconds: float
    log: Path


def run(study: Study, jobs: int) -> None:
    """Bring the whole study up to date: data, then cells `jobs` at once, then what follows from them.

    Raises:
        UserError: naming what failed, after everything else has run.
    """
    problems = []
    data = ("raw", "prepare", "baseline")
    if not dvc.repro("-k", *data):
        changed = dvc.changed_stages()
        problems = [f"{s} failed, see above" for s in sorted(changed) if s.partition("@")[0] in data]
    changed = dvc.changed_stages()
    broken = {task for task in study.grid.tasks if {f"raw@{task}", f"prepare@{task}"} & changed}
    waiting = [
        cell
        for cell in study.grid.cells
        if {f"train@{cell.key}", f"evaluate@{cell.key}"} & changed and cell.task not in broken
    ]
    # Long cells first, or the last one runs alone; the cost grows with the patch's volume.
    waiting.sort(key=lambda cell: -cell.patch_size)
    current = len(study.grid.cells) - len(waiting)
    print(f"{len(waiting)} cells to run, {jobs} at once; {current} are up to date or cannot run", flush=True)
    outcomes = run_cells(waiting, jobs)
    problems += [
        f"{o.cell.key} failed after {o.seconds:.0f} s: {_last_error(o.log)}"
        for o in outcomes
        if not o.succeeded
    ]
    raise_problems(problems)
    if not dvc.repro("-k"):
        raise UserError("dvc repro failed, see above")
    # Cells end in any order and DVC appends; in the order of dvc.yaml the file is that of a serial run.
    lockfile.sort(dvc.stage_names())


def run_cells(cells: Sequence[Cell], jobs: int) -> list[Outcome]:
    """Run cells side by side and show how they get on; one that fails does not stop the others."""
    outcomes: list[Outcome] = []
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        waiting.put(cell)
    running: dict[int, subprocess.Popen[str]] = {}
    stopped = threading.Event()
    with Board(len(cells)) as board:

        def work(lane: int) -> None:
            while not stopped.is_set():
                try:
                    cell = waiting.get_nowait()
                except queue.Empty:
                    return
                board.started(lane, cell)
                outcome = _run_cell(lane, cell, running, board)
                outcomes.append(outcome)
                board.ended(lane, cell, outcome.succeeded, outcome.seconds)

        workers = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in range(jobs)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():  # a join without time-out would not hear Ctrl-C
                    worker.join(timeout=0.2)
        except BaseException:
            stopped.set()
            for process in list(running.values()):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            raise
    return outcomes


def _run_cell(lane: int, cell: Cell, running: dict[int, "subprocess.Popen[str]"], board: Board) -> Outcome:
    log = LOGS / f"{cell.key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    # `-s`: these two stages alone; without it, and without --wait-for-lock, workers fail on DVC's locks.
    command = [*dvc.COMMAND, "--wait-for-lock", "repro", "-s", f"train@{cell.key}", f"evaluate@{cell.key}"]
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        running[lane] = process
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            file.flush()
            board.said(lane, line)
        succeeded = process.wait() == 0
    del running[lane]
    return Outcome(cell, succeeded, time.monotonic() - start, log)


def _last_error(log: Path) -> str:
    errors = [
        line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("error: ")
    ]
    return f"{errors[0].removeprefix('error: ') if errors else 'no message of ours'} (log: {log})"


def default_jobs(study: Study) -> int:
    """As many cells as the cores that this process may use can feed."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(cores // study.train.threads, 1)
