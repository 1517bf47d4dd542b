"""`python -m MODULE`, of DVC or of this project, in a fork of a process that has imported their libraries."""

import importlib
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from known_code import KnownCode, parse_once

OURS = ("context_fbr", "context_fbr_tools")
CODE_STAGE = "context_fbr.runtime.code_digest"


def run(known: KnownCode, name: str, arguments: Sequence[str]) -> int | None:
    """Be `python -m NAME ARGUMENTS` in this folder, with the folder's own modules of the project."""
    from tqdm import tqdm

    from context_fbr_tools.grid.start import forked_stage

    tqdm.monitor_interval = 0  # its thread would be in the way of a fork
    fork_stages = SimpleNamespace(run_module=partial(_run_module, known))
    forked_stage.runpy = fork_stages  # type: ignore[attr-defined]
    forked_stage.install()
    sys.argv = ["context-fbr" if name == "context_fbr_tools" else name, *arguments]
    if name == "dvc":
        return int(importlib.import_module("dvc.cli").main([*arguments]))
    forked_stage._forget(module for module in list(sys.modules) if module.partition(".")[0] in OURS)
    sys.path[:0] = [
        str(Path(folder).resolve()) for folder in (".", *os.environ.get("PYTHONPATH", "").split(os.pathsep))
    ]
    importlib.invalidate_caches()
    importlib.import_module("context_fbr_tools.grid.start.forked_stage").runpy = fork_stages  # type: ignore[attr-defined]
    _run_module(known, name, run_name="__main__", alter_sys=True)
    return 0


def _run_module(known: KnownCode, name: str, **options: Any) -> None:
    known.use()
    parse_once()
    if name == CODE_STAGE:  # a second copy of the module would parse everything
        run_command = importlib.import_module("context_fbr.runtime.entry").run_command
        run_command(importlib.import_module(name).main)
    sys.modules.pop(name, None)  # runpy would warn of it
    runpy.run_module(name, **options)


def fork_children(known: KnownCode) -> None:
    """Let this process and its forks start DVC and the project's own modules as forks, too."""
    subprocess.Popen = type("Popen", (_Popen,), {"known": known})  # type: ignore[misc]


class _Popen(subprocess.Popen[Any]):
    """A process that is forked, if it can be, in place of a new one."""

    known: KnownCode

    def _execute_child(self, *given: Any) -> None:
        options = signature(super()._execute_child).bind(*given).arguments  # type: ignore[misc]
        command = options["args"]
        own = isinstance(command, list | tuple) and [*command[:2]] == [sys.executable, "-m"]
        if not own or command[2].partition(".")[0] not in ("dvc", *OURS) or threading.active_count() > 1:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        from context_fbr_tools.grid.start import forked_stage

        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            forked_stage.run_and_exit(partial(self._begin, **options))
        self._child_created = True
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(options[name] for name in names))  # type: ignore[attr-defined]

    def _begin(self, *, args: Sequence[str], pass_fds: Sequence[int], **options: Any) -> int | None:
        if options["start_new_session"]:
            os.setsid()
        for number, name in enumerate(("p2cread", "c2pwrite", "errwrite")):
            if options[name] != -1:
                os.dup2(options[name], number)
        for file in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            if file > 2 and file not in pass_fds:
                with suppress(OSError):
                    os.close(file)
        if options["cwd"] is not None:
            os.chdir(options["cwd"])
        if options["env"] is not None:
            environment = dict(options["env"])
            os.environ.clear()
            os.environ.update(environment)
        return run(self.known, args[2], args[3:])
