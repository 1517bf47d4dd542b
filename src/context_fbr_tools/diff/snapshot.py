"""The project's files as they were at a commit, or as they are now. Nothing but git is asked."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from context_fbr.core import bounded
from context_fbr.core.errors import UserError
from context_fbr.runtime import git

WORKSPACE = "workspace"
METRICS = "metrics"
MOST_BYTES = 32 * 2**20
"""Greatest size of a file that is compared."""
_HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


@dataclass(frozen=True)
class Snapshot:
    """The project at a commit, or the folder with its uncommitted changes."""

    name: str
    """Name that the user gave."""
    commit: str | None
    """The full hash; None is the folder as it is now."""

    def __str__(self) -> str:
        if self.commit is None:
            return self.name
        return self.commit[:7] if self.commit.startswith(self.name) else f"{self.name} ({self.commit[:7]})"

    def read(self, path: str) -> bytes | None:
        """A file, relative to the current folder; None if it was not there.

        Raises:
            UserError: if it is there and cannot be read.
        """
        if self.commit is None:
            try:
                return bounded.read(Path(path), MOST_BYTES)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        place = f"{self.commit}:./{path}"
        size = _git("cat-file", "-s", place)
        if size.returncode:
            return None
        if int(size.stdout) > MOST_BYTES:
            raise UserError(f"{self.place(path)}: holds more than {MOST_BYTES:,} bytes")
        return _checked("cat-file", "blob", place)

    def tables(self, name: str) -> list[str]:
        """Return the paths metrics/TASK/NAME of all tasks; of a commit without any, metrics/NAME."""
        if self.commit is None:
            paths = [path.as_posix() for path in Path(METRICS).glob(f"*/{name}")]
        else:
            listed = _checked("ls-tree", "-r", "-z", "--name-only", self.commit, "--", f"{METRICS}/")
            paths = [
                path for path in listed.decode(errors="replace").split("\0") if path.endswith(f"/{name}")
            ]
        of_tasks = [path for path in paths if path.count("/") == 2 and path != f"{METRICS}/published/{name}"]
        return sorted(of_tasks) or [f"{METRICS}/{name}"]

    def text(self, path: str) -> str | None:
        """Return the text of a file; see `read`."""
        content = self.read(path)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{self.place(path)}: is no text: {error}") from error

    def place(self, path: str) -> str:
        """Return the name of a file of this snapshot in an error."""
        return path if self.commit is None else f"{self.commit[:7]}:{path}"


def snapshot(name: str | None) -> Snapshot:
    """Find a revision (branch, tag, hash, HEAD~1 ...); without a name the folder as it is now.

    Raises:
        UserError: if this is no git repository, or the revision is not in it.
    """
    _checked("rev-parse", "--git-dir")
    if name is None:
        return Snapshot(WORKSPACE, None)
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode == 0:
        return Snapshot(name, found.stdout.decode().strip())
    if _checked("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise UserError(
            f"{name}: is not in this clone, which is shallow; fetch its history with "
            f"`git fetch --unshallow`, or {_less_than_all(name)}"
        )
    raise UserError(
        f"{name}: is no commit, branch or tag of this clone; `git fetch` may bring it, see `git log`"
    )


def _less_than_all(name: str) -> str:
    """Return how to fetch a commit that a shallow clone lacks, without all of its history."""
    if _HASH.fullmatch(name):
        return f"that commit alone with `git fetch --depth 1 origin {name}`"
    if _NAME.fullmatch(name) and not name.startswith("HEAD"):
        return f"that branch or tag alone with `git fetch --depth 1 origin {name}:{name}`"
    return "a part of it with `git fetch --deepen 50`"  # HEAD~1 is no name that a server knows


def changed_files(base: Snapshot, head: Snapshot) -> list[str]:
    """Files below the current folder that differ, sorted; new and deleted ones too.

    `base` is a commit.
    """
    assert base.commit is not None
    commits = [base.commit, *([head.commit] if head.commit else [])]
    listed = _checked("diff", "--name-only", "--no-renames", "--relative", "-z", *commits, "--", ".")
    if head.commit is None:
        listed += _checked("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    return sorted({name for name in listed.decode().split("\0") if name})


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return git.run(*arguments)


def _checked(*arguments: str) -> bytes:
    done = _git(*arguments)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
