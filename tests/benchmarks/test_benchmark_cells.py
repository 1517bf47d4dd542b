"""Whole cells in the benchmarks: both ways, the floor, and what DVC takes."""

from dataclasses import replace

import pytest
import torch

from benchmarks import cell, cell_ways, floor, pipeline, table
from benchmarks.request import Request
from context_fbr.analysis.run_records import paper_document
from context_fbr.config.cell import Cell

CPU = torch.device("cpu")
STAMP = {"machine": "m", "date": "2026-01-01", "commit": "0000000"}


@pytest.mark.slow
def test_a_cell_is_scored_both_ways_on_the_same_cases(request_: Request) -> None:
    request = replace(request_, epochs=3)
    (measured,) = cell.cell(request, STAMP, workers=0)
    assert measured.part == "cell"
    assert len(measured.pairs.ratios) == 2
    rows = table.read(cell.SCORES)
    assert {(row["seed"], row["filename"]) for row in rows} == {
        (seed, f"spheres_{number:03d}") for seed in "12" for number in range(6, 11)
    }
    (line,) = table.read(cell.DIFFERENCES)
    assert (line["seeds"], line["cases"], line["epochs"]) == ("2", "5", "3")
    dice = {way: sum(float(row[f"{way}_dsc"]) for row in rows) / len(rows) for way in ("original", "ours")}
    assert float(line["difference"]) == pytest.approx(dice["ours"] - dice["original"], abs=1e-5)
    assert float(line["low"]) <= float(line["difference"]) <= float(line["high"])


def test_each_pair_of_cells_has_a_seed_of_its_own_and_both_ways_have_the_same(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: dict[str, list[int]] = {"original": [], "ours": []}
    for way, own in seeds.items():

        def run(*arguments: object, own: list[int] = own) -> dict[str, float]:
            (of,) = (a for a in arguments if isinstance(a, Cell))
            own.append(of.seed)
            return {"a": 0.5, "b": 0.5}

        monkeypatch.setattr(cell_ways, way, run)
    (measured,) = cell.cell(replace(request_, repeats=3, epochs=1), STAMP, workers=0)
    assert seeds == {"original": [1, 1, 2, 3], "ours": [1, 1, 2, 3]}  # the first is the warm-up
    assert all(seconds > 1e-5 for seconds in measured.pairs.ours_s)  # what did nothing has prepared its part


def test_a_single_pair_of_cells_tells_no_interval(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    for way in cell.WAYS:
        monkeypatch.setattr(cell_ways, way, lambda *_: {"a": 0.5, "b": 0.75})
    list(cell.cell(replace(request_, repeats=1, epochs=1), STAMP, workers=0))
    (line,) = table.read(cell.DIFFERENCES)
    assert (line["seeds"], float(line["difference"]), line["low"], line["high"]) == ("1", 0, "", "")


def test_the_difference_of_two_equal_trainings_is_nothing() -> None:
    scores = [{"a": 0.5, "b": 0.75, "c": 1.0}, {"a": 0.25, "b": 0.5, "c": 0.75}]
    found = cell.difference({"original": scores, "ours": scores}, 0.95)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_the_work_of_a_step_is_what_was_counted_before() -> None:
    request = Request(paper_document(), "spheres", CPU, "float32")
    assert floor.step_gflop(request, "unet", 32, 8) == pytest.approx(9, rel=0.06)
    assert floor.step_gflop(request, "unet", 64, 8) == pytest.approx(72, rel=0.06)


def test_a_step_is_held_against_the_fastest_convolution(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "SHAPES", ((1, 4, 8), (2, 8, 8)))
    (text,) = floor.floor(request_, STAMP)
    (line,) = table.read(floor.TABLE)
    assert float(line["step_over_floor"]) == pytest.approx(
        float(line["step_median_s"]) * float(line["best_gflop_per_s"]) / float(line["gflop"]), rel=0.01
    )
    assert line["batch"] == "4"
    assert "times the floor" in text


def test_a_stage_that_does_nothing_leaves_its_results() -> None:
    stage = {"outs": ["models/a", {"metrics/b.csv": {"cache": False}}], "metrics": ["metrics/c.json"]}
    assert pipeline.touching(stage) == (
        "mkdir -p models/a && echo 1 > models/a/file && mkdir -p metrics && echo 1 > metrics/b.csv"
        " && mkdir -p metrics && echo 1 > metrics/c.json"
    )
