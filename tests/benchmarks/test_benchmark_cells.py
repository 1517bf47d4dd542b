"""Whole cells in the benchmarks: both ways, what is not the network's, growth and floor."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import cell, cell_ways, floor, generated, growth, overhead, table, tracking
from benchmarks.generated import Size
from benchmarks.request import Request
from context_fbr.analysis.run_records import paper_document
from context_fbr.config.cell import Cell

CPU = torch.device("cpu")
STAMP = {"machine": "m", "date": "2026-01-01", "commit": "0000000"}


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


def test_the_shares_of_a_cell_s_time_add_up_to_one(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overhead, "start_seconds", lambda *_: 2.0)
    (text,) = overhead.overhead(replace(request_, epochs=1), STAMP)
    rows = table.read(overhead.TABLE)
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert all(float(row["seconds"]) >= 0 for row in rows)
    by_part = {row["part"]: float(row["seconds"]) for row in rows}
    assert by_part["overhead: processes"] == 2
    assert min(s for part, s in by_part.items() if part.startswith("network")) > 0
    assert "are not the network's own" in text


def test_a_measured_cell_s_time_is_that_of_its_two_stages(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is counted twice and nothing is lost: measured in full, the parts are the stages' seconds."""
    size = Size(3, 4, 2, 5)
    study = generated.write(request_, size, tmp_path / "study", {}, for_both=False)
    measured = overhead.stages(request_, study, of := Cell("spheres", "unet", 16, 1))
    monkeypatch.setattr(overhead, "stages", lambda *_: measured)
    found = overhead.parts(request_, study, of, size, epochs=3, start_s=0.0)
    train_s, learns, test_s, _ = measured
    stages = train_s + test_s - learns.taken["save"]  # a save is counted as often as a whole cell has it
    assert found["overhead: saved states"] == 0  # which took less than a minute
    assert sum(found.values()) == pytest.approx(stages + study.prepare_s)
    assert (study.folder / of.scores).exists()


def test_growth_holds_each_cell_against_its_floor(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        "patch_size": (growth.Point(8, 2, 1), growth.Point(16, 2, 1)),
        "epochs": (growth.Point(8, 2, 1),),
    }
    monkeypatch.setattr(growth, "POINTS", points)
    monkeypatch.setattr(growth, "best_rate", lambda _: 100.0)
    texts = list(growth.growth(replace(request_, patch_sizes=None), STAMP))
    rows = table.read(growth.TABLE)
    assert [(row["varied"], row["value"]) for row in rows] == [
        ("epochs", "1"), ("patch_size", "8"), ("patch_size", "16"),
    ]  # fmt: skip
    assert len(texts) == 3
    for row in rows:
        assert float(row["over_floor"]) == pytest.approx(
            float(row["seconds"]) / float(row["floor_s"]), rel=0.01
        )
    assert rows[0]["seconds"] == rows[1]["seconds"]  # the same cell, measured once
    assert float(rows[2]["floor_s"]) > float(rows[1]["floor_s"])
    assert growth.FIGURE.read_bytes().startswith(b"\x89PNG")


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


@pytest.mark.slow
def test_what_a_tracker_costs_is_told_for_each_mode_beside_the_one_before(request_: Request) -> None:
    (text,) = tracking.cost(replace(request_, epochs=2), STAMP)
    assert "offline takes" in text
    rows = {row["mode"]: row for row in table.read(tracking.TABLE)}
    assert set(rows) == set(tracking.MODES)
    assert {row["steps"] for row in rows.values()} == {"4"}
    assert float(rows["no tracking code"]["ratio_median"]) == 1
    assert float(rows["offline"]["ends_s"]) > float(rows["off"]["ends_s"])
