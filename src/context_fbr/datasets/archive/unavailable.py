"""Notes of tasks whose data are not here: `context-fbr grid run` names the reason and skips the task."""

import shutil
from pathlib import Path

from context_fbr.core import atomic
from context_fbr.core.errors import UnavailableDataError

FOLDER = Path(".dvc/tmp/context-fbr/unavailable")
"""A file a task, with the reason."""


def note(task: str, error: UnavailableDataError) -> None:
    """Write down why a task has no data, where DVC runs the stage; errors as in `atomic.write_text`."""
    if Path(".dvc").is_dir():
        atomic.write_text(FOLDER / task, "; ".join(error.problems) + "\n")


def forget() -> None:
    """Remove the notes of earlier runs."""
    shutil.rmtree(FOLDER, ignore_errors=True)


def reasons() -> dict[str, str]:
    """Return the reason of each task that was noted since `forget`."""
    return {path.name: path.read_text(encoding="utf-8").strip() for path in sorted(FOLDER.glob("[!.]*"))}
