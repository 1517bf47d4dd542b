"""A process that has imported DVC, torch and monai, and forks for each DVC: a cell starts at once.

python -m context_fbr_tools.grid.start.preloaded SOCKET

Imports take 8 s of a core for each cell: DVC once, torch and monai in both of its stages. A short cell takes
no longer than that itself. The modules of this project are not imported here: a stage imports its own.

Everything else is as with a new process: the arguments, the variables and stdout come with the request,
signals do what they do by default, and the fork is made before torch has started a thread. Where there is no
such server (only Linux forks safely with these libraries), or it has ended, each DVC is a new process.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Self

from context_fbr_tools.dvc.patched import run as patched_dvc
from context_fbr_tools.grid.start import forked_stage, processes
from context_fbr_tools.grid.start.forked_stage import INTEGER
from context_fbr_tools.grid.start.processes import Process, Start

MODULES = ("dvc.cli", "dvc.commands.repro", "dvc.repo.reproduce", "torch", "monai")
MIN_CELLS = 2
POLL_S = 0.05


@contextmanager
def starter(cells: int, environment: Mapping[str, str]) -> Iterator[Start]:
    """Give a function that starts DVC for one of so many cells, with a server if it saves time."""
    if cells < MIN_CELLS or sys.platform != "linux":
        yield processes.new
        return
    with Server(environment) as server:

        def start(arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
            try:
                return server.start(arguments, environment)
            except OSError:
                return processes.new(arguments, environment)

        yield start


class Server:
    """The client's side: starts the server with the block, which ends with it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", __spec__.name, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, env=dict(environment), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.wait()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> "Child":
        """Start `dvc ARGUMENTS`, in a session of its own. Raises OSError if the server has ended."""
        (read, request), (status, write), (stdout, output) = os.pipe(), os.pipe(), os.pipe()
        child = Child(status, os.fdopen(stdout, encoding="utf-8", errors="replace"))
        try:
            with os.fdopen(request, "w", encoding="utf-8") as file:
                try:
                    with self._lock:
                        socket.send_fds(self._ours, [b"."], [read, write, output])
                finally:
                    for end in (read, write, output):
                        os.close(end)
                json.dump({"arguments": list(arguments), "environment": dict(environment)}, file)
        except OSError:
            child.close()
            child.stdout.close()
            raise
        return child


class Child:
    """A process that the server forks, as `subprocess.Popen` shows one."""

    def __init__(self, status: int, stdout: IO[str]) -> None:
        self.stdout = stdout
        self._status: int | None = status
        self._pid: int | None = None
        self._code: int | None = None
        self._lock = threading.RLock()

    @property
    def pid(self) -> int:
        """Its id; waits until the server has made the process."""
        with self._lock:
            if self._pid is None:
                self._pid = self._read() or 0
            return self._pid

    def poll(self) -> int | None:
        """Return the exit status; None while it runs. One that a signal ended has the status of SIGKILL."""
        with self._lock:
            while self._status is not None and select.select([self._status], [], [], 0)[0]:
                if self._pid is None:
                    self._pid = self._read() or 0
                    continue
                code = self._read()
                self._code = -signal.SIGKILL if code is None else code
                self.close()
            return self._code

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        while (code := self.poll()) is None:
            time.sleep(POLL_S)
        return code

    def kill(self) -> None:
        """End the process at once."""
        if self.poll() is None and self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop listening for its status."""
        if self._status is not None:
            os.close(self._status)
            self._status = None

    def _read(self) -> int | None:
        assert self._status is not None
        said = os.read(self._status, INTEGER)
        return int.from_bytes(said) if said else None


def serve(connection: socket.socket) -> None:
    """Fork for each request until the client has closed its end."""
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # CUDA works in no fork of a process that has begun it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a stage with filters of its own does not see these imports
        for name in MODULES:
            with suppress(Exception):  # the stage will report what is wrong
                importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a process writes its status itself
    while True:
        message, files, _, _ = socket.recv_fds(connection, 1, 3)
        if not message:
            return
        if os.fork() == 0:
            connection.close()
            forked_stage.run_and_exit(partial(_run, *files), files[1])
        for file in files:
            os.close(file)


def _run(request: int, status: int, stdout: int) -> int:
    """Run DVC in a forked process; its exit status."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream in (1, 2):
        os.dup2(stdout, stream)
    os.close(stdout)
    os.write(status, os.getpid().to_bytes(INTEGER))
    with os.fdopen(request, encoding="utf-8") as file:
        asked = json.load(file)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["dvc", processes.WAIT, *asked["arguments"]]
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # its thread would be in the way of a fork
    forked_stage.install([status])
    return patched_dvc.main()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
