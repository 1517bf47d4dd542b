"""A copy of the project as it is now, uncommitted changes included, with git and DVC cache of its own."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.runtime import git

SETTINGS = ("user.name=context-fbr", "user.email=context-fbr@localhost", "commit.gpgsign=false")
"""Options that keep the user's name, signature and hooks out of a commit."""


def copy_project(target: Path, source: Path | None = None) -> None:
    """Copy the files of `source` that git tracks or would track into a new folder `target`, and commit them.

    Args:
        target: complete, or not created at all.
        source: None is the current folder.

    Raises:
        UserError: if `target` is there already, `source` is not a git repository, or the system refuses.
    """
    refuse_existing(target)
    names = tracked_files(source)
    with atomic.directory(target) as folder:
        copy_files(names, source or Path(), folder)
        first_commit(folder, "Copy", target)


def refuse_existing(target: Path) -> None:
    """Check that there is nothing of this name; raises UserError if there is."""
    if os.path.lexists(target):
        raise UserError(f"{target}: is there already; remove it or name another folder")


def tracked_files(source: Path | None = None) -> list[str]:
    """Return the names of the files that git tracks or would track.

    Raises:
        UserError: if `source`, or the current folder, is not a git repository.
    """
    listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=source)
    if listed.returncode:
        root = (source or Path()).resolve()
        raise UserError(f"{root}: git cannot list its files: {git.reason(listed)}")
    return [name for name in os.fsdecode(listed.stdout).split("\0") if name]


def copy_files(names: Iterable[str], source: Path, folder: Path) -> None:
    """Copy files by their names relative to both folders; one that is missing is left out."""
    for name in names:
        if (source / name).is_file():  # a tracked file may be deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)


def first_commit(folder: Path, message: str, shown: Path) -> None:
    """Make a git repository of a folder, with all of its files in one commit.

    Args:
        folder: of the files.
        message: of the commit.
        shown: the folder as errors name it.

    Raises:
        UserError: if git fails.
    """
    options = [word for s in (*SETTINGS, "core.hooksPath=/dev/null") for word in ("-c", s)]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", message]):
        done = git.run(*options, *command, folder=folder)
        if done.returncode:
            raise UserError(f"{shown}: git {command[0]} failed: {git.reason(done)}; nothing was copied")
