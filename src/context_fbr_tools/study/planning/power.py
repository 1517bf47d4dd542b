"""Power of a comparison: how likely an interval excludes 0 if there is a difference.

The interval is that of `confidence_intervals`: two sources of error, each with a t quantile and an estimated
variance of its own, joined as the root of the sum of squares. Its skewness correction is left out.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from scipy.special import ndtr, stdtrit

from context_fbr_tools.study.planning.components import Components

POWER = 0.8
DRAWS = 4000
MOST_SEEDS, MOST_CASES = 100, 100_000
STEPS = 40
"""Halvings that find a difference to 1e-12."""


def power(parts: Components, difference: float, confidence: float) -> float:
    """Return the probability that the interval of a difference excludes 0.

    Args:
        parts: variances, and the numbers of seeds and cases.
        difference: of the two means.
        confidence: of the interval.
    """
    seeds, cases = parts.seeds, parts.cases
    rest = sum(parts.rest) / (seeds * cases)
    error = math.sqrt(sum(parts.training) / seeds + rest + parts.case / cases)
    if not error:
        return float(difference != 0)
    level = (1 + confidence) / 2
    # Welch and Satterthwaite: the degrees of freedom follow the variances as they are estimated.
    own = [
        (training / seeds + left / (seeds * cases)) * _relative_variances(seeds - 1.0, number)
        for number, (training, left) in enumerate(zip(parts.training, parts.rest, strict=True))
    ]
    of_trainings = own[0] + own[1]
    squares = (own[0] ** 2 + own[1] ** 2) / (seeds - 1)
    freedom = np.divide(of_trainings**2, squares, out=np.ones(DRAWS), where=squares > 0)
    of_cases = (parts.case / cases + rest) * _relative_variances(parts.case_freedom, 2)
    reach = np.sqrt(
        stdtrit(freedom, level) ** 2 * of_trainings + stdtrit(parts.case_freedom, level) ** 2 * of_cases
    )
    above, below = ndtr((difference - reach) / error), ndtr((-difference - reach) / error)
    return float(np.mean(above + below))


@cache
def _relative_variances(freedom: float, number: int) -> np.ndarray:
    """Return estimated variances over their expectation, the same each time: power is smooth."""
    drawn: np.ndarray = np.random.default_rng(number).chisquare(freedom, DRAWS) / freedom
    return drawn


def detectable(parts: Components, confidence: float, wanted: float = POWER) -> float:
    """Return the smallest difference that is detected with a wanted power."""
    low, high = 0.0, 1e-6
    while power(parts, high, confidence) < wanted:
        high *= 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if power(parts, middle, confidence) < wanted else (low, middle)
    return high


def with_numbers(parts: Components, seeds: int, cases: int) -> Components:
    """Return the components of a study of other numbers; designed cases keep theirs."""
    if parts.is_designed:
        return replace(parts, seeds=seeds)
    return replace(parts, seeds=seeds, cases=cases, case_freedom=cases - 1.0)


def seeds_for(parts: Components, difference: float, confidence: float) -> int | None:
    """Return the fewest seeds that detect a difference with the present cases; None if too many."""
    return _fewest(
        lambda n: power(with_numbers(parts, n, parts.cases), difference, confidence) >= POWER, 2, MOST_SEEDS
    )


def cases_for(parts: Components, difference: float, confidence: float) -> int | None:
    """Return the fewest cases that detect it with the present seeds; None if too many, or designed."""
    if parts.is_designed:
        return None
    return _fewest(
        lambda n: power(with_numbers(parts, parts.seeds, n), difference, confidence) >= POWER, 2, MOST_CASES
    )


def _fewest(is_enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return the smallest number that is enough; more is never worse."""
    if not is_enough(most):
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if is_enough(middle) else (middle + 1, most)
    return most
