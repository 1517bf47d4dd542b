"""The last line of a run: whether its results are those of the commit."""

import subprocess
from pathlib import Path

from context_fbr import software

RESULTS = ("dvc.lock", "metrics", "plots")
MAX_NAMED = 8


def against_commit(folder: Path = Path()) -> str:
    """Return one line that says which results differ from those of the commit around a folder.

    dvc.lock holds the hash of every model, prediction and table, so that it stands for all that git does not
    keep.
    """
    commit = software.revision(folder)
    if commit is None:
        return "the study is up to date; there is no commit to compare its results with"
    command = ["git", "-C", str(folder), "status", "--porcelain=v1", "-z", "--no-renames", "--", *RESULTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"the study is up to date; git cannot compare its results: {done.stderr.strip()}"
    names = [line[3:] for line in done.stdout.split("\0") if line]
    if not names:
        return f"the study is up to date; all results are identical to those of commit {commit[:10]}"
    more = f" and {len(names) - MAX_NAMED} others" if len(names) > MAX_NAMED else ""
    return (
        f"the study is up to date; {len(names)} files differ from commit {commit[:10]}: "
        f"{', '.join(names[:MAX_NAMED])}{more}; `context-fbr diff HEAD` says what changed"
    )
