"""Stages in fresh processes without the seconds of their imports, so that tests can kill many of them.

The server imports the stages and computes nothing; for each job it forks a process that runs one, as
`python -m context_fbr.STAGE` does. A job may kill itself, as `kill -9` does, inside of a save.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a stage ended."""

    status: int
    """As in subprocess: minus the signal that killed it."""
    said: str
    """Stdout and stderr."""
    seconds: float


@dataclass(frozen=True)
class StageServer:
    """A running server."""

    process: subprocess.Popen[str]
    folder: Path
    """Where stages run."""

    def run(
        self,
        stage: str,
        *arguments: str,
        kill_after_s: float | None = None,
        send: tuple[signal.Signals, str] | None = None,
        kill_at: tuple[str, int] | None = None,
        kill_in: str = "resume",
        log: str = "stage.log",
        environment: dict[str, str] | None = None,
    ) -> Ended:
        """Run a stage.

        Args:
            stage: module of the package.
            arguments: of its command line.
            kill_after_s: kill it after so many seconds, if it still runs.
            send: a signal, and what the stage must have said before it is sent.
            log: name of the file for what it says.
            kill_at: let it kill itself in the n-th call (from 1) of `fsync` or `replace` that is about a file
                of unfinished work.
            kill_in: what the paths of such files hold.
            environment: variables of this stage alone.
        """
        said = self.folder / log
        job = {
            "stage": stage,
            "arguments": arguments,
            "folder": str(self.folder),
            "log": str(said),
            "environment": environment or {},
            "kill": kill_at and (*kill_at, kill_in),
        }
        assert self.process.stdin
        assert self.process.stdout
        said.write_text("")
        start = time.monotonic()
        print(json.dumps(job), file=self.process.stdin, flush=True)
        pid = int(self.process.stdout.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(pid, signal.SIGKILL)  # a zombie, if it has ended: the server waits only when told to
        if send is not None:
            while send[1] not in said.read_text():
                time.sleep(0.01)
            os.kill(pid, send[0])
        print(file=self.process.stdin, flush=True)
        status = os.waitstatus_to_exitcode(int(self.process.stdout.readline()))
        return Ended(status, said.read_text(), time.monotonic() - start)


@contextmanager
def serve(folder: Path, **environment: str) -> Iterator[StageServer]:
    """A server whose stages run in `folder`."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "DVC_ROOT": "", **environment},
    ) as process:
        yield StageServer(process, folder)
        process.stdin.close()


def _kill_in(call: str, number: int, folder: str) -> None:
    """Die in the n-th of these calls that concerns unfinished work."""
    left = number

    def counted(path: str) -> None:
        nonlocal left
        if folder in path:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    fsync, replace = os.fsync, Path.replace

    def killing_fsync(file: int) -> None:
        path = str(Path(f"/proc/self/fd/{file}").readlink())
        if left == 1 and folder in path:
            os.ftruncate(file, os.fstat(file).st_size // 2)  # half of it has reached the disk
        counted(path)
        fsync(file)

    def killing_replace(path: Path, target: Any) -> Path:
        counted(str(path))
        return replace(path, target)

    if call == "fsync":
        os.fsync = killing_fsync
    else:
        Path.replace = killing_replace  # type: ignore[method-assign,assignment]


def _work(job: dict[str, Any]) -> None:
    """Be the process of a stage."""
    from importlib import import_module

    from context_fbr.runtime.entry import run_command

    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["folder"])
    os.environ.update(job["environment"])
    if job["kill"]:
        _kill_in(*job["kill"])
    run_command(import_module(f"context_fbr.{job['stage']}").main, job["arguments"])


def _main() -> None:
    import torch

    import context_fbr.evaluate
    import context_fbr.prepare
    import context_fbr.raw
    import context_fbr.train  # noqa: F401

    # On the meta device, where nothing is computed, PyTorch imports what else it needs.
    torch.nn.BatchNorm3d(1, device="meta")(torch.empty(2, 1, 2, 2, 2, device="meta"))
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                _work(json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
        print(pid, flush=True)
        sys.stdin.readline()
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    _main()
