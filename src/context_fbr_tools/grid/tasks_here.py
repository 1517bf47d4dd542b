"""Tasks whose data are on this machine; the others are skipped by name, with the reason."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

from context_fbr.config.study import Study
from context_fbr.core.errors import UserError
from context_fbr.datasets.archive import unavailable
from context_fbr_tools.dvc import process as dvc
from context_fbr_tools.dvc.stages import INPUT_STAGES

FOLLOWING = ("analyze", "overlay")
"""Stages of a task that follow from its cells."""


def bring(study: Study, consequence: str) -> tuple[str, ...]:
    """Make what cells read, and return the tasks that have it.

    Args:
        study: the parameters.
        consequence: of a failure, for the message.

    Raises:
        UserError: if a stage failed for another reason than missing data, or no task has its data.
    """
    tasks = study.study_cells.tasks
    unavailable.forget()
    if dvc.repro("-k", *INPUT_STAGES):
        return tasks
    changed = dvc.changed_stages()
    without = skipped(tasks, changed)
    failed = [name for name in sorted(changed) if name.partition("@")[0] in INPUT_STAGES]
    failed = [name for name in failed if name.partition("@")[2] not in without]
    if failed or len(without) == len(tasks):
        raise UserError(f"{', '.join(failed or without)}: the data failed, see above; {consequence}")
    announce(without)
    return tuple(task for task in tasks if task not in without)


def skipped(tasks: Sequence[str], changed: Set[str]) -> dict[str, str]:
    """Return the tasks that have no data on this machine, each with the reason.

    Args:
        tasks: that were asked for since `unavailable.forget`.
        changed: stages that DVC would run.
    """
    noted = unavailable.reasons()
    return {task: noted[task] for task in tasks if task in noted and f"raw@{task}" in changed}


def announce(without: Mapping[str, str]) -> None:
    """Print each skipped task and the reason."""
    for task, reason in without.items():
        print(f"{task}: skipped, because its data are not here: {reason}", flush=True)


def computed_elsewhere(tasks: Iterable[str]) -> list[str]:
    """Return the tasks with committed results: a comparison without them would replace one with them."""
    return [task for task in tasks if Path("metrics", task).exists()]


def last_stages(
    tasks: Sequence[str], alone: bool, compared: bool, known: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the arguments of the last `dvc repro` of a run.

    Args:
        tasks: that are up to date but for what follows from their cells.
        alone: only what follows from the cells of these tasks; otherwise all of the study.
        compared: the tasks, too, in the first case.
        known: every stage, for the first case; a study of your own has no `paper`. None: DVC is asked.

    Returns:
        Empty if nothing follows: without a name, DVC would run the whole pipeline.
    """
    if not alone:
        return ("-k",)
    names = [f"{kind}@{task}" for task in tasks for kind in FOLLOWING]
    names += [*(["compare"] if compared else []), "paper"]
    stages = dvc.stage_names() if known is None else known
    there = [name for name in names if name in stages]
    return ("-s", "-k", *there) if there else ()
