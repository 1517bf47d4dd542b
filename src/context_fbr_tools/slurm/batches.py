"""Records of submitted cells, in .dvc/tmp/grid: a folder a batch, which its jobs see, too.

    BATCH/batch.json        what was submitted; written before Slurm hears of it
          code/             a clone of the commit, of which each job makes its own
          dvc.lock          as it was, with the data that the cells read
          config.local      DVC's settings for the jobs
          slurm/            the job's script and what it printed
          logs/CELL.log     what DVC and the training said
          ends/CELL.json    how the cell ended; written by its job, or by `grid cancel`
          provenance/       as in metrics/provenance
          clones/           where jobs work, unless slurm.yaml names a scratch folder

A batch's name is the name of its jobs, too. So a job is known even if Slurm took it and could not say so.
"""

import json
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from context_fbr.config.cell import Cell
from context_fbr.core import atomic
from context_fbr.core.errors import raise_problems

ROOT = Path(".dvc/tmp/grid")
RECORD = "batch.json"
MOST_OF_AN_ERROR = 2000
"""Bytes at the end of a log, in which an error is looked for."""
Outcome = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True)
class Batch:
    """Cells that were submitted together, as one array of jobs."""

    folder: Path
    """Absolute."""
    revision: str
    """Commit."""
    submitted: str
    """Date and time, UTC."""
    keys: tuple[str, ...]
    """Keys of the cells, in the order of the array."""
    digests: tuple[str, ...]
    """Digests of their work, see `done.Work`."""
    remote: str | None
    """DVC's, through which data travel; None: the cache is shared."""
    scratch: str | None
    """Folder for clones, as in slurm.yaml."""
    resume: str
    """Folder of unfinished work."""
    save_seconds: int
    """Seconds that a job has, from the warning to the end of its time."""
    time_minutes: int
    """Time limit of a job."""

    @property
    def name(self) -> str:
        """Also of its jobs."""
        return self.folder.name

    def log(self, cell: Cell) -> Path:
        """Return the path of the output of DVC and of the training of a cell."""
        return self.folder / "logs" / f"{cell.key}.log"

    def log_error(self, cell: Cell, error: Exception) -> None:
        """Append to the cell's log what its job ends with."""
        with self.log(cell).open("a", encoding="utf-8") as file:
            file.write(f"{cell.key}: {type(error).__name__}: {error}\n")

    def logged_error(self, cell: Cell) -> str:
        """Return the error that the last job of a cell ended with, from its log; empty if there is none."""
        try:
            with self.log(cell).open("rb") as file:
                file.seek(max(self.log(cell).stat().st_size - MOST_OF_AN_ERROR, 0))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        *_, last = re.split(rf"^{re.escape(cell.key)}: ", text, flags=re.MULTILINE)
        found = re.match(r"\w+Error: ", last)
        return " ".join(last[found.end() :].split()) if found else ""

    def end(self, cell: Cell) -> "End | None":
        """Read the end of a cell's job; None if it has not ended, or was killed."""
        try:
            return End(**json.loads(self._end(cell).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            return End("failed", f"{self._end(cell)}: cannot be read: {error}")

    def write_end(self, cell: Cell, outcome: Outcome, problem: str = "") -> None:
        """Take down how a cell ended.

        Raises:
            UserError: if the system refuses.
        """
        atomic.write_text(self._end(cell), json.dumps(asdict(End(outcome, problem))) + "\n")

    def provenance(self, cell: Cell, stage: str) -> Path:
        """Return the path of the provenance of a stage, until `grid collect` moves it to its place."""
        return self.folder / "provenance" / stage / f"{cell.key}.json"

    def _end(self, cell: Cell) -> Path:
        return self.folder / "ends" / f"{cell.key}.json"


@dataclass(frozen=True)
class End:
    """End of a cell's job."""

    outcome: Outcome
    problem: str


def new_folder() -> Path:
    """Return the path of the next batch; its name sorts by time and is unique."""
    return ROOT.absolute() / f"fbr-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def write(batch: Batch) -> None:
    """Write the record of a batch; errors as in `Batch.write_end`."""
    content = {name: value for name, value in asdict(batch).items() if name != "folder"}
    atomic.write_text(batch.folder / RECORD, json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> Batch:
    """Read the record of a batch; raises OSError, ValueError or TypeError for what is none."""
    content: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return Batch(
        folder.absolute(), **{**content, **{name: tuple(content[name]) for name in ("keys", "digests")}}
    )


def every() -> list[Batch]:
    """All batches, the newest first. A folder without a record is of a submission that was cut off before.

    Raises:
        UserError: naming every record that cannot be read, because its jobs may be alive.
    """
    found: list[Batch] = []
    problems: list[str] = []
    for record in ROOT.glob(f"*/{RECORD}"):
        try:
            found.append(read(record.parent))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError) as error:
            problems.append(f"{record}: cannot be read ({error}); if its jobs have ended, remove its folder")
    raise_problems(problems)
    return sorted(found, key=lambda batch: batch.name, reverse=True)
