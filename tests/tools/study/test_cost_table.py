"""Cost of cells next to their Dice, from records as the stages write them."""

import json
from pathlib import Path

import pytest

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import Edges
from context_fbr_tools.study import cost_table

CELLS = [Cell("spheres", "unet", 32, seed) for seed in (1, 2)]


def write(cell: Cell, stage: str, **values: object) -> None:
    record = {"seconds": 60.0, "threads": 2, "device": "CPU, made", "resumed": False, **values}
    path = cell.provenance(stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_row_has_means_over_seeds_and_the_sum_is_that_of_all_cells() -> None:
    for cell, seconds in zip(CELLS, (60.0, 180.0), strict=True):
        write(cell, "train", seconds=seconds)
        write(cell, "evaluate", seconds=30.0)
    Path("metrics/spheres").mkdir()
    Path("metrics/spheres/cells.csv").write_text(
        "task,model,patch_size,seed,dice\nspheres,unet,32,1,0.9\nspheres,unet,32,2,0.8\n"
    )
    text = cost_table.as_text(cost_table.read(CELLS), by_cell=False, markdown=True)
    core_hours = (60 + 180 + 30 + 30) * 2 / 3600
    assert f"| spheres | UNet | 32 | 2 | 0.850 | 2.0 | 0.5 | {core_hours / 2:.3f} |  |  |" in text
    assert f"together: 2 cells, {core_hours:.2f} core-hours on CPU, made" in text
    by_cell = cost_table.as_text(cost_table.read(CELLS), by_cell=True, markdown=True)
    assert "| spheres | UNet | 32 | 2 | 0.800 | 3.0 | 0.5 |" in by_cell


def test_measured_cpu_time_memory_and_energy_are_taken_where_a_record_has_them() -> None:
    write(
        CELLS[0],
        "train",
        cpu_seconds=36.0,
        peak_memory_bytes=2_500_000_000,
        energy_joules=1500.0,
        resumed=True,
    )
    write(CELLS[0], "evaluate", cpu_seconds=0.0, peak_memory_bytes=1_000_000_000, energy_joules=500.0)
    text = cost_table.as_text(cost_table.read(CELLS), by_cell=False, markdown=True)
    assert "| spheres | UNet | 32 | 1 |  | 1.0 | 1.0 | 0.010 | 2.50 | 2.0 |" in text
    assert "only the last part counts: spheres-unet-32-1" in text


def test_networks_keep_their_order_and_their_patches_are_in_the_order_of_voxels() -> None:
    sizes = (Edges(32, 32, 16), 16, Edges(16, 16, 8))
    cells = [Cell("blobs", model, size, 1) for size in sizes for model in ("unetr", "unet")]
    for cell in cells:
        for stage in ("train", "evaluate"):
            write(cell, stage)
    text = cost_table.as_text(cost_table.read(cells), by_cell=False, markdown=True)
    rows = [tuple(line.split(" | ")[1:3]) for line in text.splitlines() if line.startswith("| blobs")]
    assert rows == [(name, size) for name in ("UNETR", "UNet") for size in ("16x16x8", "16", "32x32x16")]


def test_cells_without_a_record_are_left_out_and_none_at_all_is_an_error() -> None:
    with pytest.raises(UserError, match="has no record of these cells"):
        cost_table.read(CELLS)
    write(CELLS[1], "train")  # without its evaluation
    with pytest.raises(UserError):
        cost_table.read(CELLS)
