"""One cell as a job of Slurm, on its node: in a clone of its own, from where it was left, to its end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import chdir, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from context_fbr import atomic, starters
from context_fbr.cells import Cell
from context_fbr.errors import StoppedError
from context_fbr.grid import batches, done
from context_fbr.grid.batches import Batch

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
"""Slurm warns, then ends a job and queues it again. If it does not, the warning was somebody's mistake."""
PUSHES = 5
POLL_S = 0.2
TIME = "%Y-%m-%d %H:%M:%S %z"
BEGUN = re.compile(r"^\S+: job \S+ on \S+, (\S+ \S+ \S+)$", re.MULTILINE)
"""The first line of each job of a cell."""
DVC = (sys.executable, "-m", "context_fbr.grid.shield")
SAVED = re.compile(r"saved in epoch \d+ after step \d+|\d+ of \d+ cases are evaluated and kept")
"""What a training or an evaluation says when it was told to stop."""
_running: subprocess.Popen[bytes] | None = None


class LostError(Exception):
    """The job cannot bring the cell to its end, for reasons that are not the cell's."""


@dataclass(frozen=True)
class CellTask:
    """What a job does, as submitit asks for it: called, and checkpointed when its time is over."""

    folder: Path
    """Of the batch."""

    def __call__(self, key: str) -> str:
        """Compute the cell; how it ended stands in its batch."""
        batch, cell = batches.read(self.folder), Cell.from_key(key)
        if batch.end(cell) is None:  # else Slurm queued again what had come to its end
            _work(batch, cell)
        end = batch.end(cell)
        return end.outcome if end else "lost"

    def checkpoint(self, key: str) -> Any:
        """Called on the warning before the end of the job's time: let the training save itself.

        When this returns, submitit asks Slurm to queue the job again, and ends this process.
        """
        from submitit.core.utils import DelayedSubmission

        batch, cell = batches.read(self.folder), Cell.from_key(key)
        _save(batch.save_seconds - 10)
        if _is_stuck(batch, cell):
            batch.write_end(
                cell,
                "failed",
                f"came no further in all of its time; give it more: time_minutes in grid.toml "
                f"(log: {batch.log(cell)})",
            )
            return None
        return DelayedSubmission(self, key)


def _work(batch: Batch, cell: Cell) -> None:
    log = batch.log(cell)
    log.parent.mkdir(parents=True, exist_ok=True)
    job = os.environ.get("SLURM_JOB_ID", "?")
    _say(log, f"{cell.key}: job {job} on {socket.gethostname()}, {time.strftime(TIME)}")
    try:
        # Of its own each time the job is begun: on a node that Slurm has lost the last one may still run.
        place = _scratch(batch) / f"{batch.name}-{cell.key}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
        try:
            _work_at(place, batch, cell, log)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except (LostError, OSError) as error:
        _say(log, f"{cell.key}: {error}")
        raise


def _work_at(place: Path, batch: Batch, cell: Cell, log: Path) -> None:
    clone = place / "study"
    environment = _environment(batch, place)
    _prepare(batch, cell, clone, environment, log)
    problem = _compute(cell, clone, environment, log)
    if not problem and batch.remote:
        _push(batch, cell, clone, environment, log)
    os.environ |= environment  # DVC's site cache
    with chdir(clone):
        is_done = bool(problem) or done.look([cell])[0].done
    if not is_done:
        raise LostError("ended well, but DVC's cache does not hold its results")
    for stage in done.STAGES:
        made = clone / cell.provenance(stage)
        if not problem and made.exists():  # not if another job had done it
            atomic.write_bytes(batch.provenance(cell, stage), made.read_bytes())
    batch.write_end(cell, "failed" if problem else "done", f"{problem} (log: {log})" if problem else "")


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
            f"scratch in grid.toml: {batch.scratch!r} is {str(path)!r} here, which is no folder's path"
        )
    return path


def _environment(batch: Batch, place: Path) -> dict[str, str]:
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(place / "study/src"),
        "DVC_SITE_CACHE_DIR": str(place / "site"),  # clones that share one wait for one another
        "DVC_NO_ANALYTICS": "1",
        "CONTEXT_FBR_RESUME": batch.resume,
        # bash becomes the training; other shells stay, and die of the signals that it hears.
        "SHELL": shutil.which("bash") or "/bin/sh",
    }
    return {**os.environ, **own, **starters.environment()}


def _prepare(batch: Batch, cell: Cell, clone: Path, environment: Mapping[str, str], log: Path) -> None:
    """Make the clone, with the data that the cell reads.

    Raises:
        LostError: if that fails, which is not the cell's fault: another node may succeed.
    """
    clone.parent.mkdir(parents=True)
    source = (batch.folder / "code").as_uri()
    if _run(["git", "clone", "-q", "--depth", "1", source, str(clone)], clone.parent, environment, log):
        raise LostError("the code could not be cloned")
    shutil.copy(batch.folder / "dvc.lock", clone / "dvc.lock")
    shutil.copy(batch.folder / "config.local", clone / ".dvc/config.local")
    how = ["pull", "-r", batch.remote] if batch.remote else ["checkout"]
    stages = [name if name.startswith("code") else f"{name}@{cell.task}" for name in done.DATA]
    if _run([*DVC, *how, *stages], clone, environment, log):
        raise LostError(f"the data could not be brought (dvc {how[0]})")


def _compute(cell: Cell, clone: Path, environment: Mapping[str, str], log: Path) -> str | None:
    """Train and evaluate; a problem if that fails."""
    command = [*DVC, "repro", "-s", *(f"{stage}@{cell.key}" for stage in done.STAGES)]
    kills = 0
    while True:
        start = log.stat().st_size
        status = _run(command, clone, environment, log)
        if status == 0:
            return None
        said = log.read_bytes()[start:].decode(errors="replace")
        ended = ENDED_BY.findall(said)
        of_training = int(ended[-1]) if ended else status
        if (
            not ended and status not in STOPPED | KILLED
        ):  # DVC itself, or its disk: another node may do better
            lines = [line for line in said.splitlines() if line.startswith("ERROR: ")]
            raise LostError(lines[-1] if lines else f"dvc repro ended with {status}")
        if of_training in STOPPED:
            _say(log, f"{cell.key}: was told to stop; Slurm will queue it again")
            time.sleep(WAIT_FOR_REQUEUE_S)
            _say(log, f"{cell.key}: Slurm did not; goes on here")
        elif of_training in KILLED and kills < MOST_KILLS:
            kills += 1
            _say(log, f"{cell.key}: was killed; goes on")
        elif of_training in KILLED:
            return f"was killed {kills + 1} times, perhaps for want of memory (memory_gb in grid.toml)"
        else:
            errors = [
                line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")
            ]
            return errors[0] if errors else f"exit status {of_training}"


def _push(batch: Batch, cell: Cell, clone: Path, environment: Mapping[str, str], log: Path) -> None:
    """Bring the results to the remote: objects first, then the run-cache, whose entry promises them.

    Raises:
        LostError: if the remote does not take them.
    """
    stages = [f"{stage}@{cell.key}" for stage in done.STAGES]
    for attempt in range(PUSHES):
        if attempt:
            time.sleep(5 * 2**attempt)
        if all(
            _run([*DVC, "push", *more, "-r", str(batch.remote), *stages], clone, environment, log) == 0
            for more in ([], ["--run-cache"])
        ):
            return
    raise LostError(f"the remote {batch.remote} did not take its results")


def _run(command: list[str], folder: Path, environment: Mapping[str, str], log: Path) -> int:
    """Run a command to its end; its exit status. What it says goes to the log."""
    global _running
    with log.open("ab") as file:
        _running = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdout=file, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        # Not wait(), whose lock the handler of a signal, which comes in between, would wait for in vain.
        while (status := _running.poll()) is None:
            time.sleep(POLL_S)
        return status
    finally:
        _running = None


def _save(patience_s: float) -> None:
    """Tell what runs to save itself, and wait for it."""
    if _running is None:
        return
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(_running.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # Slurm may have told it already: twice does no harm
                if process.name() not in starters.SHELLS:
                    process.send_signal(signal.SIGUSR1)
    with suppress(subprocess.TimeoutExpired):
        _running.wait(patience_s)


def _is_stuck(batch: Batch, cell: Cell) -> bool:
    """Whether it was saved where the job before had saved it, although this job had most of its time."""
    said = batch.log(cell).read_text(encoding="utf-8", errors="replace")
    *_, begun = BEGUN.finditer(said)
    before, now = SAVED.findall(said[: begun.start()]), SAVED.findall(said[begun.end() :])
    seconds = time.time() - datetime.strptime(begun[1], TIME).timestamp()
    had_its_time = seconds > batch.time_minutes * 30
    return had_its_time and bool(before and now) and before[-1] == now[-1]


def _say(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
