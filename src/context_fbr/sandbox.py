"""A copy of the project as it is now, uncommitted changes included, with git and DVC cache of its own."""

import shutil
import subprocess
from pathlib import Path

from context_fbr.errors import UserError


def copy_project(target: Path, source: Path = Path()) -> None:
    """Copy what git tracks or would track in `source` into the new folder `target`, and commit it there.

    Raises:
        UserError: if `target` is there already, or `source` is no git repository.
    """
    if target.exists():
        raise UserError(f"{target}: is there already; remove it or name another folder")
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        raise UserError(f"{source.resolve()}: git cannot list its files: {listed.stderr.decode().strip()}")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (source / name).is_file():  # a tracked file may be deleted
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    # Not the user's commit: neither their name, signature nor hooks.
    settings = ("user.name=context-fbr", "user.email=context-fbr@localhost", "commit.gpgsign=false")
    git = [
        "git",
        "-C",
        str(target),
        *(word for s in (*settings, "core.hooksPath=/dev/null") for word in ("-c", s)),
    ]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Copy"]):
        subprocess.run([*git, *command], check=True)
