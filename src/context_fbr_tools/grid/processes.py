"""DVC processes that end with us: stopped from inside, so that DVC itself is never cut while it writes."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from context_fbr.runtime import orphans

TIMEOUT_S = 20.0
POLL_S = 0.2


class Processes:
    """The processes of all workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.stopped = False

    @contextmanager
    def start(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> Iterator["subprocess.Popen[str]"]:
        """Start a process in a session of its own, where Ctrl-C does not reach it; an error ends it.

        Its stdout, which holds stderr too, is to be read by the block.
        """
        with self._lock:  # a process is either seen by `stop` or not started
            if self.stopped:
                raise InterruptedError("stopped")
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        try:
            yield process
        except BaseException:
            _end({process})
            raise
        finally:
            with self._lock:
                self._running.discard(process)
            if process.stdout is not None:
                process.stdout.close()

    def stop(self) -> None:
        """End all processes and start no more."""
        with self._lock:
            self.stopped = True
            running = set(self._running)
        _end(running)


def _end(processes: set["subprocess.Popen[str]"]) -> None:
    """Terminate the children of the processes until these end; kill those that have not after a timeout."""
    deadline = time.monotonic() + TIMEOUT_S
    while (alive := [process for process in processes if process.poll() is None]) and (
        time.monotonic() < deadline
    ):
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        child.terminate()
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
