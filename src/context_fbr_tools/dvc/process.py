"""DVC as other processes: what has changed, and run it."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from context_fbr.core.errors import UserError
from context_fbr.runtime import orphans

POLL_S = 0.1
STOPPING = "stopping: finished work is kept, run the same command to resume"
COMMAND = (sys.executable, "-m", "context_fbr_tools.dvc.patched.run")


def environment() -> dict[str, str]:
    """This process's environment; the stages' `python` is the one that runs us, and they end with us."""
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    return {**os.environ, **orphans.child_environment(), "PATH": path}


@dataclass(frozen=True)
class Change:
    """One thing in which a stage differs from its entry in dvc.lock."""

    stage: str
    what: str
    """A path, `params.yaml: train`, or `command`."""
    state: str
    """DVC's word: modified, deleted, not in cache, new, changed."""


def changes() -> list[Change]:
    """Return the output of `dvc status` for every stage; errors as in `stage_names`."""
    found: list[Change] = []
    for stage, entries in json.loads(ask("status", "--json")).items():
        for entry in entries:
            if isinstance(entry, str):  # `changed command`, `always changed`
                state, _, what = entry.partition(" ")
                found.append(Change(stage, what, state))
                continue
            for files in entry.values():  # of `changed deps` and `changed outs`
                for path, state in files.items():
                    if isinstance(state, dict):  # a file of parameters
                        found += [Change(stage, f"{path}: {key}", of_key) for key, of_key in state.items()]
                    else:
                        found.append(Change(stage, path, state))
    return found


def changed_stages() -> set[str]:
    """Names of the stages that `dvc repro` would run; errors as in `stage_names`."""
    return {change.stage for change in changes()}


def stage_names() -> list[str]:
    """Return every stage of dvc.yaml, in its order, matrices expanded.

    Raises:
        UserError: with DVC's own message, if DVC fails.
    """
    return ask("stage", "list", "--name-only").split()


def repro(*arguments: str) -> bool:
    """Run `dvc repro ARGUMENTS` in this terminal; True if it succeeded."""
    print(f"$ dvc repro {' '.join(arguments)}", flush=True)
    with subprocess.Popen([*COMMAND, "repro", *arguments], env=environment()) as process:
        try:
            return process.wait() == 0
        except KeyboardInterrupt:
            print(STOPPING, flush=True)
            # DVC takes no signal while a stage runs, and with `-k` it continues with the next one. It is not
            # killed itself: that may leave half of dvc.lock.
            while process.poll() is None:
                terminate_stages(process.pid)
                time.sleep(POLL_S)
            raise


def terminate_stages(pid: int) -> None:
    """Send SIGTERM to all that a process of DVC has started and that runs; they save their work and end."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.terminate()


def call(*arguments: str) -> int:
    """Run DVC in this terminal; its exit status."""
    return subprocess.run([*COMMAND, *arguments], env=environment(), check=False).returncode


def ask(*arguments: str) -> str:
    """Return what a command of DVC prints; errors as in `stage_names`."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise UserError(f"dvc {' '.join(arguments)} failed: {said}")
    return done.stdout
