"""A hypothesis: a statement, and the statistics that decide it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from context_fbr.analysis.confidence_intervals import (
    CONTRADICTED,
    NOT_DECIDED,
    SUPPORTED,
    Interval,
    Term,
    above,
    below,
)

PRIMARY, EXPLORATORY, CONTROL = "primary", "exploratory", "control"
SURFACE = "surface_dice"
Evaluate = Callable[[Sequence[Term], str, float], Interval]
"""Function from terms, the column that is averaged and a confidence to the interval."""


@dataclass(frozen=True)
class Claim:
    """Region of a supported interval: above `low`, and below `high` if there is one."""

    low: float
    high: float | None = None
    zero: bool = False
    """A control: an interval without 0 contradicts it, however small the statistic is."""

    def judge(self, found: Interval) -> str:
        """Return the verdict; an interval without limits decides nothing."""
        if found.low is None:
            return NOT_DECIDED
        if self.zero and CONTRADICTED in (below(found, 0), above(found, 0)):
            return CONTRADICTED
        verdicts = [above(found, self.low), *([] if self.high is None else [below(found, self.high)])]
        if CONTRADICTED in verdicts:
            return CONTRADICTED
        return SUPPORTED if set(verdicts) == {SUPPORTED} else NOT_DECIDED


@dataclass(frozen=True)
class Part:
    """A statistic with a claim of its own."""

    name: str
    terms: Sequence[Term]
    claim: Claim
    value: str = "dsc"
    """The column that is averaged."""

    def verdict(self, evaluate: Evaluate, confidence: float) -> str:
        """Return the verdict of this part alone."""
        return self.claim.judge(evaluate(self.terms, self.value, confidence))

    @property
    def rows(self) -> pd.DataFrame:
        """The rows of all terms."""
        return pd.concat([term.rows for term in self.terms], ignore_index=True)

    def only(self, keep: Callable[[pd.DataFrame], pd.DataFrame]) -> "Part":
        """Return the same part on some of the rows: each term's, passed through `keep`."""
        return replace(self, terms=[Term(term.coefficient, keep(term.rows)) for term in self.terms])


@dataclass(frozen=True)
class Hypothesis:
    """A statement, and what decides it; without terms it cannot be asked."""

    id: str
    role: str
    statement: str
    statistic: str
    terms: Sequence[Term] = ()
    claim: Claim = Claim(0.0)
    value: str = "dsc"
    parts: Sequence[Part] = ()
    """All of them have to be supported, too."""
    missing: str = ""
    """Data that the study lacks, if the question cannot be asked."""

    def verdict(self, evaluate: Evaluate, confidence: float) -> str:
        """Supported if the statistic and every part are; contradicted if the statistic is."""
        verdict = self.claim.judge(evaluate(self.terms, self.value, confidence))
        if verdict == SUPPORTED and any(
            part.verdict(evaluate, confidence) != SUPPORTED for part in self.parts
        ):
            return NOT_DECIDED
        return verdict

    @property
    def rows(self) -> pd.DataFrame:
        """The rows of all terms, those of parts included."""
        terms = [*self.terms, *(term for part in self.parts for term in part.terms)]
        return pd.concat([term.rows for term in terms], ignore_index=True)

    def only(self, keep: Callable[[pd.DataFrame], pd.DataFrame]) -> "Hypothesis":
        """Return the same hypothesis on some of the rows: each term's, passed through `keep`."""
        terms = [Term(term.coefficient, keep(term.rows)) for term in self.terms]
        return replace(self, terms=terms, parts=[part.only(keep) for part in self.parts])

    def by(self, value: str) -> "Hypothesis":
        """Return the same hypothesis about another score."""
        return replace(self, value=value, parts=[replace(part, value=value) for part in self.parts])

    @property
    def scored_by_surface(self) -> bool:
        """Return true if it is about Dice, and every term has surface Dice too."""
        rows = [term.rows for term in self.terms]
        return self.value == "dsc" and all(SURFACE in own and own[SURFACE].notna().any() for own in rows)
