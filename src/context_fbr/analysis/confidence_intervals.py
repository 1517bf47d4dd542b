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
from collections.abc import Iterable, Mapping, Sequence
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
    trainings: dict[tuple[object, ...], dict[object, list[float]]] = {}
    random: list[dict[str, float]] = []
    designed: list[Mapping[str, float] | None] = []
    for term in terms:
        known = term.rows[value].notna()
        rows = term.rows if known.all() else term.rows[known]
        if rows.empty:
            return UNDEFINED
        values = rows[value].to_numpy(float)
        mean = math.fsum(values) / len(values)
        estimate += term.coefficient * mean
        influences = (term.coefficient * (values - mean) / len(values)).tolist()
        _add_trainings(trainings, rows, influences)
        if designed_cases.is_designed(rows):
            designed.append(designed_cases.residuals(rows, value, term.coefficient))
        else:
            random.append(_sums(zip(rows["filename"].tolist(), influences, strict=True)))
    sources = [_seeds(trainings)]
    if not nested:
        sources += [_cases(random)] if random else []
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


def _sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the sum of the numbers of each name."""
    found: dict[str, list[float]] = {}
    for name, number in pairs:
        found.setdefault(name, []).append(number)
    return {name: math.fsum(numbers) for name, numbers in found.items()}


def _add_trainings(
    trainings: dict[tuple[object, ...], dict[object, list[float]]],
    rows: pd.DataFrame,
    influences: Sequence[float],
) -> None:
    """Add the influences of rows to those of their trainings, by configuration and seed."""
    keys = zip(*(rows[name].tolist() for name in CONFIG_COLUMNS), strict=True)
    seeds, random = rows["seed"].tolist(), rows["seed"].notna().tolist()
    for key, seed, is_random, influence in zip(keys, seeds, random, influences, strict=True):
        if is_random:
            trainings.setdefault(key, {}).setdefault(seed, []).append(influence)


def _seeds(trainings: Mapping[tuple[object, ...], Mapping[object, Sequence[float]]]) -> _Source | None:
    """Return the part of the trainings; None if a configuration was trained only once."""
    variances, freedoms = [], []
    for own in trainings.values():
        if len(own) < 2:
            return None
        variances.append(len(own) / (len(own) - 1) * math.fsum(math.fsum(one) ** 2 for one in own.values()))
        freedoms.append(len(own) - 1)
    return _Source(math.fsum(variances), _satterthwaite(variances, freedoms))


def _cases(parts: Sequence[Mapping[str, float]]) -> _Source | None:
    """Return the part of the cases, from the influence of each on each term; None if a term has a single one.

    Degrees of freedom are those of the terms, as if these were independent, but no more than the largest has:
    for a paired difference the number of pairs - 1, for two groups of cases close to Welch's.
    """
    counts = [len(part) for part in parts]
    if min(counts) < 2:
        return None
    scaled = [
        {name: own * math.sqrt(len(part) / (len(part) - 1)) for name, own in part.items()} for part in parts
    ]
    own = [math.fsum(number**2 for number in part.values()) for part in scaled]
    freedom = min(_satterthwaite(own, [count - 1 for count in counts]), max(counts) - 1)
    sums = _sums(pair for part in scaled for pair in part.items()).values()
    variance = math.fsum(number**2 for number in sums)
    third = math.fsum(number**3 for number in sums)
    return _Source(variance, freedom, third / variance**1.5 if variance else 0.0)


def _designed(parts: Sequence[Mapping[str, float] | None]) -> _Source | None:
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
