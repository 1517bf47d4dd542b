"""`context-fbr grid submit`, `status`, `logs` and `cancel`: a study on a Slurm cluster, step by step."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from context_fbr.config.cell import Cell
from context_fbr.config.study import Study
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.runtime import locks
from context_fbr_tools.grid import order
from context_fbr_tools.grid.table import State
from context_fbr_tools.slurm import batches, monitor, squeue, states, submit
from context_fbr_tools.slurm.batches import Batch
from context_fbr_tools.slurm.collect import fetch_run_cache
from context_fbr_tools.slurm.config import Site
from context_fbr_tools.slurm.squeue import SlurmUnavailableError
from context_fbr_tools.slurm.states import CellState

LOCK = batches.ROOT / "submit.lock"
LOG_COLUMNS = 200  # where there is no terminal, whose width counts otherwise
MOST_FAILURES = 5
"""Number of attempts in a row to submit lost cells when no other cell is waiting or running."""
LATE_FILES_S = 60.0
"""Seconds in which a network file system may not show yet what a node has written."""


def submit_cells(study: Study, site: Site, named: Sequence[Cell], watched: bool, probe: bool = False) -> int:
    """Submit the cells that are not done and of which no job is alive.

    Args:
        study: the parameters.
        site: the cluster.
        named: only these, and also those that failed or were lost too often; if empty, all of the study.
        watched: stay, show how they get on, and submit again what is lost.
        probe: first submit the shortest cell that is not done, and the others only if it succeeds.

    Returns:
        Exit status: 1 if some cell that was watched did not come to be done.

    Raises:
        UserError: if there is nothing that could be submitted, Slurm does not take it, or the probe fails.
    """
    revision = submit.commit()
    squeue.check()
    tasks = submit.bring_data(study, site)
    cells = [cell for cell in named or study.cells if cell.task in tasks]
    raise_problems([f"{cell.key}: its task has no data here" for cell in named if cell.task not in tasks])
    if probe:
        _try_shortest(study, site, cells, revision)
    standings = _submit_missing(study, site, cells, revision, force=bool(named))
    if not watched:
        return 0

    lost = _Lost()

    def again(standings: Sequence[CellState]) -> bool:
        if any(standing.state is State.UNKNOWN for standing in standings):
            return False  # Slurm is away: later
        ripe = lost.ripe(standings, time.monotonic())
        if not ripe:
            return bool(lost.since)
        try:
            _submit_missing(study, site, ripe, revision, force=False)
            lost.failures, lost.reason = 0, ""
        except UserError as error:
            lost.failures += 1
            if lost.reason != str(error):
                lost.reason = str(error)
                print(f"not submitted again for now: {error}", flush=True)
        return lost.failures < MOST_FAILURES  # then it is tried only for as long as others run

    standings = monitor.watch(cells, Console(), again)
    return _report(standings)


def _try_shortest(study: Study, site: Site, cells: Sequence[Cell], revision: str) -> None:
    """Submit the shortest cell that is not done, and wait for it; raises UserError if it fails."""
    left = [s.work.cell for s in monitor.look(cells, site.remote) if s.state is not State.DONE]
    if not left:
        return
    cell = order.longest_first(left, study, order.measurements(study.cells))[-1]
    print(f"probe: {cell.key}", flush=True)
    _submit_missing(study, site, [cell], revision, force=True)
    problems = states.undone(monitor.watch([cell], Console()))
    raise_problems([f"probe: {problem}; the other cells were not submitted" for problem in problems])


class _Lost:
    """Cells that are to be submitted again, and since when."""

    def __init__(self) -> None:
        self.since: dict[Cell, float] = {}
        self.failures = 0
        """Number of the last submissions that failed in a row."""
        self.reason = ""
        """Error of the last one."""

    def ripe(self, standings: Sequence[CellState], now: float) -> list[Cell]:
        """Return the cells that were lost in every poll for LATE_FILES_S; `now` in seconds."""
        cells = [s.work.cell for s in standings if s.state is State.LOST and s.to_submit]
        self.since = {cell: self.since.get(cell, now) for cell in cells}
        return [cell for cell, begun in self.since.items() if now - begun >= LATE_FILES_S]


def _submit_missing(
    study: Study, site: Site, cells: Sequence[Cell], revision: str, force: bool
) -> list[CellState]:
    with _alone():
        if submit.commit() != revision:  # the data that jobs get are those of the commit that they compute
            raise UserError(f"the commit has changed from {revision[:10]} since; call `grid submit` again")
        if site.remote:
            fetch_run_cache(site.remote)
        standings = monitor.look(cells, site.remote)
        silent = next((standing for standing in standings if standing.state is State.UNKNOWN), None)
        if silent:
            raise UserError(
                f"{silent.note}, and cells that were submitted before may be running; nothing was "
                "submitted: try again when `squeue` works"
            )
        chosen = [s for s in standings if s.to_submit or (force and s.state in (State.FAILED, State.LOST))]
        for standing in standings:
            if standing not in chosen and standing.state in (State.FAILED, State.LOST):
                print(f"{standing.work.cell.key}: {standing.state}, not submitted again: {standing.note}")
        count = {state: sum(s.state is state for s in standings) for state in State}
        print(
            f"{len(chosen)} cells to submit; {count[State.DONE]} are done, {count[State.RUNNING]} running, "
            f"{count[State.WAITING]} waiting",
            flush=True,
        )
        cells = [standing.work.cell for standing in chosen]
        first = order.longest_first(cells, study, order.measurements(study.cells))
        works = {standing.work.cell: standing.work for standing in chosen}
        try:
            largest = squeue.largest_array() if chosen else 1
        except SlurmUnavailableError as error:
            raise UserError(f"{error}; nothing was submitted, try again") from None
        for start in range(0, len(first), largest):
            part = [works[cell] for cell in first[start : start + largest]]
            batch = submit.submit(study, site, part, revision)
            print(f"{batch.name}: {len(part)} cells, commit {batch.revision[:10]}", flush=True)
    return standings


def status(cells: Sequence[Cell], watched: bool) -> int:
    """Print the state of cells, once or until they end; exit status and errors as in `submit_cells`."""
    if watched:
        squeue.check()  # else it would wait for an answer for ever
    console = Console(width=None if sys.stdout.isatty() else LOG_COLUMNS)
    standings = monitor.watch(cells, console) if watched else monitor.look(cells)
    if not watched:
        monitor.show(standings, console)
    if watched:
        return _report(standings)
    known = batches.every()
    shown = {cell.key for cell in cells}
    for job, key in states.elsewhere([s.work for s in standings], known, states.ask_slurm(known)):
        if key in shown:
            print(f"job {job.identity}: {job.state.lower()}, {key} of other parameters, data or code")
    return 0


def _report(standings: Sequence[CellState]) -> int:
    """Name what is not done, and what to do next."""
    raise_problems(states.undone(standings))
    print("all cells are done: `context-fbr grid collect` brings them here", flush=True)
    return 0


def logs(cell: Cell, follow: bool) -> None:
    """Print the output of the last job of a cell, and continue while it runs.

    Raises:
        UserError: if it was never submitted, or its job has not begun.
    """
    batch = _last_batch(cell)
    log = batch.log(cell)
    if not log.exists():
        raise UserError(
            f"{cell.key}: its job of {batch.name} has written nothing yet; what Slurm wrote is in "
            f"{batch.folder / 'slurm'}"
        )
    with log.open(encoding="utf-8", errors="replace") as file:
        while True:
            text = file.read()
            sys.stdout.write(text)
            sys.stdout.flush()
            if text:
                continue
            if not (follow and _may_go_on(batch, cell)):
                sys.stdout.write(file.read())  # what was written while Slurm was asked
                return
            time.sleep(monitor.PERIOD_S)


def _may_go_on(batch: Batch, cell: Cell) -> bool:
    """Return true if a cell's job may write more: it is alive, or Slurm does not answer."""
    if batch.end(cell) is not None:
        return False
    jobs = states.ask_slurm([batch])
    index = batch.keys.index(cell.key)
    return isinstance(jobs, SlurmUnavailableError) or any(job.alive and job.index == index for job in jobs)


def _last_batch(cell: Cell) -> Batch:
    for batch in batches.every():
        if cell.key in batch.keys:
            return batch
    raise UserError(f"{cell.key}: was never submitted from this folder")


def cancel(cells: Sequence[Cell] | None) -> None:
    """End the jobs of cells; what they have computed is kept for the next submission.

    Args:
        cells: None for all jobs of this folder, also of cells that left the grid.

    Raises:
        UserError: if Slurm does not answer.
    """
    known = batches.every()
    with _alone():
        try:
            alive = {(job.name, job.index): job for job in squeue.jobs(b.name for b in known) if job.alive}
            wanted = None if cells is None else {cell.key for cell in cells}
            chosen = [
                (batch, key, alive[batch.name, index])
                for batch in known
                for index, key in enumerate(batch.keys)
                if (wanted is None or key in wanted) and (batch.name, index) in alive
            ]
            for start in range(0, len(chosen), squeue.MOST_NAMED):
                part = chosen[start : start + squeue.MOST_NAMED]
                squeue.cancel([job.identity for _, _, job in part])
                for batch, key, _ in part:
                    if batch.end(Cell.from_key(key)) is None:
                        batch.write_end(Cell.from_key(key), "cancelled")
        except SlurmUnavailableError as error:
            raise UserError(f"{error}; not all jobs are known to be cancelled, try again") from None
    print(f"{len(chosen) or 'no'} jobs cancelled")


@contextmanager
def _alone() -> Iterator[None]:
    """Be the only process that submits or cancels in this folder: two would submit the same cells.

    Raises:
        UserError: if another one is at it.
    """
    try:
        with locks.hold(LOCK):
            yield
    except locks.HeldError as owner:
        raise UserError(f"cells are being submitted already, by {owner}; wait for it") from None
