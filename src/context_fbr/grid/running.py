"""A job's one command at a time, which can be told to save itself when the job's time is over."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from context_fbr import starters

POLL_S = 0.2


class Running:
    """What runs now, if anything does: the handler of a signal comes in between and has to find it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> int:
        """Run a command to its end; its exit status. What it says goes to the log."""
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, cwd=folder, env=dict(environment), stdout=file, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            # Not wait(), whose lock the handler of a signal would wait for in vain.
            while (status := self._process.poll()) is None:
                time.sleep(POLL_S)
            return status
        finally:
            self._process = None

    def save(self, patience_s: float) -> None:
        """Tell what runs to save itself, and wait for it."""
        process = self._process
        if process is None:
            return
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # Slurm may have told it already: twice does no harm
                    if child.name() not in starters.SHELLS:
                        child.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
