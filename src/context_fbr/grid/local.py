"""The whole study on this machine, cells side by side.

DVC runs stages one after the other; cells do not depend on one another. Each worker runs DVC on one cell of
the same workspace, so that DVC stays the truth of what is done: results and hashes are those of a plain
`dvc repro`.
"""

import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from context_fbr import lockfile
from context_fbr.cells import Cell
from context_fbr.errors import UserError, raise_problems
from context_fbr.grid import dvc
from context_fbr.grid.board import Board
from context_fbr.grid.processes import Processes, signals_as_exceptions
from context_fbr.study.raw import SpheresRaw
from context_fbr.study.whole import Study
from context_fbr.workers import usable_cores

LOGS = Path(".dvc/tmp/context-fbr/logs")
DATA = ("code_train", "code_evaluate", "raw", "prepare", "baseline")


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    cell: Cell
    seconds: float
    problem: str | None
    """None if it succeeded."""


def run(study: Study, jobs: int) -> None:
    """Bring the whole study up to date: data, then cells `jobs` at once, then what follows from them.

    Raises:
        UserError: naming what failed, after everything else has run.
    """
    refuse_to_lose_data(study)
    dvc.repro("-k", *DATA)
    changed = dvc.changed_stages()
    failed = sorted(name for name in changed if name.partition("@")[0] in DATA)
    problems = [f"{name} failed or lacks its input, see above" for name in failed]
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
    problems += [f"{o.cell.key} failed after {o.seconds:.0f} s: {o.problem}" for o in outcomes if o.problem]
    raise_problems(problems)
    if not dvc.repro("-k"):
        raise UserError("dvc repro failed, see above")
    # Cells end in any order and DVC appends; in the order of dvc.yaml the file is that of a serial run.
    lockfile.sort(dvc.stage_names())


def refuse_to_lose_data(study: Study) -> None:
    """Check that no raw data lies where DVC will empty a folder that it knows nothing of.

    Raises:
        UserError: with every folder that somebody filled by hand.
    """
    known = lockfile.stages()
    raise_problems(
        [
            f"data/raw/{task}: is there, but not from the stage raw@{task}, which would empty it; move it "
            "away, for example to data/incoming, and name it in params.yaml"
            for task in study.grid.tasks
            if not isinstance(study.tasks[task].raw, SpheresRaw)
            and Path("data/raw", task).exists()
            and f"raw@{task}" not in known
        ]
    )


def run_cells(cells: Sequence[Cell], jobs: int) -> list[Outcome]:
    """Run cells side by side and show how they get on; one that fails does not stop the others.

    An interrupt or a signal to end stops the cells first; DVC is left to end by itself, because a DVC that is
    killed while it writes dvc.lock leaves half of it.
    """
    outcomes: list[Outcome] = []
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        waiting.put(cell)
    processes = Processes()
    with Board(len(cells)) as board, signals_as_exceptions():

        def work(lane: int) -> None:
            while not processes.stopped:
                try:
                    cell = waiting.get_nowait()
                except queue.Empty:
                    return
                board.started(lane, cell)
                outcome = _run_cell(lane, cell, processes, board)
                if processes.stopped:
                    return
                outcomes.append(outcome)
                board.ended(lane, cell, outcome.problem is None, outcome.seconds)

        workers = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in range(jobs)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():  # a join without time-out would not hear Ctrl-C
                    worker.join(timeout=0.2)
        except BaseException:
            processes.stop()
            for worker in workers:
                worker.join(timeout=5)
            raise
    return outcomes


def _run_cell(lane: int, cell: Cell, processes: Processes, board: Board) -> Outcome:
    log = LOGS / f"{cell.key}.log"
    start = time.monotonic()
    # `-s`: these two stages alone; without it, and without --wait-for-lock, workers fail on DVC's locks.
    command = [*dvc.COMMAND, "--wait-for-lock", "repro", "-s", f"train@{cell.key}", f"evaluate@{cell.key}"]
    errors: list[str] = []
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as file, processes.start(command, dvc.environment()) as process:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                board.said(lane, line)
                if line.startswith("error: "):
                    errors.append(line.removeprefix("error: ").strip())
            code = process.wait()
    except OSError as error:
        return Outcome(cell, time.monotonic() - start, f"{log}: {error.strerror}")
    problem = f"{errors[0] if errors else f'exit status {code}'} (log: {log})" if code else None
    return Outcome(cell, time.monotonic() - start, problem)


def default_jobs(study: Study) -> int:
    """One cell on each GPU that it may use, else as many as this process's cores can feed."""
    import torch

    wanted = [name for name in os.environ.get("CONTEXT_FBR_DEVICE", "").split(",") if name.strip()]
    gpus = [name for name in wanted if "cuda" in name] if wanted else range(torch.cuda.device_count())
    if gpus:
        return len(gpus)
    return max(usable_cores() // study.train.threads, 1)
