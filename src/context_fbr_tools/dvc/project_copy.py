"""A copy of the project as it is now, uncommitted changes included, with git and DVC cache of its own."""

import os
import shutil
from pathlib import Path

from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.runtime import git

SETTINGS = ("user.name=context-fbr", "user.email=context-fbr@localhost", "commit.gpgsign=false")
"""Not the user's commit: neither their name, signature nor hooks."""


def copy_project(target: Path, source: Path | None = None) -> None:
    """Copy the files of `source` that git tracks or would track into a new folder `target`, and commit them.

    Args:
        target: complete, or not created at all.
        source: None is the current folder.

    Raises:
        UserError: if `target` is there already, `source` is not a git repository, or the system refuses.
    """
    if os.path.lexists(target):
        raise UserError(f"{target}: is there already; remove it or name another folder")
    root = source or Path()
    listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=source)
    if listed.returncode:
        raise UserError(f"{root.resolve()}: git cannot list its files: {git.reason(listed)}")
    with atomic.directory(target) as folder:
        for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
            if (root / name).is_file():  # a tracked file may be deleted
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        options = [word for s in (*SETTINGS, "core.hooksPath=/dev/null") for word in ("-c", s)]
        for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Copy"]):
            done = git.run(*options, *command, folder=folder)
            if done.returncode:
                raise UserError(f"{target}: git {command[0]} failed: {git.reason(done)}; nothing was copied")
