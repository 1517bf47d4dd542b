"""DVC, `context-fbr` and stages as forks of a process that has imported their libraries.

Nine tenths of a tiny study's time are imports. The project's own modules are imported by each fork, from the
folder that it runs in. `Workspace.run` starts real processes.
"""

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
MODULES = (
    *("dvc.cli", "dvc.commands.repro", "dvc.repo.reproduce", "torch", "monai", "pandas", "scipy.stats"),
    *("scipy.ndimage", "matplotlib.backends.backend_agg", "nibabel", "pydantic", "ruamel.yaml", "psutil"),
)
OURS = ("context_fbr", "context_fbr_tools")
_lock = Lock()


@cache
def _server() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, start_new_session=True,
    )  # fmt: skip
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    with process:  # closes the pipes: at the end of its input the server ends
        pass


def run(
    kind: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], patience_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `dvc`, `context-fbr` or a module of a stage, named by `kind`, in a folder."""
    with _lock, tempfile.TemporaryDirectory() as logs:
        if _server().poll() is not None:  # a test has killed it
            _server.cache_clear()
        server = _server()
        assert server.stdin
        assert server.stdout
        job = {
            "kind": kind, "arguments": [*arguments], "folder": str(folder), "environment": {**environment},
            "logs": logs, "patience_s": patience_s,
        }  # fmt: skip
        print(json.dumps(job), file=server.stdin, flush=True)
        status = server.stdout.readline().strip()
        said = [Path(logs, name).read_text(errors="replace") for name in ("stdout", "stderr")]
    assert status != "late", f"{kind} {' '.join(arguments)}: not within {patience_s} s: {said}"
    return subprocess.CompletedProcess([kind, *arguments], int(status), *said)


def _dvc_of_a_command(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Fork the DVC that a command asks; one that prints to the terminal is a process."""
    from command_server import _forked_dvc

    return (_forked_dvc if options.get("capture_output") else subprocess.run)(command, **options)


def _work(job: dict[str, Any]) -> int | None:
    from tqdm import tqdm

    from context_fbr_tools.grid.start import forked_stage

    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(job["logs"], name), os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    tqdm.monitor_interval = 0  # its thread would be in the way of a fork
    forked_stage.install()
    if job["kind"] == "dvc":
        from dvc.cli import main

        return int(main(job["arguments"]))
    if job["kind"] != "context-fbr":
        forked_stage._run_stage(job["kind"], job["arguments"], Path.cwd(), dict(os.environ))
        return 0
    forked_stage._forget(name for name in list(sys.modules) if name.partition(".")[0] in OURS)
    sys.path.insert(0, str(Path("src").resolve()))
    sys.argv = ["context-fbr", *job["arguments"]]
    dvc = importlib.import_module("context_fbr_tools.dvc.process")
    dvc.subprocess = SimpleNamespace(run=_dvc_of_a_command, Popen=subprocess.Popen)  # type: ignore[attr-defined]
    importlib.import_module("context_fbr_tools.cli").main()
    return 0


def _main() -> None:
    from context_fbr_tools.grid.start import forked_stage

    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        for name in ("stdout", "stderr"):
            Path(job["logs"], name).touch()
        pid = os.fork()
        if not pid:
            os.setsid()
            forked_stage.run_and_exit(partial(_work, job))
        end, done, status = time.monotonic() + job["patience_s"], 0, 0
        while not done and time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            time.sleep(0 if done else 0.005)
        if not done:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status) if done else "late", flush=True)


if __name__ == "__main__":
    _main()
