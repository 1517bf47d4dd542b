"""Holm's step-down correction for several hypotheses, and p-values by inverting an interval.

S. Holm, Scand. J. Stat. 6, 1979: of m hypotheses, the one with the smallest p is tested at alpha / m, the
next at alpha / (m - 1), and so on to the first that is not decided. A test is a function from a confidence to
a verdict. It decides at alpha if the interval with confidence 1 - alpha excludes the limit, and so its p is
the smallest alpha at which it decides.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from context_fbr.analysis.confidence_intervals import NOT_DECIDED

Test = Callable[[float], str]
"""Function from a confidence, for example 0.95, to a verdict."""
SMALLEST = 1e-6
"""A smaller p is given as this."""


def step_down(tests: Mapping[str, Test], confidence: float) -> dict[str, tuple[str, float]]:
    """Return the verdict of each test, and the confidence at which it was tested last."""
    verdicts: dict[str, tuple[str, float]] = {}
    while left := [name for name in tests if name not in verdicts]:
        level = 1 - (1 - confidence) / len(left)
        found = {name: (tests[name](level), level) for name in left}
        decided = {name: result for name, result in found.items() if result[0] != NOT_DECIDED}
        verdicts |= decided or found
    return verdicts


def p_value(test: Test) -> float:
    """Return the smallest alpha at which a test decides, to 1 %; at least `SMALLEST`, at most 1."""
    low, high = math.log(SMALLEST), 0.0
    if test(1 - SMALLEST) != NOT_DECIDED:
        return SMALLEST
    while high - low > 1e-2:
        middle = (low + high) / 2
        if test(1 - math.exp(middle)) == NOT_DECIDED:
            low = middle
        else:
            high = middle
    return math.exp(high)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order of the given ones."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    result = [1.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        result[index] = least
    return result
