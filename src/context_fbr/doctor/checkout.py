"""git and params.yaml."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from context_fbr.doctor.results import Result, Status, guarded
from context_fbr.errors import UserError
from context_fbr.study.document import PARAMS_FILE, Document
from context_fbr.study.whole import read_study

if TYPE_CHECKING:
    from context_fbr.provenance import Origin

SHOWN = 4


def check() -> Iterator[Result]:
    """The parameters, and whether a result can be traced to a commit."""
    yield from guarded("params.yaml", lambda: [_params()])
    yield from guarded("git", _git)


def git_result(origin: "Origin") -> Result:
    """What the provenance of a result made now would say."""
    if origin.revision is None:
        found = "no commit here, or no git: the provenance of results will name none"
        return Result("git", Status.DOUBTFUL, found, "work in a clone of the repository, made by `git clone`")
    if origin.changed:
        count, shown = len(origin.changed), ", ".join(origin.changed[:SHOWN])
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        found = f"{origin.revision[:10]}, with uncommitted changes that provenance will name: {shown}{more}"
        return Result("git", Status.DOUBTFUL, found, "commit them before a run whose results are to be kept")
    return Result("git", Status.OK, f"{origin.revision[:10]}, code and parameters as committed")


def _git() -> Iterator[Result]:
    from context_fbr import provenance  # imports torch, without which the parameters can be checked

    yield git_result(provenance.start())


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
