"""git as another process, the commit of a checkout, and the versions of installed packages.

A hook of git's gets variables such as GIT_DIR and GIT_INDEX_FILE, which hold for every git below it. They are
right for the repository of the current folder, and wrong for a copy or a clone.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OF_ONE_REPOSITORY = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
"""`git rev-parse --local-env-vars`, and others that git sets; without the settings of `git -c`."""
NOT_FOUND = 127
REVISION = ("rev-parse", "--verify", "--quiet", "HEAD")


def environment() -> dict[str, str]:
    """Return this process's environment for programs that work on another repository."""
    return {name: value for name, value in os.environ.items() if name not in OF_ONE_REPOSITORY}


def run(
    *arguments: str, folder: Path | None = None, content: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git and return what it printed, in English; its exit status is 127 if there is no git.

    Args:
        arguments: of git.
        folder: of another repository, on which the variables of a hook have no effect; None is the current
            folder, on which they have.
        content: for its standard input.
    """
    command = ["git", *(["-C", str(folder)] if folder else []), *arguments]
    own = environment() if folder else dict(os.environ)
    try:
        return subprocess.run(
            command, env={**own, "LC_ALL": "C"}, input=content, capture_output=True, check=False
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, NOT_FOUND, b"", f"git: {error.strerror}".encode())


def reason(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return git's words for a failure in one line, with the command that git itself names as the remedy."""
    lines = [line.strip() for line in done.stderr.decode(errors="backslashreplace").splitlines()]
    words = next(filter(None, lines), f"exit status {done.returncode}").removeprefix("fatal: ")
    remedy = next((line for line in lines if line.startswith("git config ")), None)
    return f"{words}; run `{remedy}`" if remedy else words


def is_absent(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Return true if git failed because there is no git, or no repository around the folder."""
    return done.returncode == NOT_FOUND or b"not a git repository" in done.stderr


def revision(folder: Path | None = None) -> str | None:
    """Return the commit of the checkout around a folder, or the current one; None outside of git.

    None as well where git fails otherwise, with a warning that has git's words.
    """
    done = run(*REVISION, folder=folder)
    problem = git_problem(folder)
    if problem:
        _warn(problem)
    return done.stdout.decode().strip() or None


def git_problem(folder: Path | None = None) -> str | None:
    """Return why git cannot name the commit, with what to do; None if it can, or nothing is there to name."""
    done = run(*REVISION, folder=folder)
    if done.returncode in (0, 1) or is_absent(done):  # 1: there is no commit yet
        return None
    return reason(done)


def changed_files(paths: Iterable[str], folder: Path | None = None) -> tuple[str, ...]:
    """Return the files below some paths of the checkout that differ from its commit, new ones among them.

    None where git fails, with a warning, unless `revision` has given it.
    """
    done = run("status", "--porcelain", "--", *paths, folder=folder)
    if done.returncode and not is_absent(done) and not git_problem(folder):
        _warn(reason(done))
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
