"""Controls: cells in which hit - false has to be 0, because nothing tells the two balls apart.

A control is contradicted if its interval excludes 0, and supported if it has 0 and is within small limits.
"""

from collections.abc import Sequence

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.context.context_scores import EQUAL, ContextScores
from context_fbr.analysis.findings.context.primary import names
from context_fbr.analysis.findings.hypothesis import CONTROL, Claim, Hypothesis
from context_fbr.analysis.findings.task_scores import enough
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.analysis.tables.core_cells import CONTEXT
from context_fbr.analysis.tables.variants import REMOVED

BLIND = ("per_voxel", "receptive_field_7")
"""Models whose receptive field ends before the shells, but for the rims of balls with the nearest ones."""


def controls(task: ContextScores, equal: ContextScores | None) -> list[Hypothesis]:
    """Return all of a task that needs context.

    Args:
        task: whose scores are asked.
        equal: the task of the same name with the ending `EQUAL`, if there is one.
    """
    return [
        _shells_removed(task),
        *(_blind(task, model) for model in BLIND),
        _equal_shells(task, equal),
    ]


def _shells_removed(task: ContextScores) -> Hypothesis:
    statement = "Without shells no network tells the balls apart"
    _, networks = task.at_equal_core
    rows = task.variants[
        (task.variants["variant"] == REMOVED)
        & task.variants["network"].isin(networks)
        & (task.variants["core"] == task.variants["patch_size"])
    ]
    text = f"mean hit - false of volumes without shells, mean of all patch sizes of {names(networks)}"
    return _control("shells_removed", statement, text, rows, task.small, "no volumes without shells")


def _blind(task: ContextScores, model: str) -> Hypothesis:
    name = name_of(model)
    statement = f"A network that sees no shell tells nothing apart: {name}"
    text = f"mean hit - false of {name}"
    return _control(model, statement, text, task.model(model), task.small, f"no {name}")


def _equal_shells(task: ContextScores, equal: ContextScores | None) -> Hypothesis:
    statement = "Trained and tested with equal shells, no network tells the balls apart"
    rows = task.cells.iloc[:0] if equal is None else equal.cells
    text = f"mean hit - false of task {task.name}{EQUAL}"
    return _control("equal_shells", statement, text, rows, task.small, f"no task {task.name}{EQUAL}")


def _control(
    name: str, statement: str, statistic: str, rows: pd.DataFrame, small: float, absent: str
) -> Hypothesis:
    """Return the control that the mean over configurations is 0."""
    groups: Sequence[pd.DataFrame] = [own for _, own in rows.groupby(CONFIG_COLUMNS, sort=False)]
    if not groups or not enough(*groups):
        return Hypothesis(name, CONTROL, statement, "", missing=absent)
    terms = [Term(1 / len(groups), own) for own in groups]
    claim = Claim(-small, small, zero=True)
    text = f"{statistic}; 0 is in its interval, which is between -{small} and {small}"
    return Hypothesis(name, CONTROL, statement, text, terms, claim, CONTEXT)
