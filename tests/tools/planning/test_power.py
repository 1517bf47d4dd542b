"""Power: variance components, predicted against simulated studies, and what a difference needs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspace import ROOT

from benchmarks import power as benchmark
from context_fbr.analysis.result_files import read_frame
from context_fbr.core.errors import UserError
from context_fbr_tools import cli
from context_fbr_tools.study.planning import report
from context_fbr_tools.study.planning.components import Components, components, pairs
from context_fbr_tools.study.planning.power import cases_for, detectable, power, seeds_for, with_numbers

TYPICAL = Components(3, 60, (0.02**2, 0.01**2), 2 * 0.04**2, (0.03**2, 0.03**2), 59.0, is_designed=False)


def scores(
    training: float, case: float, rest: float, seeds: int, cases: int, seed: int
) -> list[pd.DataFrame]:
    """Two configurations whose components are known."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(0, 0.2, cases)
    found = []
    for _ in range(2):
        values = 0.5 + shared + generator.normal(0, case, cases)
        values = (
            values + generator.normal(0, training, (seeds, 1)) + generator.normal(0, rest, (seeds, cases))
        )
        names = [f"c{number}" for number in range(cases)] * seeds
        found.append(
            pd.DataFrame({"seed": np.repeat(range(seeds), cases), "filename": names, "dsc": values.ravel()})
        )
    return found


def test_components_are_those_that_the_scores_were_made_with() -> None:
    """Means over many studies: the estimates are unbiased but where a negative variance becomes 0."""
    made = [components(*scores(0.05, 0.08, 0.03, 6, 40, seed)) for seed in range(60)]
    assert all(made)
    assert np.mean([own.training for own in made]) == pytest.approx(0.05**2, rel=0.12)
    assert np.mean([own.case for own in made]) == pytest.approx(2 * 0.08**2, rel=0.08)
    assert np.mean([own.rest for own in made]) == pytest.approx(0.03**2, rel=0.03)


@pytest.mark.parametrize("seeds", [(2, 6), (6, 2)])
def test_the_variance_of_cases_is_right_with_more_trainings_on_one_side(seeds: tuple[int, int]) -> None:
    made = []
    for seed in range(300):
        sides = scores(0.02, 0.03, 0.05, 6, 40, seed)
        kept = [own[own["seed"] < count] for own, count in zip(sides, seeds, strict=True)]
        made.append(components(*kept))
    assert np.mean([own.case for own in made]) == pytest.approx(2 * 0.03**2, rel=0.1)


def test_scores_without_any_rest_have_their_variances_exactly() -> None:
    """By hand: seeds differ by 0.2, cases of a by 0.4 more than those of b."""
    a = pd.DataFrame({"seed": [1, 1, 2, 2], "filename": list("xyxy"), "dsc": [0.1, 0.7, 0.3, 0.9]})
    b = pd.DataFrame({"seed": [1, 1, 2, 2], "filename": list("xyxy"), "dsc": [0.5, 0.7, 0.5, 0.7]})
    own = components(a, b)
    assert own.training == pytest.approx((0.02, 0.0))
    assert own.rest == pytest.approx((0.0, 0.0))
    assert own.case == pytest.approx(0.08)  # variance of -0.3 and 0.1
    assert (own.seeds, own.cases, own.case_freedom, own.is_designed) == (2, 2, 1.0, False)


def test_one_training_or_one_common_case_says_nothing() -> None:
    a, b = scores(0.1, 0.1, 0.1, 2, 5, 0)
    assert components(a[a["seed"] == 0], b) is None
    assert components(a, b.assign(filename=b["filename"] + "other")) is None


def test_predicted_power_is_within_four_points_of_simulated_studies() -> None:
    table = pd.read_csv(ROOT / "benchmarks/power.csv")
    assert len(table) == len(benchmark.SETTINGS) >= 6
    for row, setting in zip(table.itertuples(), benchmark.SETTINGS, strict=True):
        assert benchmark.predicted(setting) == pytest.approx(row.predicted, abs=1e-4)
        assert abs(row.predicted - row.simulated) < 0.04
    assert table["predicted"].max() - table["predicted"].min() > 0.4


def test_a_simulated_study_is_judged_as_predicted() -> None:
    setting = (5, 20, 0.02, 0.04, 0.03, 0.06)
    assert benchmark.simulated(setting, 150, 3) == pytest.approx(benchmark.predicted(setting), abs=0.12)


def test_power_grows_with_the_difference_the_seeds_and_the_cases() -> None:
    for values in (
        [power(TYPICAL, difference, 0.95) for difference in (0.0, 0.02, 0.05, 0.1)],
        [power(with_numbers(TYPICAL, seeds, 60), 0.04, 0.95) for seeds in (2, 3, 5, 10)],
        [power(with_numbers(TYPICAL, 3, cases), 0.04, 0.95) for cases in (5, 20, 60, 500)],
    ):
        assert values == sorted(values)
        assert len(set(values)) == len(values)
    assert power(TYPICAL, 0.0, 0.95) < 0.05


def test_the_detectable_difference_has_the_wanted_power_and_numbers_are_the_fewest() -> None:
    reach = detectable(TYPICAL, 0.95)
    assert power(TYPICAL, reach, 0.95) == pytest.approx(0.8, abs=1e-3)
    seeds = seeds_for(TYPICAL, reach / 1.3, 0.95)
    assert detectable(with_numbers(TYPICAL, seeds, 60), 0.95) <= reach / 1.3
    assert detectable(with_numbers(TYPICAL, seeds - 1, 60), 0.95) > reach / 1.3
    assert seeds_for(TYPICAL, 0.001, 0.95) is None  # the cases alone say no more
    assert cases_for(TYPICAL, 0.001, 0.95) is None  # nor do the trainings
    assert cases_for(with_numbers(TYPICAL, 20, 60), 0.02, 0.95) > 1


def test_designed_cases_keep_their_number() -> None:
    designed = Components(3, 22, (1e-4, 1e-4), 0.01, (1e-4, 1e-4), 8.0, is_designed=True)
    assert with_numbers(designed, 5, 999).cases == 22
    assert cases_for(designed, 0.02, 0.95) is None


def test_pairs_differ_in_one_thing() -> None:
    found = pairs(read_frame(ROOT / "metrics/spheres/cases.csv", text=("patch_size",)))
    assert "unet-16 and unet-32" in found
    assert "unet-16 and unet_instance-16" in found
    assert not any("unet-16" in name and "unet_instance-32" in name for name in found)
    assert all(own.is_designed and own.cases == 22 for own in found.values())


@pytest.mark.slow
def test_the_command_prints_and_writes_the_table_and_the_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.run(["power", "--from", str(ROOT / "metrics/hippocampus"), "--out", "power", "--target", "0.03"])
    text = capsys.readouterr().out
    assert "seeds for 0.03" in text
    table = pd.read_csv(tmp_path / "power/power.csv")
    assert list(table["pair"]) == ["typical", "hardest"]
    assert table["detectable"].is_monotonic_increasing
    for row in table.itertuples():
        assert f"{row.detectable:.3f}" in text
    assert (tmp_path / "power/power.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"summary\.json: not found"):
        report.read_detections(tmp_path)
