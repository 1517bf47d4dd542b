"""What software made a result: the commit, what differs from it, and the versions of packages."""

import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def revision(folder: Path = Path()) -> str | None:
    """The commit of the checkout around a folder; None outside of git."""
    return _git(folder, "rev-parse", "--verify", "--quiet", "HEAD").strip() or None


def changed_files(paths: Iterable[str], folder: Path = Path()) -> tuple[str, ...]:
    """Files below some paths of the checkout that differ from its commit, new ones among them."""
    return tuple(line[3:] for line in _git(folder, "status", "--porcelain", "--", *paths).splitlines())


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The installed version of each package, None for those that are not installed."""
    return {name: _version(name) for name in packages}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
