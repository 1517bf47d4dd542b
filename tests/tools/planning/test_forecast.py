"""The forecast of a study: its arithmetic, and a whole one against the run."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from workspace import ROOT, TINY, Workspace

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr.config.training import SlidingWindow
from context_fbr.networks.sliding_window import sliding_window
from context_fbr_tools.study.planning.evenly import evenly
from context_fbr_tools.study.planning.forecast import forecast, overhead, report
from context_fbr_tools.study.planning.forecast.costs import Costs, costs, started, wall_time
from context_fbr_tools.study.planning.forecast.forecast import Forecast
from context_fbr_tools.study.planning.forecast.measure import Parts
from context_fbr_tools.study.planning.forecast.passes import count

PARTS = Parts(
    load=2.0, step=0.5, steps=8, validation=3.0, evaluation=10.0, memory=800_000_000, gpu_memory=0,
    weights=1_000_000, predictions=200_000,
)  # fmt: skip


@pytest.fixture
def study(params: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(params.parent)
    return read_study(Document.read(params))


class Counted(torch.nn.Module):
    """Counts the windows that pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.passed += len(windows)
        return torch.cat([windows, windows], dim=1)


@pytest.mark.parametrize("shape", [(16, 16, 16), (40, 17, 33), (9, 50, 16)])
@pytest.mark.parametrize("core", [None, 8])
def test_as_many_windows_are_counted_as_pass_the_network(
    shape: tuple[int, int, int], core: int | None
) -> None:
    network = Counted()
    settings = SlidingWindow(overlap=0.25, voxels_per_batch=3 * 16**3, precision="float32")
    sliding_window(network, torch.zeros(shape), 16, settings, core=core)
    assert network.passed == count(shape, (16, 16, 16), core, 0.25)


def test_costs_are_the_sum_of_the_parts(study: Study) -> None:
    found = costs(Cell("spheres", "unet", 32, 1), study, PARTS, 7.0)
    epochs = study.tasks["spheres"].train.epochs
    assert found.train_s == 2.0 + epochs * 8 * 0.5 + math.ceil(epochs / 4) * 3.0
    assert found.evaluate_s == 10.0
    assert found.disk == 1_200_000
    assert found.seconds == found.train_s + found.evaluate_s + 7.0


def earliest(seconds: Sequence[float], places: int) -> float:
    """Simulate in small ticks: whoever is free takes the next."""
    waiting, running, clock = [round(s) for s in seconds], [0] * places, 0
    while waiting or any(running):
        for place in range(places):
            if not running[place] and waiting:
                running[place] = waiting.pop(0)
        running = [max(left - 1, 0) for left in running]
        clock += 1
    return float(clock)


@pytest.mark.parametrize("places", [1, 2, 3, 7])
def test_the_time_of_cells_side_by_side_is_that_of_a_simulation(places: int) -> None:
    for seed in range(20):
        seconds = np.random.default_rng(seed).integers(1, 40, 12).astype(float).tolist()
        assert wall_time(seconds, places) == earliest(seconds, places)
    assert wall_time([], places) == 0


def test_cells_start_task_by_task_the_longest_first() -> None:
    cells = {
        Cell(task, "unet", 16, seed): Costs(float(seconds), 0.0, 0, 0, 0)
        for task, seed, seconds in (("b", 1, 5), ("a", 1, 1), ("a", 2, 9), ("b", 2, 50))
    }
    assert started(cells, ["a", "b"]) == [9, 1, 50, 5]


def test_volumes_are_chosen_evenly_from_first_to_last() -> None:
    assert evenly(range(9), 3) == [1, 4, 7]
    assert evenly([1, 2], 3) == [1, 2]


def test_too_little_memory_and_what_is_left_out_are_named(study: Study) -> None:
    cells = {
        Cell("spheres", "unet", 32, seed): costs(Cell("spheres", "unet", 32, 1), study, PARTS, 0.0)
        for seed in (1, 2)
    }
    found = Forecast(cells, {"hippocampus": "its data are not prepared"})
    text = report.as_text(found, study, report.Room(2, 1_500_000_000))
    assert "up to 1.6 GB of 1.5 GB that are free, which is too much: run 1 at once (--jobs 1)" in text
    room = report.Room(4, 2_000_000_000)  # of the four places two cells take two
    assert "memory: up to 1.6 GB of 2.0 GB that are free\n" in f"{report.as_text(found, study, room)}\n"
    assert "not in the forecast: hippocampus: its data are not prepared" in text
    assert "does not fit" in report.as_text(found, study, report.Room(1, 1000))
    tree = report.as_json(found, study, [1, 2], "CPU")
    assert tree["wall_s"]["1"] == pytest.approx(tree["total_s"])
    assert tree["cells"]["spheres-unet-32-2"]["memory_bytes"] == 800_000_000


def test_the_memory_of_a_gpu_is_that_of_the_cells_that_share_it(study: Study) -> None:
    cells = [Cell("spheres", "unet", 32, seed) for seed in range(1, 6)]
    parts = replace(PARTS, gpu_memory=10_000_000_000)
    found = Forecast({cell: costs(cells[0], study, parts, 0.0) for cell in cells}, {})
    room = report.Room(places=5, memory=100_000_000_000, gpus=2, gpu_memory=40_000_000_000)
    assert "memory of a GPU: up to 30.0 GB of 40.0 GB that are free\n" in report.as_text(found, study, room)
    room = replace(room, gpu_memory=25_000_000_000)
    assert "of 25.0 GB that are free, which is too much: run 2 at once (--per-gpu 2)" in report.as_text(
        found, study, room
    )
    assert "of a GPU" not in report.as_text(found, study, replace(room, gpus=0))


@pytest.mark.slow
def test_a_plan_measures_each_network_once_and_the_run_says_how_long_it_took(tmp_path: Path) -> None:
    workspace = Workspace.make(tmp_path / "study", TINY)
    workspace.edit("params.yaml", "  seeds: [1]", "  seeds: [1, 2]")
    workspace.repro("prepare")
    first = workspace.context_fbr("plan", "--jobs", "2", "--json", "plan.json", "--array", "4").stdout
    assert first.count("a step takes") == 2  # two networks, two seeds
    assert "4 cells: " in first
    assert "4 at once on such machines: " in first
    tree = json.loads((workspace.path / "plan.json").read_text())
    assert set(tree["cells"]) == {f"spheres-{m}-16-{s}" for m in ("unet", "attention_unet") for s in (1, 2)}
    assert all(1e8 < cell["memory_bytes"] < 4e9 for cell in tree["cells"].values())
    assert tree["wall_s"]["2"] <= tree["wall_s"]["1"]
    assert "a step takes" not in workspace.context_fbr("plan", "--jobs", "2").stdout
    # Cells slow one another down: alone they are measured again.
    assert "a step takes" in workspace.context_fbr("plan", "--jobs", "1", "spheres-unet-16-1").stdout
    ran = workspace.context_fbr("grid", "run", "--jobs", "2").stdout
    assert "4 cells: " in ran
    assert "by `context-fbr plan`" in ran
    assert "4 cells took " in ran
    weights = (workspace.path / "models/spheres-unet-16-1/weights.pt").stat().st_size
    files = list((workspace.path / "data/predictions/spheres/spheres-unet-16-1").iterdir())
    expected = weights + sum(path.stat().st_size for path in files)
    assert tree["cells"]["spheres-unet-16-1"]["disk_bytes"] == pytest.approx(
        expected, abs=60_000
    )  # a file of weights has a frame


def test_the_page_says_of_the_study_what_its_table_says() -> None:
    table = pd.read_csv(ROOT / "benchmarks/forecast_study.csv")
    page = (ROOT / "docs/how_to/plan.md").read_text().replace("\n", " ")
    forecast_h, taken_h = ((table[name] * table["cells"]).sum() / 3600 for name in ("forecast_s", "taken_s"))
    near = (table["forecast_s"] / table["taken_s"] - 1).abs() <= 0.15
    furthest = (table["forecast_gb"] / table["peak_gb"] - 1).abs().max()
    assert f"{forecast_h:.1f} h of stages forecast, {taken_h:.1f} h taken" in page
    assert f"of its {len(table)} configurations {near.sum()} within 15 % of the time, all within" in page
    assert f"all within {furthest * 100:.0f} % of the memory" in page


def test_a_task_without_prepared_data_is_left_out_with_the_reason(study: Study) -> None:
    found = forecast.forecast(study, study.cells[:2], 1, {})
    assert dict(found.cells) == {}
    assert found.left_out["spheres"].startswith("its data are not prepared (data/prepared/spheres/cases.json")
    assert forecast.known(study, study.cells, 2, {}) == {}
    assert forecast.wall_seconds(study, study.cells, 2, {}) is None


def test_the_overhead_of_cells_is_noted_for_the_next_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert overhead.seconds() == overhead.USUAL_S
    cells = [Cell("spheres", "unet", 16, seed) for seed in (1, 2, 3, 4)]
    for cell, train, resumed in zip(
        cells, (10.0, 20.0, 30.0, 40.0), (False, False, False, True), strict=True
    ):
        for stage, seconds in (("train", train), ("evaluate", 5.0)):
            path = cell.provenance(stage)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"seconds": seconds, "resumed": resumed}))
    old = cells[2].provenance("train")
    os.utime(old, (1000, 1000))  # of an earlier run
    taken = {cells[0]: 18.0, cells[1]: 29.0, cells[2]: 99.0, cells[3]: 999.0}
    overhead.note(taken, since=2000)
    assert overhead.seconds() == 3.5  # the median of 3 and 4
    overhead.note({cells[2]: 99.0}, since=2000)
    assert overhead.seconds() == 3.5
    overhead.FILE.write_text("{}")
    assert overhead.seconds() == overhead.USUAL_S
