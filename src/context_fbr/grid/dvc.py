"""DVC as other processes: what has changed, and run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from context_fbr.errors import UserError

COMMAND = (sys.executable, "-m", "dvc")


def environment() -> dict[str, str]:
    """This process's environment; the stages' `python` is the one that runs us, activated or not."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")])}


def changed_stages() -> set[str]:
    """Names of the stages that `dvc repro` would run; errors as in `stage_names`."""
    return set(json.loads(_ask("status", "--json")))


def stage_names() -> list[str]:
    """Every stage of dvc.yaml, in its order, matrices spelt out.

    Raises:
        UserError: with DVC's own words, if it cannot tell.
    """
    return _ask("stage", "list", "--name-only").split()


def repro(*arguments: str) -> bool:
    """Run `dvc repro ARGUMENTS` in this terminal; True if it succeeded."""
    print(f"$ dvc repro {' '.join(arguments)}", flush=True)
    return call("repro", *arguments) == 0


def call(*arguments: str) -> int:
    """Run DVC in this terminal; its exit status."""
    return subprocess.run([*COMMAND, *arguments], env=environment(), check=False).returncode


def _ask(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise UserError(f"dvc {' '.join(arguments)} failed: {said}")
    return done.stdout
