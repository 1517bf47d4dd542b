"""slurm.yaml: what a cell needs of a Slurm cluster. No result and no hash depends on it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from context_fbr.config.document import Document, Section
from context_fbr.core.errors import UserError, raise_problems

SITE_FILE = Path("slurm.yaml")
RESERVED_SBATCH_OPTIONS = frozenset(
    {
        "account", "array", "clusters", "cpus-per-task", "error", "export", "gpus-per-node", "job-name",
        "mem", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable",
        "partition", "requeue", "signal", "time", "wait",
    }
)  # fmt: skip
"""Options of sbatch that are written from the other settings, or that jobs rely on."""
EXAMPLE = """\
time_minutes: 720  # for one cell; one that takes longer is saved, queued again and resumed
memory_gb: 16
gpus: 1  # 0: on CPUs
"""


class Site(Section):
    """Everything but the first three has a value that works where users need not say more."""

    time_minutes: int = Field(ge=2)
    memory_gb: float = Field(ge=0.1)  # 0 is all of a node for Slurm
    gpus: int = Field(ge=0, le=1)
    """A cell uses one at most."""
    cpus: int | None = Field(default=None, ge=1)
    """Number of cores of a cell; None: as many as `train.threads`."""
    partition: str | None = None
    account: str | None = None
    max_parallel: int = Field(default=64, ge=1)
    """Cells at once."""
    setup: tuple[str, ...] = ()
    """Lines of bash before a cell, such as `module load cuda`."""
    scratch: str | None = None
    """Folder for clones, in which variables of the node are filled in; None: below .dvc/tmp/grid."""
    remote: str | None = None
    """DVC remote through which data and results travel; None: nodes use this checkout's cache."""
    save_seconds: int = Field(default=120, ge=20)
    """Before the end of its time, in which a cell saves itself."""
    sbatch: dict[Annotated[str, Field(pattern="^[a-z][a-z-]*$")], str | int | Literal[True]] = Field(
        default_factory=dict
    )
    """More options of sbatch, such as `qos: normal`, or `exclusive: true` for one without a value."""


def read(path: Path = SITE_FILE) -> Site:
    """Read and validate the file.

    Raises:
        UserError: with every problem and its line; if there is no such file, with what to write.
    """
    if not path.exists():
        lines = ", ".join(f"`{line.partition('#')[0].strip()}`" for line in EXAMPLE.splitlines())
        raise UserError(
            f"{path}: not found; it says what a cell needs of Slurm; write for example the lines {lines}"
        )
    document = Document.read(path)
    site = document.section((), Site)
    raise_problems(
        [
            document.problem(
                ("sbatch", name),
                "is set by `grid submit` itself; leave it out (cpus, gpus, memory_gb, time_minutes, "
                "partition and account are settings of their own)",
            )
            for name in site.sbatch
            if name in RESERVED_SBATCH_OPTIONS
        ]
    )
    if site.save_seconds > site.time_minutes * 30:
        text = f"is {site.save_seconds}, more than half of time_minutes, {site.time_minutes}"
        raise UserError(document.problem(("save_seconds",), text))
    return site
