"""What software made a result: the commit, what differs from it, and the versions of packages."""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from context_fbr import git

REVISION = ("rev-parse", "--verify", "--quiet", "HEAD")


def revision(folder: Path | None = None) -> str | None:
    """Return the commit of the checkout around a folder, or the current one; None outside of git.

    None as well where git fails otherwise, with a warning that has git's words.
    """
    done = git.run(*REVISION, folder=folder)
    problem = git_problem(folder)
    if problem:
        _warn(problem)
    return done.stdout.decode().strip() or None


def git_problem(folder: Path | None = None) -> str | None:
    """Return why git cannot name the commit, with what to do; None if it can, or nothing is there to name."""
    done = git.run(*REVISION, folder=folder)
    if done.returncode in (0, 1) or git.is_absent(done):  # 1: there is no commit yet
        return None
    return git.reason(done)


def changed_files(paths: Iterable[str], folder: Path | None = None) -> tuple[str, ...]:
    """Return the files below some paths of the checkout that differ from its commit, new ones among them.

    None where git fails, with a warning, unless `revision` has given it.
    """
    done = git.run("status", "--porcelain", "--", *paths, folder=folder)
    if done.returncode and not git.is_absent(done) and not git_problem(folder):
        _warn(git.reason(done))
    return tuple(line[3:] for line in done.stdout.decode(errors="backslashreplace").splitlines())


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The installed version of each package, None for those that are not installed."""
    return {name: _version(name) for name in packages}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _warn(reason: str) -> None:
    print(f"warning: git: {reason}; what this computes will name no commit", file=sys.stderr, flush=True)
