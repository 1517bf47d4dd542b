"""The cells of a cluster as a table, once or until they have ended."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

from context_fbr.config.cell import Cell
from context_fbr_tools.dvc import run_cache
from context_fbr_tools.grid import log_lines
from context_fbr_tools.grid.table import Row, State, table
from context_fbr_tools.slurm import batches, states
from context_fbr_tools.slurm.batches import Batch
from context_fbr_tools.slurm.squeue import Job, SlurmUnavailableError
from context_fbr_tools.slurm.states import CellState
from context_fbr_tools.slurm.worker import BEGUN, TIME

PERIOD_S = 5.0
TAIL_BYTES = 1_000_000
"""More than a cell's log has, but for one that was taken up hundreds of times."""


def look(cells: Sequence[Cell], fetched_from: str | None = None) -> list[CellState]:
    """Return the state of each cell now; errors as in `done.look`.

    Args:
        cells: of the grid.
        fetched_from: remote whose run-cache is here; None takes a job's word for what it brought to a remote.
    """
    known = batches.every()
    jobs = states.ask_slurm(known)  # first, see there
    trusted = fetched_from is None
    standings = states.standings(run_cache.find_results(cells, fetched_from), known, jobs, trusted)
    return _lost_in_earnest(standings, known, jobs, fetched_from)


def show(standings: Sequence[CellState], console: Console) -> None:
    """Print the table of all cells, and what went wrong with some."""
    console.print(table(rows(standings), len(standings) + 4, _since(standings), console.width))
    for standing in standings:
        if standing.state in (State.FAILED, State.LOST) and standing.note:
            console.print(f"{standing.work.cell.key}: {standing.note}", markup=False, soft_wrap=True)


def watch(
    cells: Sequence[Cell], console: Console, between: Callable[[Sequence[CellState]], bool] | None = None
) -> list[CellState]:
    """Show the cells until none is waiting or running any more: a table on a terminal, lines in a log.

    Args:
        cells: to watch.
        console: where.
        between: called after each look, to submit lost cells again; whether it did.
    """
    said: dict[str, str] = {}
    standings = look(cells)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            changed = between is not None and between(standings)
            shown = rows(standings)
            if console.is_terminal:
                live.update(table(shown, console.height, _since(standings), console.width), refresh=True)
            else:
                _say_changes(shown, said, console)
            if not changed and not any(standing.state in states.OPEN for standing in standings):
                return standings
            time.sleep(PERIOD_S)
            standings = _look_again(standings)


def _look_again(before: Sequence[CellState]) -> list[CellState]:
    """Return the state of each cell now; the cache is searched only for those whose jobs have ended since."""
    known = batches.every()
    jobs = states.ask_slurm(known)
    works = [standing.work for standing in before]
    return _lost_in_earnest(states.standings(works, known, jobs, trusted=True), known, jobs, None)


def _lost_in_earnest(
    standings: Sequence[CellState],
    known: Sequence[Batch],
    jobs: Sequence[Job] | SlurmUnavailableError,
    fetched_from: str | None,
) -> list[CellState]:
    """Look for the results of lost cells again: a job may have ended well since the cache was looked at.

    The others stay as they are. Were they asked again, one that ended in this moment would seem to be lost.
    """
    lost = [standing.work.cell for standing in standings if standing.state is State.LOST]
    if not lost:
        return list(standings)
    again = states.standings(
        run_cache.find_results(lost, fetched_from), known, jobs, trusted=fetched_from is None
    )
    fresh = {standing.work.cell: standing for standing in again}
    return [fresh.get(standing.work.cell, standing) for standing in standings]


def rows(standings: Sequence[CellState]) -> list[Row]:
    """The rows of the table."""
    return [_row(standing) for standing in standings]


def _row(standing: CellState) -> Row:
    cell, batch = standing.work.cell, standing.batch
    if batch is None:
        return Row(cell.key, standing.state)
    said = tail(batch.log(cell))
    progress = log_lines.progress(said, cell.key)
    begun = BEGUN.findall(said)
    running = standing.state is State.RUNNING and begun
    return Row(
        cell.key,
        standing.state,
        progress.epoch if progress else None,
        progress.epochs if progress else None,
        progress.dice if progress else None,
        time.time() - datetime.strptime(begun[-1], TIME).timestamp() if running else None,
        note=standing.note,
    )


def tail(path: Path) -> str:
    """The end of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - TAIL_BYTES, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _say_changes(shown: Sequence[Row], said: dict[str, str], console: Console) -> None:
    for row in shown:
        epoch = (
            f" epoch {row.epoch}/{row.epochs}, validation Dice {row.dice:.3f}"
            if row.epoch is not None and row.dice is not None
            else ""
        )
        line = f"{row.key}: {row.state}{epoch if row.state is State.RUNNING else ''} {row.note}".rstrip()
        if said.get(row.key) != line:
            said[row.key] = line
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _since(standings: Sequence[CellState]) -> float:
    begun = [datetime.fromisoformat(s.batch.submitted).timestamp() for s in standings if s.batch]
    return time.time() - min(begun) if begun else 0.0
