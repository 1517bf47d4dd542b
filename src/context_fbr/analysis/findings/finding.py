"""A finding: a hypothesis with its magnitude, its verdict, and what the verdict depends on."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from context_fbr.analysis.confidence_intervals import SUPPORTED
from context_fbr.analysis.summary import number


@dataclass(frozen=True)
class PartFinding:
    """One of the statistics that have to agree, for example of one pair of models."""

    name: str
    estimate: float | None
    low: float | None
    high: float | None
    verdict: str
    """Verdict of this part alone, at the confidence of the study."""
    reason: str
    """Reason if it is not decided although its interval is on one side; empty otherwise."""


@dataclass(frozen=True)
class Finding:
    """A statement and what the evidence says about it."""

    id: str
    task: str
    role: str
    """primary, exploratory, or control."""
    statement: str
    statistic: str
    """Text of the statistic."""
    estimate: float | None
    low: float | None
    """Limits at the confidence of the study, not corrected."""
    high: float | None
    p: float | None
    """Smallest alpha at which there is a verdict; None without limits."""
    p_holm: float | None
    """Corrected over the findings of the task with the same role; None for a primary one."""
    verdict: str
    """supported, contradicted, or not decided."""
    parts: tuple[PartFinding, ...]
    surface_estimate: float | None
    """The same by surface Dice, and its limits; None where there is none."""
    surface_low: float | None
    surface_high: float | None
    surface_verdict: str | None
    """Verdict by surface Dice, at the confidence of the study."""
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
    """Reason for which nothing is decided, other than the interval; empty if there is none."""


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

    def title_of(self, identity: str) -> str:
        """Return the title of a figure: a finding, its magnitude and verdict; empty if it was not asked."""
        for finding in self.findings:
            if finding.id == identity and finding.estimate is not None:
                limits = "" if finding.low is None else f" [{finding.low:+.2f}, {finding.high:+.2f}]"
                parts = [part.name for part in finding.parts if part.verdict == SUPPORTED]
                some = f" (supported for {'; '.join(parts)})" if 0 < len(parts) < len(finding.parts) else ""
                return f"{finding.statement}:\n{finding.estimate:+.2f}{limits}, {finding.verdict}{some}"
        return ""

    def tree(self, confidence: float) -> dict[str, Any]:
        """Return findings.json."""
        return {
            "confidence": confidence,
            "findings": [_rounded(asdict(finding)) for finding in self.findings],
            "not_asked": [asdict(absent) for absent in self.not_asked],
        }


def _rounded(tree: Any) -> Any:
    """The tree with its floats as result files have them."""
    if isinstance(tree, dict):
        return {name: _rounded(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_rounded(value) for value in tree]
    return number(tree) if isinstance(tree, float) and not pd.isna(tree) else tree
