"""DVC processes that end with us: stopped from inside, so that DVC itself is never cut while it writes."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol, cast

import psutil

from context_fbr.runtime import orphans
from context_fbr_tools.dvc import process as dvc

TIMEOUT_S = 20.0
POLL_S = 0.2
WAIT = "--wait-for-lock"
"""Option of DVC for one of several processes in the same workspace; without it DVC gives up after 3 s."""
COMMAND = (*dvc.COMMAND, WAIT)


class Process(Protocol):
    """Methods of `subprocess.Popen` that the grid needs."""

    stdout: IO[str]

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""

    def wait(self) -> int:
        """Wait for the end; the exit status."""

    def kill(self) -> None:
        """End the process at once."""


Start = Callable[[Sequence[str], Mapping[str, str]], Process]
"""Starts `dvc ARGUMENTS` with an environment, in a session of its own, where Ctrl-C does not reach it."""


def new(arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
    """Start DVC as a new process."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=dict(environment), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    return cast(Process, process)  # its stdout is a pipe


class Processes:
    """The processes of all workers."""

    def __init__(self, start: Start = new) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._running: set[Process] = set()
        self.stopped = False

    @contextmanager
    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[Process]:
        """Start `dvc ARGUMENTS`; an error in the block ends it.

        Its stdout, which holds stderr too, is to be read by the block.
        """
        with self._lock:  # a process is either seen by `stop` or not started
            if self.stopped:
                raise InterruptedError("stopped")
            process = self._start(arguments, environment)
            self._running.add(process)
        try:
            yield process
        except BaseException:
            _end({process})
            raise
        finally:
            with self._lock:
                self._running.discard(process)
            process.stdout.close()

    def stop(self) -> None:
        """End all processes and start no more."""
        with self._lock:
            self.stopped = True
            running = set(self._running)
        _end(running)


def _end(processes: set[Process]) -> None:
    """Terminate the children of the processes until these end; kill those that have not after a timeout."""
    deadline = time.monotonic() + TIMEOUT_S
    while (alive := [process for process in processes if process.poll() is None]) and (
        time.monotonic() < deadline
    ):
        for process in alive:
            dvc.terminate_stages(process.pid)
        time.sleep(0.1)
    for process in alive:
        process.kill()


class Running:
    """The process that runs now, if there is one, for the handler of a signal."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> int:
        """Run a command to its end and return its exit status. Its output goes to the log."""
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, cwd=folder, env=dict(environment), stdout=file, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            # Not wait(), on whose lock the handler of a signal would block forever.
            while (status := self._process.poll()) is None:
                time.sleep(POLL_S)
            return status
        finally:
            self._process = None

    def save(self, timeout_s: float) -> None:
        """Make the process save its work, and wait for it."""
        process = self._process
        if process is None:
            return
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # Slurm may have sent it already: twice does no harm
                    if child.name() not in orphans.SHELLS:
                        child.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
