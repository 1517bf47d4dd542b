"""git and params.yaml."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from context_fbr.config.document import PARAMS_FILE, Document
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr.runtime import git
from context_fbr.runtime.entry import user_has_name
from context_fbr_tools.doctor.check_result import Result, Status, guarded
from context_fbr_tools.dvc import converted_files
from context_fbr_tools.grid import folders

if TYPE_CHECKING:
    from context_fbr.runtime.provenance import Origin

SHOWN = 4


def check() -> Iterator[Result]:
    """The parameters, and whether a result can be traced to a commit."""
    yield from guarded("params.yaml", lambda: [_params()])
    yield from guarded("git", _git)
    yield from guarded("line endings", _line_endings)
    yield from guarded("user", _user)
    yield from guarded("folders", _folders)


def git_result(origin: "Origin") -> Result:
    """What the provenance of a result made now would say."""
    if origin.revision is None:
        failure = git.git_problem()
        if failure:
            words, _, to_do = failure.partition("; run ")
            found = f"git fails: {words}; the provenance of results will name no commit"
            return Result("git", Status.DOUBTFUL, found, to_do or "look at `git status` here")
        found = "no commit here, or no git: the provenance of results will name none"
        return Result("git", Status.DOUBTFUL, found, "work in a clone of the repository, made by `git clone`")
    if origin.changed:
        count, shown = len(origin.changed), ", ".join(origin.changed[:SHOWN])
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        found = f"{origin.revision[:10]}, with uncommitted changes that provenance will name: {shown}{more}"
        return Result("git", Status.DOUBTFUL, found, "commit them before a run whose results are to be kept")
    return Result("git", Status.OK, f"{origin.revision[:10]}, code and parameters as committed")


def _git() -> Iterator[Result]:
    from context_fbr.runtime import provenance  # imports torch, without which the parameters can be checked

    yield git_result(provenance.start())


def _line_endings() -> Iterator[Result]:
    problem = converted_files.problem()
    if problem:
        found, _, to_do = problem.removeprefix("line endings: ").partition("; ")
        yield Result("line endings", Status.WRONG, found, to_do)


def _folders() -> Iterator[Result]:
    links = folders.linked_folders() if folders.PIPELINE.exists() else []
    if links:
        found, _, to_do = folders.problem(links).partition("; ")
        yield Result("folders", Status.WRONG, found, to_do)


def _user() -> Iterator[Result]:
    if not user_has_name():
        found = f"user {os.getuid()} has no name on this machine; {os.environ.get('USER')} is used here"
        yield Result("user", Status.DOUBTFUL, found, "for other programs: `export USER=NAME`, with any name")


def _params() -> Result:
    if not PARAMS_FILE.exists():
        found = f"{PARAMS_FILE}: not found in this folder"
        return Result("params.yaml", Status.WRONG, found, "run this in the root of the repository")
    try:
        study = read_study(Document.read())
    except UserError as error:
        return Result(
            "params.yaml", Status.WRONG, "; ".join(error.problems), "`context-fbr check` lists them"
        )
    return Result("params.yaml", Status.OK, f"valid, {len(study.grid.cells)} cells")
