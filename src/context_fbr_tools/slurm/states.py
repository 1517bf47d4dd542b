"""State of each cell on the cluster, from the cache, the files of jobs, and Slurm.

In this order: results that are there make a cell done, whatever became of its job; a job's own word is final;
Slurm is asked for the rest, and a cell of which it knows nothing any more is lost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from context_fbr_tools.dvc.run_cache import CellStatus
from context_fbr_tools.grid.table import State
from context_fbr_tools.slurm import squeue
from context_fbr_tools.slurm.batches import Batch
from context_fbr_tools.slurm.squeue import Job, SlurmUnavailableError

MOST_SUBMISSIONS = 3
"""Number of lost jobs of a cell in a row after which the user has to look at it."""


OPEN = (State.WAITING, State.RUNNING, State.UNKNOWN)
"""States that may change by themselves."""


@dataclass(frozen=True)
class CellState:
    """A cell's state."""

    work: CellStatus
    state: State
    batch: Batch | None
    """The last one that had this work; None if there is none."""
    note: str
    lost: int
    """Number of its last jobs that were lost in a row."""

    @property
    def to_submit(self) -> bool:
        """Return true if it is submitted again without a request."""
        again = self.state is State.LOST and self.lost < MOST_SUBMISSIONS
        return again or self.state in (State.NOT_SUBMITTED, State.CANCELLED)


def ask_slurm(known: Iterable[Batch]) -> list[Job] | SlurmUnavailableError:
    """The jobs of the batches, or why Slurm does not answer. To be asked before looking at files and cache.

    A job that ended before that has written how; one that ends after it counts as alive. So none is lost by
    bad timing.
    """
    try:
        return squeue.jobs(batch.name for batch in known)
    except SlurmUnavailableError as error:
        return error


def standings(
    works: Sequence[CellStatus],
    known: Sequence[Batch],
    jobs: Sequence[Job] | SlurmUnavailableError,
    trusted: bool,
) -> list[CellState]:
    """Return the state of each cell.

    Args:
        works: of the cells.
        known: batches, the newest first.
        jobs: from `ask_slurm`, before `works`.
        trusted: whether to take a job's word for what it brought to a remote, which was not looked at.
    """
    silence = jobs if isinstance(jobs, SlurmUnavailableError) else None
    by_place = {(job.name, job.index): job for job in _told(jobs)}
    submissions: dict[tuple[str, str], list[tuple[Batch, Job | None]]] = {}
    for batch in known:
        for index, place in enumerate(zip(batch.keys, batch.digests, strict=True)):
            submissions.setdefault(place, []).append((batch, by_place.get((batch.name, index))))
    return [
        _standing(work, submissions.get((work.cell.key, work.digest), []), silence, trusted) for work in works
    ]


def _standing(
    work: CellStatus,
    submissions: Sequence[tuple[Batch, Job | None]],
    silence: SlurmUnavailableError | None,
    trusted: bool,
) -> CellState:
    if not submissions:
        return CellState(work, State.DONE if work.done else State.NOT_SUBMITTED, None, "", 0)
    told = [_tell(work, batch, job, silence, trusted) for batch, job in submissions]
    # The newest counts, unless an older one is still alive.
    last = next((n for n, (_, job) in enumerate(submissions) if job and job.alive), 0)
    state, note = told[last]
    lost = next((n for n, (each, _) in enumerate(told) if each is not State.LOST), len(told))
    if work.done:
        state, note = State.DONE, ""
    elif state is State.LOST and lost >= MOST_SUBMISSIONS:
        note = f"{lost} times: {note}; `grid submit {work.cell.key}` tries again nevertheless"
    return CellState(work, state, submissions[last][0], note, lost)


def undone(standings: Sequence[CellState]) -> list[str]:
    """A line for each cell that is not done."""
    return [
        f"{standing.work.cell.key}: {standing.state}{f': {standing.note}' if standing.note else ''}"
        for standing in standings
        if standing.state is not State.DONE
    ]


def _tell(
    work: CellStatus, batch: Batch, job: Job | None, silence: SlurmUnavailableError | None, trusted: bool
) -> tuple[State, str]:
    end = batch.end(work.cell)
    if end is not None and end.outcome == "failed":
        return State.FAILED, end.problem
    if end is not None and end.outcome == "cancelled" and job is not None and job.alive:
        return State.RUNNING, "is being cancelled"
    if end is not None and end.outcome == "cancelled":
        return State.CANCELLED, ""
    if end is not None and batch.remote and trusted:
        return State.DONE, ""
    if end is not None:
        where = f"the remote {batch.remote}" if batch.remote else "the cache"
        return State.LOST, f"its job says done, but {where} does not hold its results"
    if silence is not None:
        return State.UNKNOWN, f"Slurm does not answer ({silence})"
    if job is None or not job.alive:
        why = f"its job ended as {job.state}" if job else "Slurm knows no job of it any more"
        error = batch.logged_error(work.cell)
        where = f"(log: {batch.log(work.cell)}; what Slurm wrote: {batch.folder / 'slurm'})"
        return State.LOST, f"{why}{f': {error}' if error else ''} {where}"
    if job.waits:
        return State.WAITING, "" if job.reason in ("None", "Priority", "Resources") else job.reason
    return State.RUNNING, job.node


def elsewhere(
    works: Sequence[CellStatus], known: Sequence[Batch], jobs: Sequence[Job] | SlurmUnavailableError
) -> list[tuple[Job, str]]:
    """Jobs that are alive for work that is no longer requested, with their cells' keys."""
    asked = {(work.cell.key, work.digest) for work in works}
    by_name = {batch.name: batch for batch in known}
    found = []
    for job in _told(jobs):
        batch = by_name[job.name]
        if job.alive and (batch.keys[job.index], batch.digests[job.index]) not in asked:
            found.append((job, batch.keys[job.index]))
    return found


def _told(jobs: Sequence[Job] | SlurmUnavailableError) -> Sequence[Job]:
    return () if isinstance(jobs, SlurmUnavailableError) else jobs
