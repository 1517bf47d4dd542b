"""What the evidence says to each published claim and to each rival explanation.

A finding is a statement, a statistic that would bear it out, its interval and a verdict. A claim of a
direction is supported if the whole interval lies above 0 and contradicted if it lies below; a claim that
something is small is held against `analysis.small_loss` in the same way. Anything else is not decided, and so
is a verdict that the converged cells alone do not reach: a training that failed says nothing about context.
"""

from dataclasses import dataclass

import pandas as pd

from context_fbr.analysis.confidence_intervals import NOT_DECIDED, UNDEFINED, Interval, interval
from context_fbr.analysis.hypotheses import Hypothesis, hypotheses
from context_fbr.analysis.observations import Evidence
from context_fbr.config.analysis import Analysis


@dataclass(frozen=True)
class Finding:
    """A statement and what the evidence says to it."""

    id: str
    task: str
    kind: str
    statement: str
    statistic: str
    """What was computed."""
    unit: str
    """Dice, or voxels."""
    estimate: float | None
    low: float | None
    high: float | None
    converged_estimate: float | None
    """The same with the converged cells alone, and its limits."""
    converged_low: float | None
    converged_high: float | None
    verdict: str
    cells: int
    not_converged: int | None
    reason: str
    """Why nothing was decided, where that is not the interval's doing."""


def findings(evidence: Evidence, settings: Analysis) -> list[Finding]:
    """All findings, in the order of tasks and claims."""
    sound = evidence.converged_only()
    again = {
        (task, question.id): _interval(question, task, sound, settings.confidence)
        for task, question in hypotheses(sound, settings.small_loss)
    }
    return [
        _answer(question, task, evidence, settings.confidence, again.get((task, question.id), UNDEFINED))
        for task, question in hypotheses(evidence, settings.small_loss)
    ]


def _interval(question: Hypothesis, task: str, evidence: Evidence, confidence: float) -> Interval:
    if not question.terms:
        return UNDEFINED
    return interval(question.terms, question.score, confidence, nested=task in evidence.nested)


def _answer(
    question: Hypothesis, task: str, evidence: Evidence, confidence: float, converged: Interval
) -> Finding:
    terms = question.terms
    found = _interval(question, task, evidence, confidence)
    rows = pd.concat([term.rows for term in terms]) if terms else evidence.scores.iloc[:0]
    verdict = NOT_DECIDED if found.low is None else question.judge(found)
    if found.estimate is None:
        reason = question.missing
    else:
        reason = "" if found.low is not None else "a single training or test case has no interval"
    alone = NOT_DECIDED if converged.low is None else question.judge(converged)
    if verdict != NOT_DECIDED and alone != verdict:
        reason = f"{verdict} only if cells count that have not converged"
        verdict = NOT_DECIDED
    cells = rows.loc[rows["seed"].notna(), ["model", "patch_size", "seed"]].drop_duplicates()
    return Finding(
        id=question.id,
        task=task,
        kind=question.kind,
        statement=question.statement,
        statistic=question.statistic,
        unit="Dice" if question.score == "dsc" else "voxels",
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        converged_estimate=converged.estimate,
        converged_low=converged.low,
        converged_high=converged.high,
        verdict=verdict,
        cells=len(cells),
        not_converged=evidence.not_converged(rows),
        reason=reason,
    )
