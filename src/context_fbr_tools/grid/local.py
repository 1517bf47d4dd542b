"""The study, or some of its cells, on this machine, cells side by side.

DVC runs stages one after the other; cells do not depend on one another. Each worker runs DVC on one cell of
the same workspace, so that DVC stays the truth of what is done: results and hashes are those of a plain
`dvc repro`.
"""

import queue
import threading
import time
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from context_fbr.config.cell import Cell
from context_fbr.config.raw.source import GeneratedRaw
from context_fbr.config.study import Study
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.runtime.stop_signals import signals_as_exceptions
from context_fbr_tools.dvc import lockfile
from context_fbr_tools.dvc import process as dvc
from context_fbr_tools.dvc.lock_provenance import contradictions, outdated
from context_fbr_tools.dvc.stages import CACHED_INPUT_STAGES, CELL_STAGES, INPUT_STAGES, TASK_STAGES
from context_fbr_tools.grid import ending, folders, log_lines, order
from context_fbr_tools.grid.board import Board
from context_fbr_tools.grid.processes import Processes
from context_fbr_tools.grid.table import State

LOGS = Path(".dvc/tmp/context-fbr/logs")
DATA = (*INPUT_STAGES, "baseline")


@dataclass(frozen=True)
class Outcome:
    """Result of running a cell."""

    cell: Cell
    state: State
    seconds: float
    problem: str | None
    """None if it succeeded."""


def run(
    study: Study,
    jobs: int,
    chosen: Sequence[Cell] | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    tasks: Sequence[str] | None = None,
) -> None:
    """Bring the study up to date: data, then cells side by side, then what follows from them.

    Args:
        study: the parameters.
        jobs: cells at once.
        chosen: only these cells and the data that they need; None for all of it.
        environment: what the cells' processes get besides this one's, such as the GPUs to take.
        tasks: only these and their cells, then what needs no other task; None for all.

    Raises:
        UserError: naming what failed, after everything else has run.
    """
    cells = study.cells if chosen is None else chosen
    cells = [cell for cell in cells if tasks is None or cell.task in tasks]
    of_cells = tuple(dict.fromkeys(cell.task for cell in cells))
    refuse_to_lose_data(study, of_cells)
    first = _first(of_cells, chosen is None, tasks is None)
    dvc.repro("-k", *first)
    changed = dvc.changed_stages()
    failed = sorted(name for name in changed if {name, name.partition("@")[0]} & set(first))
    problems = [f"{name} failed or lacks its input, see above" for name in failed]
    waiting = [cell for cell in cells if _is_behind(cell, changed) and not _lacks_data(cell, changed)]
    waiting = order.longest_first(waiting, study, order.measurements(study.cells))
    current = len(cells) - len(waiting)
    print(f"{len(waiting)} cells to run, {jobs} at once; {current} are up to date or cannot run", flush=True)
    outcomes = run_cells(waiting, jobs, environment)
    problems += [f"{o.cell.key} failed after {o.seconds:.0f} s: {o.problem}" for o in outcomes if o.problem]
    if chosen is not None:
        succeeded = {outcome.cell for outcome in outcomes if outcome.problem is None}
        print(_what_is_left(study.cells, changed, succeeded), flush=True)
    raise_problems(problems)
    left = _left_to_others(study, of_cells, changed) if tasks is not None else []
    then = ("-s", "-k", *(f"overlay@{task}" for task in of_cells), "paper") if left else ("-k",)
    if chosen is None and not dvc.repro(*then):
        raise UserError("dvc repro failed, see above")
    if left:
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} others" if len(left) > 3 else "")
        print(
            f"analyze: not run, because it reads the results of all tasks, and {shown} are not up to date; "
            "`make repro` runs all of it",
            flush=True,
        )
    # Cells end in any order and DVC appends; in the order of dvc.yaml the file is that of a serial run.
    names = dvc.stage_names()
    lockfile.sort(names)
    recorded = lockfile.entries()
    recorded = {name: recorded[name] for name in names if name in recorded}
    raise_problems(contradictions(recorded))
    for problem in outdated(recorded):
        print(f"warning: {problem}", flush=True)
    if chosen is None and not left:
        print(ending.against_commit(), flush=True)


def _first(tasks: Sequence[str], whole_tasks: bool, whole_study: bool) -> tuple[str, ...]:
    """Return the stages that run before cells: the data, and of whole tasks the baselines as well."""
    if whole_tasks and whole_study:
        return DATA
    kinds = (*CACHED_INPUT_STAGES, "baseline") if whole_tasks else CACHED_INPUT_STAGES
    return ("code", *(f"{kind}@{task}" for task in tasks for kind in kinds))


def _left_to_others(study: Study, tasks: Collection[str], changed: Set[str]) -> list[str]:
    """Return the stages of other tasks that are not up to date, without overlays, which nothing reads."""
    others = [cell for cell in study.cells if cell.task not in tasks]
    of_tasks = [
        f"{kind}@{task}"
        for task in dict.fromkeys(cell.task for cell in others)
        for kind in TASK_STAGES
        if kind != "overlay"
    ]
    names = (*of_tasks, *(cell.stage(kind) for cell in others for kind in CELL_STAGES))
    return [name for name in names if name in changed]


def _is_behind(cell: Cell, changed: Set[str]) -> bool:
    return bool({cell.stage("train"), cell.stage("evaluate")} & changed)


def _lacks_data(cell: Cell, changed: Set[str]) -> bool:
    return bool({f"raw@{cell.task}", f"prepare@{cell.task}"} & changed)


def _what_is_left(cells: Sequence[Cell], changed: Set[str], succeeded: Collection[Cell]) -> str:
    left = [
        cell
        for cell in cells
        if cell not in succeeded and (_is_behind(cell, changed) or _lacks_data(cell, changed))
    ]
    if not left:
        return f"all {len(cells)} cells of the grid are up to date; `context-fbr grid run` runs the analysis"
    still = f"{len(left)} of {len(cells)} cells of the grid are still not up to date"
    return f"{still}; `context-fbr grid run` does the rest"


def refuse_to_lose_data(study: Study, tasks: Collection[str] | None = None) -> None:
    """Check that DVC will not empty a folder of raw data that it has not recorded.

    Args:
        study: the parameters.
        tasks: whose data DVC will bring up to date; None for all of the study.

    Raises:
        UserError: with every folder that was filled by hand, or that is a link out of the project.
    """
    folders.refuse_links()
    known = lockfile.stages()
    raise_problems(
        [
            f"data/raw/{task}: is there, but not from the stage raw@{task}, which would empty it; move it "
            "away, for example to data/incoming, and name it in params.yaml"
            for task in (study.study_cells.tasks if tasks is None else tasks)
            if not isinstance(study.tasks[task].raw, GeneratedRaw)
            and Path("data/raw", task).exists()
            and f"raw@{task}" not in known
        ]
    )


def run_cells(cells: Sequence[Cell], jobs: int, environment: Mapping[str, str]) -> list[Outcome]:
    """Run cells in parallel and show their progress; one that fails does not stop the others.

    An interrupt or a signal to end stops the cells first; DVC ends by itself, because a DVC that is killed
    while it writes dvc.lock leaves half of it.
    """
    outcomes: list[Outcome] = []
    if not cells:
        return outcomes
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        waiting.put(cell)
    processes = Processes()
    with Board([cell.key for cell in cells]) as board, signals_as_exceptions():

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


def _run_cell(cell: Cell, environment: Mapping[str, str], processes: Processes, board: Board) -> Outcome:
    log = LOGS / f"{cell.key}.log"
    start = time.monotonic()
    # `-s`: these two stages alone; without it, and without --wait-for-lock, workers fail on DVC's locks.
    command = [*dvc.COMMAND, "--wait-for-lock", "repro", "-s", *(cell.stage(kind) for kind in CELL_STAGES)]
    said: list[str] = []
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with (
            log.open("w", encoding="utf-8") as file,
            processes.start(command, {**dvc.environment(), **environment}) as process,
        ):
            assert process.stdout is not None
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
