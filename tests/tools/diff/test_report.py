"""What of a comparison is a regression, a suspicion or an improvement, from changes that are made by hand."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from context_fbr.analysis.confidence_intervals import Interval
from context_fbr.config.analysis import Regression
from context_fbr.config.cell import Cell
from context_fbr_tools.diff import inputs, lost, report
from context_fbr_tools.diff.inputs import Change, Inputs
from context_fbr_tools.diff.results import Results
from context_fbr_tools.diff.scores import Configuration, ScoreChange, corrected, excludes_zero
from context_fbr_tools.diff.snapshot import Snapshot

LIMITS = Regression(dice=0.02, hausdorff_voxels=0.5, unconverged_cells=0)
SAME = Interval(0.0, -0.001, 0.001)
UNKNOWN = Interval(None, None, None)


def change(difference: Interval, over_cases: Interval = UNKNOWN, p: float = 0.001) -> ScoreChange:
    """With this p if an interval excludes 0."""
    one_seed = difference.low is None
    decides = over_cases if one_seed else difference
    found = None if decides.low is None else p if excludes_zero(decides) else 1.0
    return ScoreChange(SAME, SAME, 0, 0, 0, difference, over_cases, one_seed, found, found, "not decided")


def configuration(
    dice: ScoreChange, hausdorff: ScoreChange | None = None, size: int | None = 16
) -> Configuration:
    return Configuration("spheres", "unet", size, 2, 6, 6, dice, hausdorff or change(SAME))


def beyond(*configurations: Configuration) -> list[tuple[int, bool]]:
    found = report._beyond(corrected(configurations), LIMITS, 0.95)
    return [(sign, certain) for _, sign, certain in found]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(Interval(-0.03, -0.04, -0.02), [(-1, True)], id="worse"),
        pytest.param(Interval(-0.03, -0.07, 0.01), [(-1, False)], id="worse, perhaps by chance"),
        pytest.param(Interval(0.03, 0.02, 0.04), [(1, True)], id="better"),
        pytest.param(Interval(0.03, -0.01, 0.07), [(1, False)], id="better, perhaps by chance"),
        pytest.param(Interval(-0.02, -0.021, -0.019), [], id="the limit itself is allowed"),
        pytest.param(Interval(-0.0201, -0.021, -0.02), [(-1, True)], id="just beyond"),
        pytest.param(UNKNOWN, [], id="nothing to compare"),
    ],
)
def test_a_change_counts_beyond_its_limit_and_is_certain_if_its_interval_is(
    found: Interval, expected: list[tuple[int, bool]]
) -> None:
    assert beyond(configuration(change(found))) == expected


def test_a_greater_distance_is_worse_and_a_smaller_one_better() -> None:
    far, near = Interval(0.6, 0.5, 0.7), Interval(-0.6, -0.7, -0.5)
    assert beyond(configuration(change(SAME), change(far))) == [(-1, True)]
    assert beyond(configuration(change(SAME), change(near))) == [(1, True)]


@pytest.mark.parametrize(
    ("estimate", "over_cases", "expected"),
    [
        (-0.03, Interval(-0.03, -0.05, -0.01), (-1, True)),
        (-0.03, Interval(-0.03, -0.07, 0.01), (-1, False)),
        (0.03, Interval(0.03, 0.01, 0.05), (1, True)),
        # Without any interval what is worse counts, and what is better is not called certain.
        (-0.03, Interval(-0.03, None, None), (-1, True)),
        (0.03, Interval(0.03, None, None), (1, False)),
    ],
)
def test_a_single_seed_is_judged_over_the_cases(
    estimate: float, over_cases: Interval, expected: tuple[int, bool]
) -> None:
    assert beyond(configuration(change(Interval(estimate, None, None), over_cases))) == [expected]


def test_the_interval_over_seeds_and_cases_decides_where_there_is_one() -> None:
    """Not that over the cases alone, which is narrower."""
    assert beyond(configuration(change(Interval(-0.03, -0.07, 0.01), Interval(-0.03, -0.04, -0.02)))) == [
        (-1, False)
    ]


def test_a_baseline_or_an_undefined_change_does_not_hide_those_after_it() -> None:
    worse = change(Interval(-0.03, -0.04, -0.02))
    assert beyond(configuration(worse, size=None), configuration(worse)) == [(-1, True)]
    assert beyond(configuration(change(UNKNOWN), change(Interval(0.6, 0.5, 0.7)))) == [(-1, True)]


@pytest.mark.parametrize(("p", "certain"), [(0.012, True), (0.013, False)])
def test_all_that_changed_is_corrected_together(p: float, certain: bool) -> None:
    """Of four scores, the smallest p may be a fourth of 5 %. What is as it was does not count, nor a baseline."""
    worse = change(Interval(-0.03, -0.05, -0.01), p=p)
    unchanged = replace(worse, difference=Interval(0.0, 0.0, 0.0), p=None, p_holm=None)
    others = [configuration(change(SAME), size=48), configuration(unchanged, unchanged, size=96)]
    baseline = configuration(worse, worse, size=None)
    assert beyond(configuration(worse), *others, baseline) == [(-1, certain)]


def test_after_the_first_certain_change_the_next_has_one_fewer_beside_it() -> None:
    """Bonferroni's correction would keep the second alone."""
    changes = [change(Interval(-0.03, -0.05, -0.01), p=p) for p in (0.02, 0.012, 0.016, 0.06)]
    found = beyond(*(configuration(each, change(UNKNOWN)) for each in changes))
    assert [certain for _, certain in found] == [True, True, True, False]


def results(converged: dict[int, bool]) -> Results:
    cells = {Cell("spheres", "unet", 16, seed): value for seed, value in converged.items()}
    rows = [(c.task, c.model, c.patch_size, c.seed) for c in cells]
    return Results(pd.DataFrame(rows, columns=["task", "model", "patch_size", "seed"]), cells, ())


def test_cells_are_reported_by_what_they_were_and_are() -> None:
    before = {1: True, 2: False, 3: True, 4: False, 5: True}
    after = {1: False, 2: True, 3: True, 4: False, 6: False, 7: True}
    found = report._cells(results(before), results(after))
    seeds = {
        name: [cell.seed for cell in getattr(found, name)]
        for name in ("new", "gone", "not_converged", "no_longer_converged", "converged_again")
    }
    assert seeds == {
        "new": [6, 7],
        "gone": [5],
        "not_converged": [1, 4, 6],
        "no_longer_converged": [1],
        "converged_again": [2],
    }


GRID = "grid: {tasks: [spheres], models: [unet], patch_sizes: [32], seeds: [1]}\n"
ARM = "  range: {tasks: [spheres], models: [unet], patch_sizes: [16], seeds: [1]}\n"


@pytest.mark.parametrize(
    ("text", "lost_cells"),
    [
        (GRID, 0),
        (f"{GRID}arms:\n{ARM}", 1),
        (f"{GRID}arms: {{}}\n", 0),
        (f"{GRID}arms: 5\n", 0),
        (f"arms:\n{ARM}", 1),  # no grid: of no study of ours, and every cell counts
    ],
)
def test_a_cell_of_an_arm_that_is_gone_is_lost(
    text: str, lost_cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text)
    products = inputs.products(Snapshot("workspace", None))
    found = [*lost._cells(results({1: True}), results({}), products)]
    assert len(found) == lost_cells


def notes(head: Snapshot, after: Results, rules: list[str], cases: int = 6, paired: int = 6) -> list[str]:
    base = Snapshot("main", "a" * 40)
    changed = Inputs(tuple(Change(name, "1", "2") for name in rules), (), (), ())
    own = replace(configuration(change(SAME)), cases=cases, paired_cases=paired)
    lines = report._notes(base, head, results({1: True}), after, changed, (own,))
    return ["".join(str(getattr(part, "text", part)) for part in line) for line in lines]


def test_what_limits_a_comparison_is_noted() -> None:
    other = Snapshot("branch", "b" * 40)
    whole = results({1: True})
    assert notes(other, whole, ["train.learning_rate"]) == []
    assert len(notes(Snapshot("main", "a" * 40), whole, [])) == 1
    (missing,) = notes(other, replace(whole, missing=("cases.csv", "cells.csv")), [])
    assert "cases.csv" in missing
    assert "cells.csv" in missing
    (pairs,) = notes(other, whole, [], cases=6, paired=5)
    assert "5 of 6" in pairs


def test_rules_that_differ_are_named_up_to_a_number() -> None:
    other, whole = Snapshot("branch", "b" * 40), results({1: True})
    for prefix in ("analysis", "regression"):
        (line,) = notes(other, whole, [f"{prefix}.dice", "train.threads"])
        assert f"{prefix}.dice" in line
        assert "train.threads" not in line
    many = [f"analysis.rule_{number:02}" for number in range(report.MOST_RULES + 3)]
    (exact,) = notes(other, whole, many[: report.MOST_RULES])
    assert "more" not in exact
    (shortened,) = notes(other, whole, many)
    assert "and 3 more" in shortened
    assert many[report.MOST_RULES - 1] in shortened
    assert many[report.MOST_RULES] not in shortened
