"""Findings: each hypothesis of a task with its magnitude, its verdict, and what the verdict depends on.

Two hypotheses of a task are primary and stand for themselves: each is tested at the confidence of the study.
The exploratory ones that can be asked are corrected together (holm.py). docs/hypotheses.md states them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from context_fbr.analysis.confidence_intervals import NOT_DECIDED, UNDEFINED, Interval, Term, interval
from context_fbr.analysis.findings.across_tasks import across_tasks, is_widened
from context_fbr.analysis.findings.exploratory import exploratory
from context_fbr.analysis.findings.holm import adjusted, p_value, step_down
from context_fbr.analysis.findings.hypothesis import EXPLORATORY, PRIMARY, SURFACE, Evaluate, Hypothesis
from context_fbr.analysis.findings.influence import deciding_case
from context_fbr.analysis.findings.primary import primary
from context_fbr.analysis.findings.task_scores import tasks
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.analysis.summary import number
from context_fbr.config.analysis import Analysis


@dataclass(frozen=True)
class PartFinding:
    """One of the statistics that have to agree, for example of one pair of models."""

    name: str
    estimate: float | None
    low: float | None
    high: float | None
    verdict: str
    """Of this part alone, at the confidence of the study."""


@dataclass(frozen=True)
class Finding:
    """A statement and what the evidence says about it."""

    id: str
    task: str
    role: str
    """primary, or exploratory."""
    statement: str
    statistic: str
    """What was computed."""
    estimate: float | None
    low: float | None
    """Limits at the confidence of the study, not corrected."""
    high: float | None
    p: float | None
    """Smallest alpha at which there is a verdict; None without limits."""
    p_holm: float | None
    """Corrected over the exploratory findings of the task; None for a primary one."""
    verdict: str
    """supported, contradicted, or not decided."""
    parts: tuple[PartFinding, ...]
    surface_estimate: float | None
    """The same by surface Dice, and its limits; None where there is none."""
    surface_low: float | None
    surface_high: float | None
    surface_verdict: str | None
    """At the confidence of the study."""
    published_estimate: float | None
    """The same of the published results, as far as they have it, and its limits."""
    published_low: float | None
    published_high: float | None
    published_statistic: str | None
    depends_on_case: str | None
    """A test case without which the verdict is another one; None if there is none."""
    cells: int
    not_converged: int | None
    reason: str
    """Why nothing is decided, where that is not the interval's doing."""


@dataclass(frozen=True)
class NotAsked:
    """A hypothesis that the study has no data for."""

    id: str
    task: str
    role: str
    statement: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """All findings of a study."""

    findings: tuple[Finding, ...]
    not_asked: tuple[NotAsked, ...]

    def tree(self, confidence: float) -> dict[str, Any]:
        """Return findings.json."""
        return {
            "confidence": confidence,
            "findings": [_rounded(asdict(finding)) for finding in self.findings],
            "not_asked": [asdict(absent) for absent in self.not_asked],
        }


Published = Mapping[str, Mapping[str, Any]]
"""By id of a hypothesis, the published estimate, low, high and statistic, of tasks by name."""


def findings(
    evidence: Evidence, settings: Analysis, published: Mapping[str, Published] | None = None
) -> Findings:
    """Ask every hypothesis of every task that needs no other task.

    Args:
        evidence: of this study, or of the published one.
        settings: names of pairs, limits and confidence.
        published: magnitudes by task and hypothesis, of metrics/published/magnitudes.json.
    """
    return _asked(_hypotheses(evidence, settings), evidence, settings, published or {})


def findings_across(evidence: Evidence, settings: Analysis) -> Findings:
    """Ask every hypothesis that needs two of the tasks; Holm's correction is over those of a task."""
    return _asked(_hypotheses_across(evidence, settings), evidence, settings, {})


def _asked(
    by_task: Mapping[str, Sequence[Hypothesis]],
    evidence: Evidence,
    settings: Analysis,
    published: Mapping[str, Published],
) -> Findings:
    asked: list[Finding] = []
    absent: list[NotAsked] = []
    for task, hypotheses in by_task.items():
        known = [hypothesis for hypothesis in hypotheses if hypothesis.terms]
        absent += [NotAsked(h.id, task, h.role, h.statement, h.missing) for h in hypotheses if not h.terms]
        evaluate = _evaluate(task, evidence)
        verdicts = _verdicts(known, evaluate, settings.confidence)
        p_values = {h.id: _p_value(h, evaluate) for h in known}
        tested = [h.id for h in known if h.role == EXPLORATORY]
        corrected = dict(zip(tested, adjusted([p_values[name] or 1.0 for name in tested]), strict=True))
        of_task = published.get(task, {})
        for hypothesis in known:
            name = hypothesis.id
            finding = _finding(hypothesis, task, evidence, settings.confidence, verdicts[name])
            p = p_values[name]
            finding = replace(finding, p=p, p_holm=None if p is None else corrected.get(name))
            asked.append(replace(finding, **{f"published_{k}": v for k, v in of_task.get(name, {}).items()}))
    return Findings(tuple(asked), tuple(absent))


def verdicts(evidence: Evidence, settings: Analysis) -> dict[tuple[str, str], str]:
    """Return the verdict by task and hypothesis, of those that can be asked, and nothing else: faster."""
    found = {}
    for by_task in (_hypotheses(evidence, settings), _hypotheses_across(evidence, settings)):
        for task, hypotheses in by_task.items():
            known = [hypothesis for hypothesis in hypotheses if hypothesis.terms]
            evaluate = _evaluate(task, evidence)
            for name, (verdict, _) in _verdicts(known, evaluate, settings.confidence).items():
                found[task, name] = verdict
    return found


def _hypotheses(evidence: Evidence, settings: Analysis) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses by task; a wide task is an arm of the task that it widens, without its own."""
    by_name = {task.name: task for task in tasks(evidence, settings)}
    return {
        name: [*primary(task), *exploratory(task)]
        for name, task in by_name.items()
        if not is_widened(name, by_name)
    }


def _hypotheses_across(evidence: Evidence, settings: Analysis) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses that need two tasks, by the task that they are of."""
    by_name = {task.name: task for task in tasks(evidence, settings)}
    return {name: across_tasks(task, by_name) for name, task in by_name.items()}


def _evaluate(task: str, evidence: Evidence) -> Evaluate:
    return partial(_interval, nested=task in evidence.nested)


def _interval(terms: Sequence[Term], value: str, confidence: float, *, nested: bool) -> Interval:
    return interval(terms, value, confidence, nested=nested)


def _verdicts(
    hypotheses: Sequence[Hypothesis], evaluate: Evaluate, confidence: float
) -> dict[str, tuple[str, float]]:
    """Verdict of each, and the confidence at which it was tested."""
    tests = {h.id: partial(h.verdict, evaluate) for h in hypotheses if h.role == EXPLORATORY}
    alone = {h.id: (h.verdict(evaluate, confidence), confidence) for h in hypotheses if h.role == PRIMARY}
    return alone | step_down(tests, confidence)


def _p_value(hypothesis: Hypothesis, evaluate: Evaluate) -> float | None:
    if evaluate(hypothesis.terms, hypothesis.value, 0.5).low is None:
        return None
    return p_value(partial(hypothesis.verdict, evaluate))


def _finding(
    hypothesis: Hypothesis, task: str, evidence: Evidence, confidence: float, tested: tuple[str, float]
) -> Finding:
    verdict, level = tested
    evaluate, nested = _evaluate(task, evidence), task in evidence.nested
    found = evaluate(hypothesis.terms, hypothesis.value, confidence)
    surface, surface_verdict = UNDEFINED, None
    if hypothesis.scored_by_surface:
        same = hypothesis.by(SURFACE)
        surface = evaluate(same.terms, SURFACE, confidence)
        surface_verdict = same.verdict(evaluate, confidence)
    rows = hypothesis.rows
    not_converged = evidence.not_converged(rows)
    reason = "" if found.low is not None else "a single training or test case has no interval"
    if not_converged and verdict != NOT_DECIDED:
        alone = hypothesis.only(evidence.converged_rows).verdict(evaluate, level)
        if alone != verdict:
            verdict, reason = NOT_DECIDED, f"{verdict} only if cells count that have not converged"
    case = deciding_case(hypothesis, evaluate, level, tested[0], nested) if found.low is not None else ""
    parts = []
    for part in hypothesis.parts:
        limits = evaluate(part.terms, part.value, confidence)
        parts.append(PartFinding(part.name, *_numbers(limits), part.claim.judge(limits)))
    cells = rows.loc[rows["seed"].notna(), CELL_COLUMNS].drop_duplicates()
    return Finding(
        id=hypothesis.id,
        task=task,
        role=hypothesis.role,
        statement=hypothesis.statement,
        statistic=hypothesis.statistic,
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        p=None,
        p_holm=None,
        verdict=verdict,
        parts=tuple(parts),
        surface_estimate=surface.estimate,
        surface_low=surface.low,
        surface_high=surface.high,
        surface_verdict=surface_verdict,
        published_estimate=None,
        published_low=None,
        published_high=None,
        published_statistic=None,
        depends_on_case=case or None,
        cells=len(cells),
        not_converged=not_converged,
        reason=reason,
    )


def _numbers(found: Interval) -> tuple[float | None, float | None, float | None]:
    return found.estimate, found.low, found.high


def _rounded(tree: Any) -> Any:
    """The tree with its floats as result files have them."""
    if isinstance(tree, dict):
        return {name: _rounded(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_rounded(value) for value in tree]
    return number(tree) if isinstance(tree, float) and not pd.isna(tree) else tree
