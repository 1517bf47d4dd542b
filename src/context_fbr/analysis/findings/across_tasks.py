"""Hypotheses that need the scores of two tasks; the stage `compare` asks them."""

from collections.abc import Collection

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.hypothesis import EXPLORATORY, Hypothesis
from context_fbr.analysis.findings.task_scores import TaskScores, enough, listed, scaled

WIDE = "_wide"
"""Ending of the task in which nothing but the training radii is wider."""


def is_widened(task: str, tasks: Collection[str]) -> bool:
    """Return true for a task that is another one with a wider range: it has no hypotheses of its own."""
    return task.endswith(WIDE) and task.removesuffix(WIDE) in tasks


def across_tasks(task: TaskScores, others: dict[str, TaskScores]) -> list[Hypothesis]:
    """Return the hypotheses of a task that need another one of `others`, of those that are there."""
    wide = others.get(task.name + WIDE)
    return [] if wide is None else [_wide_range(task, wide)]


def _wide_range(task: TaskScores, wide: TaskScores) -> Hypothesis:
    statement = "A wide range of training radii makes networks robust outside of the narrow range"
    terms: list[Term] = []
    cells: list[str] = []
    for model in (model for model in task.models if model in wide.models):
        for size in task.sizes(model):
            narrow = task.group(model, size, "below", "above")
            ratios = task.grouped[(task.grouped["model"] == model) & (task.grouped["patch_size"] == size)]
            rows = wide.of(model, size)
            if len(ratios):
                low, high = ratios[["low", "high"]].iloc[0]
                rows = rows[(rows["fg_ratio"] <= low) | (rows["fg_ratio"] >= high)]
            if len(rows) and enough(narrow, rows):
                terms += [Term(1, _other_cases(rows, narrow)), Term(-1, narrow)]
                cells.append(f"{name_of(model)} {listed([size])}")
    missing = "" if terms else "no patch size has test cases outside of the narrow range in both tasks"
    return Hypothesis(
        "wide_range",
        EXPLORATORY,
        statement,
        f"mean Dice of {wide.name} minus {task.name} on test cases outside of the range of {task.name}, "
        f"mean of {'; '.join(cells)}; robust: above 0",
        scaled(terms, 1 / max(1, len(cells))),
        missing=missing,
    )


def _other_cases(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Name each case after the case of the other task if it is the same volume, else after its own task."""
    ratios = others.groupby("filename")["fg_ratio"].first()
    task = str(rows["task"].iloc[0])
    base = rows["filename"].str.replace(task, task.removesuffix(WIDE), n=1, regex=False)
    same = base.map(ratios).eq(rows["fg_ratio"])
    return rows.assign(filename=base.where(same, task + ": " + rows["filename"]))
