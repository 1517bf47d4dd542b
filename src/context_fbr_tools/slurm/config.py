"""grid.toml: what a Slurm cluster wants to know of a cell. No result and no hash depends on it."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from context_fbr.config.document import Section
from context_fbr.core.errors import UserError, raise_problems

SITE_FILE = Path("grid.toml")
RESERVED_SBATCH_OPTIONS = frozenset(
    {
        "account", "array", "clusters", "cpus-per-task", "error", "export", "gpus-per-node", "job-name",
        "mem", "no-requeue", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable",
        "partition", "requeue", "signal", "time", "wait",
    }
)  # fmt: skip
"""Options of sbatch that are written from the other settings, or that jobs rely on."""
EXAMPLE = """\
time_minutes = 720  # for one cell; one that takes longer is saved, queued again, and goes on
memory_gb = 16
gpus = 1  # 0: on CPUs
"""


class Site(Section):
    """Everything but the first three has a value that works where users need not say more."""

    time_minutes: int = Field(ge=2)
    memory_gb: float = Field(ge=0.1)  # 0 is all of a node for Slurm
    gpus: int = Field(ge=0, le=1)
    """A cell uses one at most."""
    cpus: int | None = Field(default=None, ge=1)
    """Of a cell; None: as many as `train.threads`."""
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
    """More options of sbatch, such as `qos = "normal"`, or `exclusive = true` for one without a value."""


def read(path: Path = SITE_FILE) -> Site:
    """Read and validate the file.

    Raises:
        UserError: with every problem and its line; if there is no such file, with what to write.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: is not there; it tells Slurm what a cell needs, for example:\n{EXAMPLE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise UserError(f"{path}:{line[1] if line else 1}: is no TOML: {error}") from None
    if isinstance(content.get("setup"), list):
        content["setup"] = tuple(content["setup"])
    try:
        site = Site.model_validate(content)
    except ValidationError as error:
        raise UserError(*(_problem(path, text, item) for item in error.errors())) from None
    raise_problems(
        [
            f"{path}:{_line(text, key)}: sbatch.{key}: is set by `grid submit` itself; leave it out (cpus, "
            "gpus, memory_gb, time_minutes, partition and account are settings of their own)"
            for key in site.sbatch
            if key in RESERVED_SBATCH_OPTIONS
        ]
    )
    if site.save_seconds > site.time_minutes * 30:
        raise UserError(
            f"{path}:{_line(text, 'save_seconds')}: save_seconds: is {site.save_seconds}, more than half of "
            f"time_minutes ({site.time_minutes}); a cell would hardly compute"
        )
    return site


def _problem(path: Path, text: str, item: object) -> str:
    assert isinstance(item, dict)
    key = ".".join(str(part) for part in item["loc"])
    first = str(item["loc"][0])
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(first, Site.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(Site.model_fields)}"
        return f"{path}:{_line(text, first)}: {key}: unknown key; {hint}"
    if item["type"] == "missing":
        return f"{path}:1: {key}: is missing; for example:\n{EXAMPLE}"
    wrong = item["msg"].removeprefix("Input ").replace("tuple", "list").replace("dictionary", "table")
    return f"{path}:{_line(text, first)}: {key}: is {item['input']!r}, but {wrong[0].lower()}{wrong[1:]}"


def _line(text: str, key: str) -> int:
    """Line of a key, which stands at the beginning of one, or in a table in one."""
    lines = text.splitlines()
    found = re.compile(rf"^\s*\[?[\"']?{re.escape(key)}[\"']?\s*[=\]]|[{{,]\s*{re.escape(key)}\s*=")
    return next((number for number, line in enumerate(lines, 1) if found.search(line)), 1)
