"""Commands and stages in fresh processes without the seconds of their imports, with a limit on each.

The server imports PyTorch, MONAI, DVC and this package; for each job it forks a process that is
`context-fbr ARGUMENTS`, or `python -m context_fbr.STAGE ARGUMENTS`. DVC, where a command runs it, is another fork.
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
MOST_WALL_S = 20.0
"""Then the process is killed; a busy machine does not take so long for 5 s of work."""
SPARE_BYTES = 3 << 30
"""Address space beyond what the server has: what takes more fails in its process and leaves the machine alone."""


@dataclass(frozen=True)
class Ended:
    """End of a command."""

    status: int
    """As in subprocess: minus the signal that killed it."""
    output: str
    """Stdout and stderr."""
    cpu_s: float
    """Of the process and the processes that it waited for."""
    wall_s: float
    peak_bytes: int
    """Memory of the largest of them."""


@dataclass(frozen=True)
class CommandServer:
    """A running server."""

    process: subprocess.Popen[str]

    def run(self, folder: Path, log: Path, *arguments: str, stage: str | None = None) -> Ended:
        """Run `context-fbr ARGUMENTS` in a folder, or a stage; `log` is a file for the output."""
        assert self.process.stdin
        assert self.process.stdout
        log.write_text("")
        job = {"stage": stage, "arguments": arguments, "folder": str(folder), "log": str(log)}
        print(json.dumps(job), file=self.process.stdin, flush=True)
        status, cpu_s, wall_s, peak_bytes = json.loads(self.process.stdout.readline())
        return Ended(status, log.read_text(errors="replace"), cpu_s, wall_s, peak_bytes)


@contextmanager
def serve(**environment: str) -> Iterator[CommandServer]:
    """A server; the environment is that of all its commands."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "DVC_ROOT": "", **environment},
    ) as process:
        yield CommandServer(process)
        assert process.stdin
        process.stdin.close()


def _forked_dvc(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m dvc ARGUMENTS` in a fork of this process, which has imported it."""
    outputs = [os.memfd_create(name) for name in ("stdout", "stderr")]
    pid = os.fork()
    if not pid:
        status = 255
        try:
            from dvc.cli import main

            for number, file in enumerate(outputs, start=1):
                os.dup2(file, number)
            status = main(command[3:])
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    texts = []
    for file in outputs:
        os.lseek(file, 0, os.SEEK_SET)
        with os.fdopen(file) as opened:
            texts.append(opened.read())
    return subprocess.CompletedProcess(command, status, *texts)


def _work(job: dict[str, Any]) -> None:
    """Be the process of a command."""
    import resource
    from importlib import import_module
    from types import SimpleNamespace

    from context_fbr.runtime.entry import run_command
    from context_fbr_tools import cli
    from context_fbr_tools.dvc import process as dvc

    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.setpgid(0, 0)
    os.chdir(job["folder"])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES,) * 2)
    dvc.subprocess = SimpleNamespace(run=_forked_dvc)  # type: ignore[attr-defined]
    main = import_module(f"context_fbr.{job['stage']}").main if job["stage"] else cli.run
    run_command(main, job["arguments"])


def _measured(pid: int) -> tuple[int, float, float, int]:
    """Wait for a process; status, CPU and wall time in s, peak memory in bytes."""
    start = time.monotonic()
    pause_s = 0.001
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        wall_s = time.monotonic() - start
        if done:
            break
        if wall_s > MOST_WALL_S:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.02)
    cpu_s = usage.ru_utime + usage.ru_stime
    return os.waitstatus_to_exitcode(status), cpu_s, wall_s, usage.ru_maxrss * 1024


def _main() -> None:
    import gc
    from importlib import import_module
    from pkgutil import walk_packages

    import dvc.repo  # noqa: F401
    import torch

    import context_fbr
    import context_fbr_tools

    for package in (context_fbr, context_fbr_tools):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and "wandb" not in module.name:
                import_module(module.name)
    import_module("dvc.cli.parser").get_main_parser()  # and with it all of DVC's commands
    # On the meta device, where nothing is computed, PyTorch imports what else it needs.
    torch.nn.BatchNorm3d(1, device="meta")(torch.empty(2, 1, 2, 2, 2, device="meta"))
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _work(json.loads(line))
            except SystemExit as ended:
                status = int(ended.code or 0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:  # without the second in which Python takes down what the server has imported
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(json.dumps(_measured(pid)), flush=True)


if __name__ == "__main__":
    _main()
