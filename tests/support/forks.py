"""DVC, `context-fbr` and stages as forks of a process that has imported their libraries.

Nine tenths of a tiny study's time are imports and the check of the code. The project's own modules are imported
by each fork, from the folder that it runs in. `Workspace.run` starts real processes.
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
from typing import Any

import forked_module
import known_code

ROOT = Path(__file__).parents[2]
MODULES = (
    *("dvc.cli", "dvc.commands.repro", "dvc.repo.reproduce", "torch", "monai", "pandas", "scipy.stats"),
    *("scipy.ndimage", "matplotlib.backends.backend_agg", "nibabel", "pydantic", "ruamel.yaml", "psutil"),
)
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
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], patience_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS` in a folder."""
    with _lock, tempfile.TemporaryDirectory() as logs:
        if _server().poll() is not None:  # a test has killed it
            _server.cache_clear()
        server = _server()
        assert server.stdin
        assert server.stdout
        job = {
            "module": module, "arguments": [*arguments], "folder": str(folder), "environment": {**environment},
            "logs": logs, "patience_s": patience_s,
        }  # fmt: skip
        print(json.dumps(job), file=server.stdin, flush=True)
        status = server.stdout.readline().strip()
        said = [Path(logs, name).read_text(errors="replace") for name in ("stdout", "stderr")]
    assert status != "late", f"{module} {' '.join(arguments)}: not within {patience_s} s: {said}"
    return subprocess.CompletedProcess([module, *arguments], int(status), *said)


def _work(job: dict[str, Any], known: known_code.KnownCode) -> int | None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(job["logs"], name), os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    forked_module.fork_children(known)
    return forked_module.run(known, job["module"], job["arguments"])


def _main() -> None:
    from context_fbr_tools.grid.start import forked_stage

    for name in MODULES:
        importlib.import_module(name)
    import torch

    # On the meta device, where nothing is computed, PyTorch imports what else it needs.
    torch.nn.BatchNorm3d(1, device="meta")(torch.empty(2, 1, 2, 2, 2, device="meta"))
    known = known_code.of_this_checkout()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # a stage of a test ends soon
    for line in sys.stdin:
        job = json.loads(line)
        for name in ("stdout", "stderr"):
            Path(job["logs"], name).touch()
        pid = os.fork()
        if not pid:
            os.setsid()
            forked_stage.run_and_exit(partial(_work, job, known))
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
