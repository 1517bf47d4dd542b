"""The last line of a run: whether its results are those of the commit."""

from pathlib import Path

from context_fbr.runtime import git

RESULTS = ("dvc.lock", "data/code", "metrics", "plots")
MAX_NAMED = 8


def against_commit(folder: Path | None = None) -> str:
    """Return one line that says which results differ from those of the commit around a folder.

    dvc.lock holds the hash of every model, prediction and table, also of those that git does not keep.
    """
    commit = git.revision(folder)
    if commit is None:
        return "the study is up to date; there is no commit to compare its results with"
    options = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    done = git.run("status", *options, "--", *RESULTS, folder=folder)
    if done.returncode:
        return f"the study is up to date; git cannot compare its results: {git.reason(done)}"
    names = [line[3:] for line in done.stdout.decode(errors="backslashreplace").split("\0") if line]
    if not names:
        return f"the study is up to date; all results are identical to those of commit {commit[:10]}"
    more = f" and {len(names) - MAX_NAMED} others" if len(names) > MAX_NAMED else ""
    return (
        f"the study is up to date; {len(names)} files differ from commit {commit[:10]}: "
        f"{', '.join(names[:MAX_NAMED])}{more}; `context-fbr diff HEAD` says what changed"
    )
