"""Findings: each hypothesis of a task with its magnitude, its verdict, and what the verdict depends on.

Two hypotheses of a task are primary and not corrected: each is tested at the confidence of the study.
The exploratory ones that can be asked are corrected together (holm.py), and so are controls.
docs/explanation/hypotheses.md states them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from context_fbr.analysis.confidence_intervals import NOT_DECIDED, UNDEFINED, Interval, Term, interval
from context_fbr.analysis.findings.across_tasks import across_tasks, is_widened
from context_fbr.analysis.findings.exploratory import exploratory
from context_fbr.analysis.findings.finding import Finding, Findings, NotAsked, PartFinding
from context_fbr.analysis.findings.hypothesis import PRIMARY, SURFACE, Evaluate, Hypothesis, Part
from context_fbr.analysis.findings.primary import primary
from context_fbr.analysis.findings.structures import structures
from context_fbr.analysis.findings.task_scores import tasks
from context_fbr.analysis.findings.verdicts.holm import adjusted, p_value, step_down
from context_fbr.analysis.findings.verdicts.influence import deciding_case
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.config.analysis import Analysis

Published = Mapping[str, Mapping[str, Any]]
"""Published estimate, low, high and statistic by id of a hypothesis, of tasks by name."""


def findings(
    evidence: Evidence, settings: Analysis, published: Mapping[str, Published] | None = None
) -> Findings:
    """Ask every hypothesis of every task that needs no other task.

    Args:
        evidence: of this study, or of the published one.
        settings: names of pairs, limits and confidence.
        published: magnitudes by task and hypothesis, of metrics/published/magnitudes.json.
    """
    return decide(_hypotheses(evidence, settings), evidence, settings.confidence, published)


def findings_across(evidence: Evidence, settings: Analysis) -> Findings:
    """Ask every hypothesis that needs two of the tasks."""
    return decide(_hypotheses_across(evidence, settings), evidence, settings.confidence)


def decide(
    by_task: Mapping[str, Sequence[Hypothesis]],
    evidence: Evidence,
    confidence: float,
    published: Mapping[str, Published] | None = None,
) -> Findings:
    """Decide hypotheses by task; arguments as of `findings`."""
    asked: list[Finding] = []
    absent: list[NotAsked] = []
    for task, hypotheses in by_task.items():
        known = [hypothesis for hypothesis in hypotheses if hypothesis.terms]
        absent += [NotAsked(h.id, task, h.role, h.statement, h.missing) for h in hypotheses if not h.terms]
        evaluate = _evaluate(task, evidence)
        verdicts = _verdicts(known, evaluate, confidence)
        p_values = {h.id: _p_value(h, evaluate) for h in known}
        corrected: dict[str, float] = {}
        for family in _families(known):
            tested = [h.id for h in family]
            corrected |= zip(tested, adjusted([p_values[name] or 1.0 for name in tested]), strict=True)
        of_task = (published or {}).get(task, {})
        for hypothesis in known:
            name = hypothesis.id
            finding = _finding(hypothesis, task, evidence, confidence, verdicts[name])
            p = p_values[name]
            finding = replace(finding, p=p, p_holm=None if p is None else corrected.get(name))
            asked.append(replace(finding, **{f"published_{k}": v for k, v in of_task.get(name, {}).items()}))
    return Findings(tuple(asked), tuple(absent))


def verdicts(evidence: Evidence, settings: Analysis) -> dict[tuple[str, str], str]:
    """Return the verdict by task and hypothesis, of those that can be asked, and nothing else: faster."""
    both = (_hypotheses(evidence, settings), _hypotheses_across(evidence, settings))
    alone, across = (verdicts_of(by_task, evidence, settings.confidence) for by_task in both)
    return alone | across


def verdicts_of(
    by_task: Mapping[str, Sequence[Hypothesis]], evidence: Evidence, confidence: float
) -> dict[tuple[str, str], str]:
    """Return the verdicts alone, of hypotheses by task."""
    found = {}
    for task, hypotheses in by_task.items():
        known = [hypothesis for hypothesis in hypotheses if hypothesis.terms]
        for name, (verdict, _) in _verdicts(known, _evaluate(task, evidence), confidence).items():
            found[task, name] = verdict
    return found


def _hypotheses(evidence: Evidence, settings: Analysis) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses by task; a wide task is an arm of the task that it widens, without its own."""
    by_name = {task.name: task for task in tasks(evidence, settings)}
    return {
        name: [*primary(task), *structures(task), *exploratory(task)]
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
    found = {h.id: (h.verdict(evaluate, confidence), confidence) for h in hypotheses if h.role == PRIMARY}
    for family in _families(hypotheses):
        found |= step_down({h.id: partial(h.verdict, evaluate) for h in family}, confidence)
    return found


def _families(hypotheses: Sequence[Hypothesis]) -> list[list[Hypothesis]]:
    """Return the hypotheses that are corrected together: those of one role, but for the primary ones."""
    roles = dict.fromkeys(h.role for h in hypotheses if h.role != PRIMARY)
    return [[h for h in hypotheses if h.role == role] for role in roles]


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
    verdict, reason = _by_converged_cells(hypothesis, verdict, evidence, evaluate, level)
    if found.low is None:
        reason = "a single training or test case has no interval"
    case = deciding_case(hypothesis, evaluate, level, tested[0], nested) if found.low is not None else ""
    parts = []
    for part in hypothesis.parts:
        limits = evaluate(part.terms, part.value, confidence)
        own = _by_converged_cells(part, part.claim.judge(limits), evidence, evaluate, confidence)
        parts.append(PartFinding(part.name, *_numbers(limits), *own))
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


def _by_converged_cells(
    asked: Hypothesis | Part, verdict: str, evidence: Evidence, evaluate: Evaluate, confidence: float
) -> tuple[str, str]:
    """Return the verdict; if converged cells alone do not reach it, `not decided` and the reason."""
    if verdict != NOT_DECIDED and evidence.not_converged(asked.rows):
        alone = asked.only(evidence.converged_rows).verdict(evaluate, confidence)
        if alone != verdict:
            return NOT_DECIDED, f"{verdict} only if cells count that have not converged"
    return verdict, ""


def _numbers(found: Interval) -> tuple[float | None, float | None, float | None]:
    return found.estimate, found.low, found.high
