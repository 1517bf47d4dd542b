"""The study, or some of its cells, on this machine, cells side by side.

DVC runs stages one after the other; cells do not depend on one another. Each worker runs DVC on one cell of
the same workspace, so that DVC stays the truth of what is done: results and hashes are those of a plain
`dvc repro`.
"""

import time
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType

from context_fbr.config.cell import Cell
from context_fbr.config.raw.source import GeneratedRaw
from context_fbr.config.study import Study
from context_fbr.core.errors import raise_problems
from context_fbr.datasets.archive import unavailable
from context_fbr_tools.dvc import lockfile
from context_fbr_tools.dvc import process as dvc
from context_fbr_tools.dvc.lock_provenance import contradictions, outdated
from context_fbr_tools.dvc.stages import CACHED_INPUT_STAGES, CELL_STAGES, INPUT_STAGES, TASK_STAGES
from context_fbr_tools.grid import ending, folders, order, tasks_here
from context_fbr_tools.grid.pool import run_cells
from context_fbr_tools.grid.tasks_here import FOLLOWING, computed_elsewhere, last_stages
from context_fbr_tools.study.planning.forecast import forecast, overhead
from context_fbr_tools.study.planning.forecast.report import duration

DATA = (*INPUT_STAGES, "baseline")


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
        tasks: only these and their cells, then what needs no other task; None for all, without the tasks
            whose data are not on this machine.

    Raises:
        UserError: naming what failed, after everything else has run.
    """
    cells = study.cells if chosen is None else chosen
    cells = [cell for cell in cells if tasks is None or cell.task in tasks]
    of_cells = tuple(dict.fromkeys(cell.task for cell in cells))
    refuse_to_lose_data(study, of_cells)
    measured = order.measurements(study.cells)
    print(f"{len(cells)} cells in all; if none is done: {order.expected(cells, measured, jobs)}", flush=True)
    first = _first(of_cells, chosen is None, tasks is None)
    unavailable.forget()
    dvc.repro("-k", *first)
    print("comparing all stages with dvc.lock (dvc status)", flush=True)
    changed = dvc.changed_stages()
    skipped = tasks_here.skipped(of_cells, changed) if chosen is None and tasks is None else {}
    tasks_here.announce(skipped)
    failed = [name for name in sorted(changed) if {name, name.partition("@")[0]} & {*first}]
    failed = [name for name in failed if name.partition("@")[2] not in skipped]
    problems = [f"{name} failed or lacks its input, see above" for name in failed]
    waiting = [cell for cell in cells if _is_behind(cell, changed) and not _lacks_data(cell, changed)]
    waiting = order.by_task(order.longest_first(waiting, study, measured), of_cells)
    current = len(cells) - len(waiting)
    print(f"{len(waiting)} cells to run, {jobs} at once; {current} are up to date or cannot run", flush=True)
    forecast_s = forecast.wall_seconds(study, waiting, jobs, environment)
    if waiting:
        text = f"{duration(forecast_s)}, by `context-fbr plan`" if forecast_s else None
        print(f"{len(waiting)} cells: {text or order.expected(waiting, measured, jobs)}", flush=True)
    begun, since = time.monotonic(), time.time()
    outcomes = run_cells(waiting, jobs, environment, FOLLOWING if chosen is None else ())
    overhead.note({o.cell: o.seconds for o in outcomes if o.problem is None}, since)
    if forecast_s and waiting:
        took = duration(time.monotonic() - begun)
        print(f"{len(waiting)} cells took {took}; the forecast was {duration(forecast_s)}", flush=True)
    problems += [f"{o.cell.key} failed after {o.seconds:.0f} s: {o.problem}" for o in outcomes if o.problem]
    if chosen is not None:
        succeeded = {outcome.cell for outcome in outcomes if outcome.problem is None}
        print(_what_is_left(study.cells, changed, succeeded), flush=True)
        raise_problems(problems)
    broken = {name.partition("@")[2] for name in failed} | {o.cell.task for o in outcomes if o.problem}
    whole = [task for task in of_cells if task not in skipped and task not in broken]
    left = _left_to_others(study, [*whole, *skipped], changed)
    left += [f"metrics/{task}" for task in computed_elsewhere(skipped)]
    names = dvc.stage_names()
    last = last_stages(whole, bool(left or skipped), not left, names)
    if chosen is None and last and not dvc.repro(*last):
        problems.append("dvc repro failed, see above")
    if chosen is None and left:
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} others" if len(left) > 3 else "")
        print(
            f"compare: not run, because it reads the results of all tasks, and {shown} are not up to date "
            "here; `make repro` runs all of it where all data are",
            flush=True,
        )
    print("checking dvc.lock and the results", flush=True)
    # Cells end in any order and DVC appends; in the order of dvc.yaml the file is that of a serial run.
    lockfile.sort(names)
    recorded = lockfile.entries()
    recorded = {name: recorded[name] for name in names if name in recorded}
    raise_problems([*problems, *contradictions(recorded)])
    for problem in outdated(recorded):
        print(f"warning: {problem}", flush=True)
    if chosen is None and not left:
        print(ending.against_commit(), flush=True)
    for task in skipped:
        print(f"{task}: was skipped, see above; its results are those of the commit", flush=True)


def _first(tasks: Sequence[str], whole_tasks: bool, whole_study: bool) -> tuple[str, ...]:
    """Return the stages that run before cells: the data, and of whole tasks the baselines as well."""
    if whole_tasks and whole_study:
        return DATA
    kinds = (*CACHED_INPUT_STAGES, "baseline") if whole_tasks else CACHED_INPUT_STAGES
    return ("code", *(f"{kind}@{task}" for task in tasks for kind in kinds))


def _left_to_others(study: Study, tasks: Collection[str], changed: Set[str]) -> list[str]:
    """Return the stages of other tasks that are not up to date, without those that no other reads."""
    others = [cell for cell in study.cells if cell.task not in tasks]
    of_tasks = [
        f"{kind}@{task}"
        for task in dict.fromkeys(cell.task for cell in others)
        for kind in TASK_STAGES
        if kind not in FOLLOWING
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
