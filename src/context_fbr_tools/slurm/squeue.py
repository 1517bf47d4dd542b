"""Slurm's own programs, asked with a time-out: while the controller is away some of them wait for ever.

Accounting (sacct) is not needed: many small clusters have none. What the controller has forgotten (after
MinJobAge, five minutes) is known from the files that the cells wrote.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from context_fbr.core.errors import UserError

PATIENCE_S = 30.0
MOST_NAMED = 500
"""Jobs in one command, whose line has an end."""
ENDED = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip
"""States of jobs that will not run again by themselves. Whatever else there is, or comes, is alive: Slurm
queues a job of a lost node, or a pre-empted one, again by itself; a second one would be wrong."""
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})


class SlurmUnavailableError(Exception):
    """Slurm did not answer; what it knows is unknown, not nothing."""


@dataclass(frozen=True)
class Job:
    """One cell's job as squeue tells it."""

    name: str
    """Number of the batch's job."""
    index: int
    """Index in the batch's array."""
    identity: str
    """Name for scancel and scontrol: `17_3`, or `17` if it was submitted alone."""
    state: str
    reason: str
    """Reason for which it waits, or ended."""
    node: str

    @property
    def alive(self) -> bool:
        """Return true if it runs, or will run."""
        return self.state not in ENDED

    @property
    def waits(self) -> bool:
        """Return true if it has not begun, or will begin again."""
        return self.state in WAITING


def check() -> None:
    """Check that this is a machine from which jobs can be submitted.

    Raises:
        UserError: if it is not.
    """
    for program in ("sbatch", "squeue", "scancel", "scontrol", "srun"):
        if shutil.which(program) is None:
            raise UserError(f"{program}: not found; this needs the programs of a Slurm cluster")


def jobs(names: Iterable[str]) -> list[Job]:
    """The jobs of batches that the controller knows of, ended ones of the last minutes among them.

    Raises:
        SilentError: if the controller does not answer.
    """
    wanted = ",".join(names)
    if not wanted:
        return []
    text = ask(
        "squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--name={wanted}",
        "--format=%j|%K|%F|%T|%r|%N",
    )  # fmt: skip
    found = []
    for line in text.splitlines():
        name, index, job, state, reason, node = line.strip().split("|", 5)
        alone = not index.isdigit()
        found.append(
            Job(name, 0 if alone else int(index), job if alone else f"{job}_{index}", state, reason, node)
        )
    return found


def cancel(identities: Sequence[str]) -> None:
    """End jobs; one that has ended already is no error.

    Raises:
        SilentError: if the controller does not answer.
    """
    for start in range(0, len(identities), MOST_NAMED):
        ask("scancel", "--quiet", *identities[start : start + MOST_NAMED])


def largest_array() -> int:
    """Return the number of cells that one array may hold.

    Raises:
        SilentError: if the controller does not answer.
    """
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return max(int(found[1]) - 1, 1) if found else 1000


def ask(*command: str) -> str:
    """Return the output of one of Slurm's programs.

    Raises:
        SilentError: if it fails, or does not answer in time; with its words.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise SlurmUnavailableError(f"{command[0]}: not found") from None
    except subprocess.TimeoutExpired:
        raise SlurmUnavailableError(f"{command[0]}: no answer in {PATIENCE_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise SlurmUnavailableError(f"{command[0]}: {said.splitlines()[0]}")
    return done.stdout
