"""Holm's correction and p-values by inversion, against worked examples and Student's t."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from context_fbr.analysis.findings.verdicts.holm import SMALLEST, adjusted, p_value, step_down


def test_of_p(p: float) -> Callable[[float], str]:
    return lambda confidence: "supported" if p <= 1 - confidence + 1e-12 else "not decided"


test_of_p.__test__ = False  # type: ignore[attr-defined]


def test_adjusted_p_values_are_those_of_a_worked_example() -> None:
    """0.01 * 4; 0.013 * 3 is less than that, so 0.04 again; 0.03 * 2; 0.04 again 0.06."""
    assert adjusted([0.03, 0.01, 0.04, 0.013]) == pytest.approx([0.06, 0.04, 0.06, 0.04])
    assert adjusted([0.6, 0.7]) == [1.0, 1.0]
    assert adjusted([]) == []


@given(st.lists(st.floats(1e-5, 1.0), max_size=7))
def test_a_test_decides_at_its_level_if_its_adjusted_p_is_small(p_values: list[float]) -> None:
    found = step_down({str(n): test_of_p(p) for n, p in enumerate(p_values)}, 0.95)
    for n, p in enumerate(adjusted(p_values)):
        if abs(p - 0.05) > 1e-9:
            assert (found[str(n)][0] == "supported") == (p < 0.05)
    levels = [1 - level for _, level in found.values()]
    assert all(0.05 / len(p_values) - 1e-12 <= level <= 0.05 + 1e-12 for level in levels)


@pytest.mark.parametrize("shift", [0.2, 1.0, 3.0])
def test_inverting_student_s_interval_gives_the_p_of_the_t_test(shift: float) -> None:
    values = np.random.default_rng(1).standard_normal(8) + shift
    test = stats.ttest_1samp(values, 0)

    def decide(confidence: float) -> str:
        limits = test.confidence_interval(confidence)
        return "not decided" if limits.low <= 0 <= limits.high else "supported"

    assert p_value(decide) == pytest.approx(test.pvalue, rel=0.011)


def test_a_p_value_has_bounds() -> None:
    assert p_value(test_of_p(0.0)) == SMALLEST
    assert p_value(test_of_p(2.0)) == 1.0
