"""params.yaml, git, the user's name and the folders of results."""

import os
from collections.abc import Iterator, Sequence

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.runtime import git
from context_fbr.runtime.entry import user_has_name
from context_fbr_tools.doctor.check_result import Result, Status, shortened
from context_fbr_tools.dvc import arm_stages, converted_files
from context_fbr_tools.grid import folders


def git_result(revision: str | None, changed: Sequence[str]) -> Result:
    """Return what the provenance of a result would record now."""
    if revision is None:
        failure, _, fix = (git.git_problem() or "no commit, or no git").partition("; run ")
        found = f"{failure}: the provenance of results will name no commit"
        return Result("git", Status.WARNING, found, fix or "work in a clone made by `git clone`")
    if changed:
        found = f"{revision[:10]}, with uncommitted changes: {shortened(changed)}"
        return Result("git", Status.WARNING, found, "commit them before a run whose results you keep")
    return Result("git", Status.OK, f"{revision[:10]}, code and parameters as committed")


def _params() -> Iterator[Result]:
    study = read_study(Document.read())
    yield Result("params.yaml", Status.OK, f"valid, {len(study.cells)} cells")
    for problem in arm_stages.problems(study):
        yield Result("dvc.yaml", Status.ERROR, problem.text, "`context-fbr check` prints the lines of an arm")


def _git() -> Iterator[Result]:
    from context_fbr.runtime.provenance import DECIDE  # imports torch; the parameters are checked without it

    yield git_result(git.revision(), git.changed_files(DECIDE))


def _endings() -> Iterator[Result]:
    problem = converted_files.problem()
    if problem:
        found, _, fix = problem.removeprefix("line endings: ").partition("; ")
        yield Result("line endings", Status.ERROR, found, fix)


def _user() -> Iterator[Result]:
    if not user_has_name():
        found = f"user {os.getuid()} has no name on this machine; {os.environ.get('USER')} is used here"
        yield Result("user", Status.WARNING, found, "for other programs: `export USER=NAME`, with any name")


def _folders() -> Iterator[Result]:
    links = folders.linked_folders() if folders.PIPELINE.exists() else []
    if links:
        found, _, fix = folders.problem(links).partition("; ")
        yield Result("folders", Status.ERROR, found, fix)


CHECKS = {"params.yaml": _params, "git": _git, "line endings": _endings, "user": _user, "folders": _folders}
