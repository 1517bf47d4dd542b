"""Check that dvc.lock describes this checkout: code, parameters, and the results that git holds.

Needs neither a DVC cache nor a remote. Results of the cache are compared by their entries in dvc.lock:
a stage must have read the outputs of the stage before it.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from context_fbr.core.errors import UserError, raise_problems
from context_fbr.runtime import git
from context_fbr_tools.dvc import converted_files, lockfile, process
from context_fbr_tools.dvc.lock_provenance import contradictions, folder_hash, outdated

ABSENT = ("deleted", "not in cache")
"""DVC's words for a result that is not here, as in every clone before `dvc pull`."""


def check() -> None:
    """Check that dvc.lock matches code, parameters and committed results.

    Raises:
        UserError: naming each stage, file and state, and what to do; or with DVC's own message, if DVC fails.
    """
    changes = process.changes()
    recorded = lockfile.entries()
    stages = process.stage_names()
    missing = [name for name in stages if name not in recorded]
    absent = [change for change in changes if change.state in ABSENT]
    cached = _ignored_by_git({change.what for change in absent})
    problems = [f"{name}: not in dvc.lock" for name in missing]
    problems += [
        f"{change.stage}: {change.what}: {change.state}"
        for change in changes
        if change.stage in recorded and not (change in absent and change.what in cached)
    ]
    known = {name: recorded[name] for name in stages if name in recorded}
    problems += inconsistencies(known)
    problems += contradictions(known)
    for warning in outdated(known):  # DVC took results from its cache: they are right, their record is not
        print(f"warning: {warning}", file=sys.stderr)
    if problems and (endings := converted_files.problem()):
        problems.append(endings)
    if problems:
        problems.append(
            "dvc.lock does not describe this checkout: run `make repro` (`context-fbr prune` before it, if"
            " cells left the grid), then commit dvc.lock, metrics and plots together"
        )
    raise_problems(problems)


def inconsistencies(recorded: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each recorded dependency that differs from the output of the stage that wrote it.

    Two merged versions of dvc.lock, or a cell that ran without the analysis after it, leave such entries. A
    folder of folders is left out: its hash does not follow from theirs.
    """
    outs = [out for entry in recorded.values() for out in entry.get("outs", ())]
    written = {out["path"]: out["md5"] for out in outs if "md5" in out}
    return [
        f"{name}: {path}: read in another state than the stages in dvc.lock wrote it"
        for name, entry in recorded.items()
        for path, md5 in ((dep["path"], dep.get("md5")) for dep in entry.get("deps", ()))
        if (expected := written.get(path) or folder_hash(path, written)) and md5 != expected
    ]


def _ignored_by_git(paths: Iterable[str]) -> set[str]:
    """Return the paths that git ignores and leaves to DVC.

    Raises:
        UserError: with git's own message, if git fails.
    """
    # With a slash as well: a pattern for folders does not match the name of a folder that is not there.
    asked = "".join(f"{path}\0{path}/\0" for path in sorted(paths))
    done = git.run("check-ignore", "--stdin", "-z", content=os.fsencode(asked))
    if done.returncode not in (0, 1):  # 1: none of them
        raise UserError(f"git check-ignore failed: {git.reason(done)}")
    return {name.removesuffix("/") for name in os.fsdecode(done.stdout).split("\0") if name}
