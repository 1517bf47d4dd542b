"""Starting the process that tells W&B of a journal, and what it says."""

import os
import subprocess
import sys
from pathlib import Path

LOG = "teller.log"
PATIENCE_S = 30
"""After the end of a stage, with W&B."""
PLACE = "at: "
FAILED = "failed: "
SOURCE = str(Path(__file__).parents[2])


def follow(folder: Path, online: bool) -> subprocess.Popen[bytes]:
    """Tell a journal that is being written, until the process's input ends, as in teller.py.

    Raises:
        OSError: if the system refuses.
    """
    log = folder / LOG
    log.unlink(missing_ok=True)  # one that another process still writes to stays its own
    with log.open("wb") as file:
        return subprocess.Popen(
            _command(folder, online, "--follow", "--patience", str(PATIENCE_S)),
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            # Ctrl-C and a scheduler's signals are for who computes; this one ends when its input does.
            start_new_session=True,
            cwd=folder.parents[2],  # a clone of Slurm's is removed with the job
            env=_environment(),
        )


def tell(folder: Path, online: bool) -> subprocess.CompletedProcess[str]:
    """Tell a journal as it is, and wait for it."""
    return subprocess.run(
        _command(folder, online),
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def said(text: str, begin: str) -> str | None:
    """The last of the lines that a process said with such a beginning, without it."""
    lines = text.splitlines()
    return next((line.removeprefix(begin) for line in reversed(lines) if line.startswith(begin)), None)


def _command(folder: Path, online: bool, *options: str) -> list[str]:
    mode = ["--online"] if online else []
    return [sys.executable, "-m", "context_fbr_tools.wandb_sync.uploader", str(folder), *mode, *options]


def _environment() -> dict[str, str]:
    own = os.pathsep.join(part for part in (SOURCE, os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": own}
