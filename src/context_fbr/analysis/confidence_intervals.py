"""Confidence intervals for means and their differences over seeds and test cases.

Seeds and cases are crossed: every seed of a configuration meets the same cases. A statistic is a sum of
coefficient x mean over rows; its variance has two sources, each with clusters and degrees of freedom of its
own:

* seeds: the rows of one training move together. Trainings are independent, also those of two configurations
  that have the same number. Variance by configuration, G / (G - 1) for G seeds; degrees of freedom by
  Welch and Satterthwaite over the configurations.
* cases: the rows of one test case move together, in all configurations: differences are paired by case.
  Dice is skewed (most cases near 1, a few far below), so these limits are corrected for skewness after
  Hall (J. R. Stat. Soc. B 54, 1992) and are not symmetric about the estimate. Designed cases, a known grid of
  one variable, are not a sample: their variance is that about their neighbours, see designed_cases.py.

Each source gives distances to the limits with its own t quantile (three seeds: 4.3, not 1.96), and the
interval's are the roots of the sums of their squares. What varies from row to row is counted in both
sources; both choices err towards wide intervals. References and measured coverage:
docs/explanation/intervals.md.

Where every training has test cases of its own (nested), the seeds' variance holds that of the cases.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.special import stdtrit

from context_fbr.analysis import designed_cases
from context_fbr.analysis.results import CONFIG_COLUMNS

SUPPORTED, CONTRADICTED, NOT_DECIDED = "supported", "contradicted", "not decided"


@dataclass(frozen=True)
class Interval:
    """A statistic and its confidence limits; None is undefined."""

    estimate: float | None
    low: float | None
    high: float | None


UNDEFINED = Interval(None, None, None)


@dataclass(frozen=True)
class Term:
    """`coefficient` times the mean of a value over `rows`.

    The rows have the columns task, model, patch_size, seed (missing: nothing random was trained), filename
    and the value; rows without the value are left out. A column `design` with a value in every row says that
    the cases are designed.
    """

    coefficient: float
    rows: pd.DataFrame


@dataclass(frozen=True)
class _Source:
    """Effect of one source of error on a statistic."""

    variance: float
    degrees_of_freedom: float
    skewness: float = 0.0

    def reach(self, confidence: float) -> tuple[float, float]:
        """Distances from the estimate down to the lower limit and up to the upper one."""
        if self.variance == 0:
            return 0.0, 0.0
        quantile = float(stdtrit(self.degrees_of_freedom, (1 + confidence) / 2))
        error = math.sqrt(self.variance)
        return error * self._corrected(quantile), -error * self._corrected(-quantile)

    def _corrected(self, quantile: float) -> float:
        """The inverse of Hall's cubic, which takes the skewness out of a studentised mean."""
        if abs(self.skewness) < 1e-9:
            return quantile
        inner = 1 + self.skewness * (quantile - self.skewness / 6)
        return 3 / self.skewness * (math.cbrt(inner) - 1)


def interval(
    terms: Sequence[Term],
    value: str,
    confidence: float,
    *,
    nested: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Return the sum of the terms with its confidence interval.

    Args:
        terms: at least one.
        value: the column that is averaged.
        confidence: for example 0.95.
        nested: every training has test cases of its own.
        bounds: values that the statistic cannot leave; the limits are clipped to them.

    Returns:
        Without any limits if one of the configurations was trained once, or a term has a single case:
        such data do not show the spread of trainings or of cases. Undefined if a term has
        no rows.
    """
    estimate = 0.0
    influences, random, counts, designed = [], [], [], []
    for term in terms:
        rows = term.rows[term.rows[value].notna()]
        if rows.empty:
            return UNDEFINED
        values = rows[value].to_numpy(float)
        mean = math.fsum(values) / len(values)
        estimate += term.coefficient * mean
        influence = term.coefficient * (values - mean) / len(values)
        influences.append(rows[[*CONFIG_COLUMNS, "seed", "filename"]].assign(influence=influence))
        if designed_cases.is_designed(rows):
            designed.append(designed_cases.residuals(rows, value, term.coefficient))
        else:
            random.append(influences[-1])
            counts.append(rows["filename"].nunique())
    sources = [_seeds(pd.concat(influences, ignore_index=True))]
    if not nested:
        sources += [_cases(random, counts)] if random else []
        sources += [_designed(designed)] if designed else []
    reaches = [source.reach(confidence) for source in sources if source is not None]
    if len(reaches) < len(sources):
        return Interval(estimate, None, None)
    down, up = (math.hypot(*distances) for distances in zip(*reaches, strict=True))
    low, high = bounds
    return Interval(estimate, max(low, estimate - down), min(high, estimate + up))


def defined_pairs(a: pd.DataFrame, b: pd.DataFrame, value: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of two configurations on the cases for which neither lacks a value.

    A network that predicts nothing on hard cases, and so has no distance there, would else look the better.
    """
    both = pd.concat([a, b])
    undefined = set(both.loc[both[value].isna(), "filename"])
    return a[~a["filename"].isin(undefined)], b[~b["filename"].isin(undefined)]


def _seeds(rows: pd.DataFrame) -> _Source | None:
    """Return the part of the trainings; None if a configuration was trained only once."""
    random = rows[rows["seed"].notna()]
    variances, freedoms = [], []
    for _, own in random.groupby(CONFIG_COLUMNS, sort=False):
        sums = own.groupby("seed", sort=False)["influence"].sum().to_numpy()
        if len(sums) < 2:
            return None
        variances.append(len(sums) / (len(sums) - 1) * math.fsum(sums**2))
        freedoms.append(len(sums) - 1)
    return _Source(math.fsum(variances), _satterthwaite(variances, freedoms))


def _cases(parts: Sequence[pd.DataFrame], counts: Sequence[int]) -> _Source | None:
    """Return the part of the cases; None if a term has a single one.

    Degrees of freedom are those of the terms, as if these were independent, but no more than the largest has:
    for a paired difference the number of pairs - 1, for two groups of cases close to Welch's.
    """
    if min(counts) < 2:
        return None
    scaled = [
        part.assign(influence=part["influence"] * math.sqrt(count / (count - 1)))
        for part, count in zip(parts, counts, strict=True)
    ]
    own = [math.fsum(part.groupby("filename")["influence"].sum() ** 2) for part in scaled]
    freedom = min(_satterthwaite(own, [count - 1 for count in counts]), max(counts) - 1)
    sums = pd.concat(scaled).groupby("filename", sort=False)["influence"].sum().to_numpy()
    variance = math.fsum(sums**2)
    return _Source(variance, freedom, math.fsum(sums**3) / variance**1.5 if variance else 0.0)


def _designed(parts: Sequence[pd.Series | None]) -> _Source | None:
    """Return the variance of designed cases; None if a term has a single one."""
    known = [part for part in parts if part is not None]
    return _Source(*designed_cases.variance(known)) if len(known) == len(parts) else None


def _satterthwaite(variances: Sequence[float], freedoms: Sequence[int]) -> float:
    """Degrees of freedom of a sum of independent variances (Welch, Satterthwaite)."""
    share = math.fsum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    return math.fsum(variances) ** 2 / share if share else 1.0


def above(found: Interval, limit: float) -> str:
    """The claim that a statistic with limits is greater than `limit`."""
    assert found.low is not None
    assert found.high is not None
    if found.low > limit:
        return SUPPORTED
    return CONTRADICTED if found.high < limit else NOT_DECIDED


def positive(found: Interval) -> str:
    """The claim that it is greater than 0."""
    return above(found, 0)


def below(found: Interval, limit: float) -> str:
    """The claim that it is less than `limit`."""
    return {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}.get(above(found, limit), NOT_DECIDED)
