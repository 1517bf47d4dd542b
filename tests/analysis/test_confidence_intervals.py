"""Confidence intervals against textbook formulas, and against simulated studies of known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from workspace import ROOT

from benchmarks import coverage
from context_fbr.analysis.confidence_intervals import UNDEFINED, Interval, Term, defined_pairs, interval


def frame(scores: np.ndarray, size: int = 16, prefix: str = "") -> pd.DataFrame:
    """Scores of shape (seeds, cases) as rows."""
    seeds, cases = scores.shape
    return pd.DataFrame(
        {
            "task": "t",
            "model": "m",
            "patch_size": size,
            "seed": np.repeat(np.arange(seeds), cases),
            "filename": np.tile([f"{prefix}{case}" for case in range(cases)], seeds),
            "score": scores.ravel(),
        }
    )


@pytest.fixture
def scores() -> np.ndarray:
    """Three seeds, twelve cases that lie evenly about their mean: no skewness to correct."""
    generator = np.random.default_rng(4)
    half = generator.standard_normal(6), 0.2 * generator.standard_normal((3, 6))
    return 0.3 * generator.standard_normal(3)[:, None] + np.concatenate(
        [half[0] + half[1], -half[0] - half[1]], axis=1
    )


def half(found: Interval) -> float:
    assert found.low is not None
    assert found.high is not None
    return (found.high - found.low) / 2


def students(values: np.ndarray) -> float:
    """Half-width of Student's interval for the mean of independent values."""
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return (high - low) / 2


def test_the_interval_of_a_mean_adds_students_of_the_seeds_and_of_the_cases_in_squares(
    scores: np.ndarray,
) -> None:
    found = interval([Term(1, frame(scores))], "score", 0.95)
    assert found.estimate == pytest.approx(scores.mean())
    assert half(found) == pytest.approx(np.hypot(students(scores.mean(1)), students(scores.mean(0))))


def test_a_difference_is_welch_s_over_seeds_and_the_paired_one_over_cases(scores: np.ndarray) -> None:
    other = scores[::-1] * 0.5 + 0.3
    other[0] += 0.8
    found = interval([Term(1, frame(other, 32)), Term(-1, frame(scores))], "score", 0.95)
    welch = stats.ttest_ind(other.mean(1), scores.mean(1), equal_var=False).confidence_interval(0.95)
    paired = stats.ttest_rel(other.mean(0), scores.mean(0)).confidence_interval(0.95)
    assert found.estimate == pytest.approx(other.mean() - scores.mean())
    assert half(found) == pytest.approx(
        np.hypot((welch.high - welch.low) / 2, (paired.high - paired.low) / 2)
    )


def test_two_groups_of_cases_have_the_degrees_of_freedom_of_welch_but_no_more_than_the_larger(
    scores: np.ndarray,
) -> None:
    """Of one training that varies over cases only, so that nothing else counts."""
    fixed = frame(scores[:1]).assign(seed=pd.NA, patch_size=pd.NA)
    few, many = fixed.iloc[[0, 1, 6, 7]], fixed.iloc[[2, 3, 4, 5, 8, 9, 10, 11]]
    found = interval([Term(1, many), Term(-1, few)], "score", 0.95)
    a, b = many["score"].to_numpy(), few["score"].to_numpy()
    result = stats.ttest_ind(a, b, equal_var=False)
    limits = stats.t.interval(
        0.95, min(result.df, 7), a.mean() - b.mean(), np.hypot(stats.sem(a), stats.sem(b))
    )
    assert (found.low, found.high) == pytest.approx(limits)


def test_limits_of_skewed_cases_are_hall_s() -> None:
    """Against a search for the means that Hall's cubic of the t statistic accepts."""
    values = np.array([[0.99, 0.98, 0.97, 0.99, 0.96, 0.95, 0.98, 0.5, 0.7, 0.97, 0.98, 0.96]])
    fixed = frame(values).assign(seed=pd.NA, patch_size=pd.NA)
    found = interval([Term(1, fixed)], "score", 0.95)
    n, centred = values.size, values[0] - values.mean()
    skewness = (centred**3).mean() / (centred**2).mean() ** 1.5
    means = np.linspace(0.3, 1.1, 400_001)
    t = (values.mean() - means) / values[0].std(ddof=1)
    cubic = np.sqrt(n) * (t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * n))
    accepted = means[np.abs(cubic) <= stats.t.ppf(0.975, n - 1)]
    assert (found.low, found.high) == pytest.approx((accepted.min(), accepted.max()), abs=1e-5)
    assert values.mean() - found.low > found.high - values.mean()


def test_a_difference_of_distances_counts_pairs_only(scores: np.ndarray) -> None:
    a, b = frame(scores), frame(scores + 1, 32)
    b.loc[b["filename"] == "3", "score"] = np.nan
    a.loc[(a["filename"] == "5") & (a["seed"] == 1), "score"] = np.nan
    first, second = defined_pairs(a, b, "score")
    assert set(first["filename"]) == set(second["filename"]) == {str(n) for n in range(12)} - {"3", "5"}


def test_with_a_test_set_for_each_seed_only_the_runs_means_count(scores: np.ndarray) -> None:
    found = interval([Term(1, frame(scores))], "score", 0.95, nested=True)
    assert half(found) == pytest.approx(students(scores.mean(1)))


def test_what_was_not_trained_varies_over_cases_only(scores: np.ndarray) -> None:
    fixed = frame(scores[:1]).assign(seed=pd.NA, patch_size=pd.NA)
    found = interval([Term(1, fixed)], "score", 0.95)
    assert half(found) == pytest.approx(students(scores[0]))


def test_pairing_by_case_narrows_a_difference(scores: np.ndarray) -> None:
    other = scores + 0.1 + 0.05 * np.random.default_rng(0).standard_normal(scores.shape)
    paired = interval([Term(1, frame(other, 32)), Term(-1, frame(scores))], "score", 0.95)
    unpaired = interval([Term(1, frame(other, 32, "x")), Term(-1, frame(scores))], "score", 0.95)
    assert paired.estimate == unpaired.estimate
    assert half(paired) < half(unpaired)


def test_seeds_of_two_configurations_are_not_paired(scores: np.ndarray) -> None:
    """Two configurations with the same seeds' means: their difference still varies with the seeds."""
    found = interval([Term(1, frame(scores + 0.1, 32)), Term(-1, frame(scores))], "score", 0.95)
    means = scores.mean(1)
    welch = stats.ttest_ind(means, means, equal_var=False).confidence_interval(0.95)
    assert half(found) == pytest.approx((welch.high - welch.low) / 2)


def test_rows_without_the_score_are_left_out_and_terms_without_rows_are_undefined(scores: np.ndarray) -> None:
    rows = frame(scores)
    rows.loc[[0, 15], "score"] = np.nan
    found = interval([Term(1, rows)], "score", 0.95)
    assert found.estimate == pytest.approx(np.nanmean(rows["score"]))
    assert found == interval([Term(1, rows.dropna())], "score", 0.95)
    assert interval([Term(1, rows.iloc[:0])], "score", 0.95) == UNDEFINED
    assert interval([Term(1, rows), Term(-1, rows.iloc[:1])], "score", 0.95) == UNDEFINED


def test_a_single_seed_or_a_single_case_has_no_limits(scores: np.ndarray) -> None:
    for few in (scores[:1], scores[:, :1]):
        found = interval([Term(1, frame(few))], "score", 0.95)
        assert found.estimate == pytest.approx(few.mean())
        assert (found.low, found.high) == (None, None)


def test_two_seeds_or_two_cases_have_the_widest_limits_that_there_are(scores: np.ndarray) -> None:
    """One degree of freedom: 12.7 standard errors, of two seeds on the same cases, and of two cases alike."""
    two_seeds = np.repeat([[0.4], [0.5]], 5, axis=1)
    found = interval([Term(1, frame(two_seeds))], "score", 0.95)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 1, 0.45, stats.sem([0.4, 0.5])))
    two_cases = frame(np.array([[0.4, 0.5]])).assign(seed=pd.NA, patch_size=pd.NA)
    found = interval([Term(1, two_cases)], "score", 0.95)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 1, 0.45, stats.sem([0.4, 0.5])))
    assert stats.t.ppf(0.975, 1) == pytest.approx(12.706, abs=1e-3)


def test_a_small_group_that_varies_most_leaves_few_degrees_of_freedom() -> None:
    """Four cases far apart against ten close ones: Welch's degrees of freedom are near 3, not 9."""
    few, many = np.array([[-3.0, -1.0, 1.0, 3.0]]), np.linspace(-0.1, 0.1, 10)[None]
    terms = [
        Term(sign, frame(values, prefix=prefix).assign(seed=pd.NA, patch_size=pd.NA))
        for sign, values, prefix in ((1, many, "m"), (-1, few, "f"))
    ]
    found = interval(terms, "score", 0.95)
    welch = stats.ttest_ind(many[0], few[0], equal_var=False)
    assert 3.0 < welch.df < 3.1
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))


def test_limits_stay_inside_of_what_is_possible_and_equal_scores_have_no_width(scores: np.ndarray) -> None:
    found = interval([Term(1, frame(1 - 0.1 * np.abs(scores)))], "score", 0.95, bounds=(0.9, 0.93))
    assert (found.low, found.high) == (0.9, 0.93)
    level = interval([Term(1, frame(np.full((3, 4), 0.5)))], "score", 0.95)
    assert level == Interval(0.5, 0.5, 0.5)


def test_the_documentation_states_the_least_coverage() -> None:
    table = pd.read_csv(ROOT / coverage.PATH)
    text = (ROOT / "docs" / "explanation" / "intervals.md").read_text()
    assert len(table) == 72
    assert table["studies"].min() >= 500
    least = table.groupby("statistic")["coverage"].min()
    summary = (
        f"Coverage is at least {least.min():.3f} everywhere, {least['difference']:.3f} for differences, "
        f"{least['loss']:.3f} for losses."
    )
    assert summary in text


def test_the_stated_coverage_is_never_far_below_the_confidence() -> None:
    """Each study has a true difference of 0, so 1 - coverage is the rate of false findings."""
    stated = pd.read_csv(ROOT / coverage.PATH)
    differences = stated[stated["statistic"] == "difference"]
    assert stated["coverage"].min() >= 0.90
    assert (differences["half_width"] < differences["half_width_unpaired"]).all()
    # 500 studies: a coverage of 0.95 is 0.924 or more in 99 of 100 tables
    assert differences["coverage"].min() >= 0.924


SETTINGS = [("normal", 10, 0.0), ("normal", 3, 1.0), ("exponential", 3, 0.4), ("spheres", 10, 0.1)]
"""Every kind of case, both numbers of seeds, every spread of seeds."""


@pytest.mark.long
@pytest.mark.parametrize(("kind", "seeds", "spread"), SETTINGS)
def test_simulated_studies_give_the_stated_rows(kind: str, seeds: int, spread: float) -> None:
    """The same studies (a generator of known seed for each setting), so the same coverage and widths."""
    found = pd.DataFrame(coverage.simulate(kind, seeds, spread)).set_index("statistic")
    table = pd.read_csv(ROOT / coverage.PATH)
    row = (table["cases"] == kind) & (table["seeds"] == seeds) & (table["seed_spread"] == spread)
    stated = table[row].set_index("statistic")
    assert list(found.index) == list(stated.index)
    for column in ("coverage", "half_width", "half_width_unpaired"):
        np.testing.assert_allclose(found[column].astype(float), stated[column], atol=1e-3, err_msg=column)
