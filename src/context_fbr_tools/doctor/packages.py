"""Installed packages: `pip check`, and the versions that made the results (constraints.txt)."""

import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from context_fbr.runtime import git
from context_fbr_tools.doctor.check_result import Result, Status

INSTALL = "`pip install -c constraints.txt -e .`"


def pip_result(status: int, output: str) -> Result:
    """Return the result of `pip check`: an error where a requirement of this project itself is not met."""
    lines = output.splitlines()
    found = f"Python {platform.python_version()}: {'; '.join(lines) or 'pip cannot be run'}"
    if status == 0:
        return Result("packages", Status.OK, found)
    is_ours = any(line.startswith("context-fbr ") for line in lines)
    return Result("packages", Status.ERROR if is_ours else Status.WARNING, found, INSTALL)


def versions_result(pinned: Mapping[str, str], installed: Mapping[str, str | None]) -> Result:
    """Compare versions; the suffix of a build, as in 2.13.0+cpu, is ignored."""
    pairs = [(name, version, pinned.get(name)) for name, version in installed.items() if version]
    differ = [f"{name} {version}, not {pin}" for name, version, pin in pairs if version.split("+")[0] != pin]
    if differ:
        found = f"{'; '.join(differ)}: results may differ in bits"
        return Result("versions", Status.WARNING, found, INSTALL)
    return Result("versions", Status.OK, f"{', '.join(installed)} as in constraints.txt")


def _pip_check() -> Iterator[Result]:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    yield pip_result(done.returncode, done.stdout)


def _versions() -> Iterator[Result]:
    from context_fbr.runtime.provenance import PACKAGES  # imports torch

    pins = re.findall(r"(?m)^([\w.-]+)==([\w.]+)", Path("constraints.txt").read_text("utf-8"))
    yield versions_result(dict(pins), git.versions(PACKAGES))


CHECKS = {"packages": _pip_check, "versions": _versions}
