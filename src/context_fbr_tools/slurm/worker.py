"""One cell as a job of Slurm, on its node: in a clone of its own, from where it was left, to its end."""

import os
import re
import shutil
import signal
import socket
import sys
import time
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path

from context_fbr.config.cell import Cell, arm_of
from context_fbr.config.document import PARAMS_FILE, Document
from context_fbr.core import atomic
from context_fbr.core.errors import StoppedError
from context_fbr.runtime import git, orphans
from context_fbr_tools.dvc import run_cache
from context_fbr_tools.dvc.stages import CACHED_INPUT_STAGES, CELL_STAGES
from context_fbr_tools.grid.start.processes import Running
from context_fbr_tools.slurm.batches import Batch

ENDED_BY = re.compile(r"exited with (-?\d+)")
"""DVC's words for the exit status of a stage's command."""
STOPPED = {
    StoppedError.STATUS,
    *(status for n in (signal.SIGTERM, signal.SIGUSR1) for status in (-n, 128 + n)),
}
"""Exit statuses of a training that was asked to stop, or was so before it listened."""
KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}
MOST_KILLS = 2
WAIT_FOR_REQUEUE_S = 600.0
"""Slurm warns, then ends a job and queues it again. If it does not, the warning was a mistake."""
PUSHES = 5
TIME = "%Y-%m-%d %H:%M:%S %z"
BEGUN = re.compile(r"^\S+: job \S+ on \S+, (\S+ \S+ \S+)$", re.MULTILINE)
"""The first line of each job of a cell."""
DVC = (sys.executable, "-m", "context_fbr_tools.slurm.dvc_shield")


class LostError(Exception):
    """The job cannot bring the cell to its end, for reasons that are not the cell's."""


@dataclass(frozen=True)
class _Job:
    batch: Batch
    cell: Cell
    place: Path
    """Folder of this start of the job: on a node that Slurm has lost, the last one may still run."""
    running: Running

    @property
    def clone(self) -> Path:
        return self.place / "study"

    @property
    def log(self) -> Path:
        return self.batch.log(self.cell)

    def say(self, line: str) -> None:
        _say(self.log, line)

    def run(self, *command: str, folder: Path | None = None) -> int:
        return self.running.run(command, folder or self.clone, _environment(self), self.log)


def work(batch: Batch, cell: Cell, running: Running) -> None:
    """Compute a cell and take down how it ended.

    Args:
        batch: of the cell.
        cell: to compute.
        running: what the handler of a signal will tell to save itself.

    Raises:
        Exception: if it did not come to its end; then Slurm sees the job fail, and nothing is taken down.
    """
    log = batch.log(cell)
    log.parent.mkdir(parents=True, exist_ok=True)
    where = f"job {os.environ.get('SLURM_JOB_ID', '?')} on {socket.gethostname()}"
    begun = f"{cell.key}: {where}, {time.strftime(TIME)}"
    _say(log, begun)
    try:
        name = f"{batch.name}-{cell.key}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
        job = _Job(batch, cell, _scratch(batch) / name, running)
        try:
            problem = _compute_in_clone(job)
        finally:
            shutil.rmtree(job.place, ignore_errors=True)
        if problem and [*BEGUN.finditer(log.read_text(encoding="utf-8", errors="replace"))][-1][0] != begun:
            raise LostError(f"{problem}; but the cell was begun again since, and that counts")
        batch.write_end(cell, "failed" if problem else "done", f"{problem} (log: {log})" if problem else "")
    except Exception as error:
        batch.log_error(cell, error)
        raise


def _compute_in_clone(job: _Job) -> str | None:
    """Stage after stage; what is done is brought away at once, because the job may end at any time."""
    _prepare(job)
    params = Document.read(job.clone / PARAMS_FILE).root
    job = replace(job, cell=job.cell.in_arm(arm_of(params, job.cell.item)))
    for stage in CELL_STAGES:
        problem = _compute(job, stage)
        if problem:
            return problem
        made = job.clone / job.cell.provenance(stage)
        if made.exists():  # not if another job had done it
            atomic.write_bytes(job.batch.provenance(job.cell, stage), made.read_bytes())
        if job.batch.remote:
            _push(job, stage)
    os.environ |= _environment(job)  # DVC's site cache
    for name in git.OF_ONE_REPOSITORY:
        os.environ.pop(name, None)
    with chdir(job.clone):
        if not run_cache.find_results([job.cell])[0].done:
            raise LostError("ended well, but DVC's cache does not hold its results")
    return None


def _scratch(batch: Batch) -> Path:
    """The folder for clones on this node.

    Raises:
        LostError: if the site's names none here.
    """
    if not batch.scratch:
        return batch.folder / "clones"
    path = Path(os.path.expandvars(batch.scratch)).expanduser()
    if not path.is_absolute() or "$" in str(path):
        raise LostError(
            f"scratch in slurm.yaml: {batch.scratch!r} is {str(path)!r} here, which is not an absolute path"
        )
    return path


def _environment(job: _Job) -> dict[str, str]:
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(job.clone / "src"),
        "DVC_SITE_CACHE_DIR": str(job.place / "site"),  # clones that share one wait for one another
        "DVC_NO_ANALYTICS": "1",
        "CONTEXT_FBR_RESUME": job.batch.resume,
        # The clone is removed, and W&B's files of a cell with it.
        "WANDB_DIR": str(job.batch.folder.parents[3] / os.environ.get("WANDB_DIR", "")),
        # bash becomes the training; other shells stay, and die of the signals that it hears.
        "SHELL": shutil.which("bash") or "/bin/sh",
    }
    return {**git.environment(), **own, **orphans.child_environment()}


def _prepare(job: _Job) -> None:
    """Make the clone, with the data that the cell reads.

    Raises:
        LostError: if that fails, which is not the cell's fault: another node may succeed.
    """
    job.place.mkdir(parents=True)
    source = (job.batch.folder / "code").as_uri()
    if job.run("git", "clone", "-q", "--depth", "1", source, str(job.clone), folder=job.place):
        raise LostError("the code could not be cloned")
    shutil.copy(job.batch.folder / "dvc.lock", job.clone / "dvc.lock")
    shutil.copy(job.batch.folder / "config.local", job.clone / ".dvc/config.local")
    how = ["pull", "-r", job.batch.remote] if job.batch.remote else ["checkout"]
    if job.run(*DVC, *how, *(f"{stage}@{job.cell.task}" for stage in CACHED_INPUT_STAGES)):
        raise LostError(f"the data could not be brought (dvc {how[0]})")
    # Hashes of the commit's modules, which git may hold in the state of an earlier commit.
    if job.run(sys.executable, "-m", "context_fbr.runtime.code_digest"):
        raise LostError("the hashes of the code could not be written")


def _compute(job: _Job, stage: str) -> str | None:
    """Run a stage, from where it was left; a problem if it fails by itself.

    Raises:
        LostError: if DVC fails, and not the stage.
    """
    key = job.cell.key
    # --pull: what an earlier job has brought to the remote is not computed again.
    command = [*DVC, "repro", "-s", *(["--pull"] if job.batch.remote else []), job.cell.stage(stage)]
    kills = 0
    while True:
        start = job.log.stat().st_size
        status = job.run(*command)
        if status == 0:
            return None
        said = job.log.read_bytes()[start:].decode(errors="replace")
        ended = ENDED_BY.findall(said)
        of_stage = int(ended[-1]) if ended else status
        if not ended and status not in STOPPED | KILLED:  # DVC itself, or its disk
            lines = [line for line in said.splitlines() if line.startswith("ERROR: ")]
            raise LostError(lines[-1] if lines else f"dvc repro ended with {status}")
        if of_stage in STOPPED:
            job.say(f"{key}: was asked to stop; Slurm will queue it again")
            time.sleep(WAIT_FOR_REQUEUE_S)
            job.say(f"{key}: Slurm did not; continues here")
        elif of_stage in KILLED and kills < MOST_KILLS:
            kills += 1
            job.say(f"{key}: was killed; continues")
        elif of_stage in KILLED:
            return f"was killed {kills + 1} times, perhaps because memory ran out (memory_gb in slurm.yaml)"
        else:
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            return errors[0].removeprefix("error: ") if errors else f"exit status {of_stage}"


def _push(job: _Job, stage: str) -> None:
    """Bring a stage's results to the remote: objects first, then the run-cache, whose entry promises them.

    Raises:
        LostError: if the remote does not take them.
    """
    remote, name = str(job.batch.remote), job.cell.stage(stage)
    for attempt in range(PUSHES):
        if attempt:
            time.sleep(5 * 2**attempt)
        if all(job.run(*DVC, "push", *more, "-r", remote, name) == 0 for more in ([], ["--run-cache"])):
            return
    raise LostError(f"the remote {remote} did not take its results")


def _say(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
