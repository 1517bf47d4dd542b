"""The forecast for a GPU that was measured before, from its table alone."""

import json
import shutil
from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.profiles import profile_path
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr_tools import cli
from context_fbr_tools.study.planning.forecast import elsewhere

HEAD = "device,part,network,patch_size,value_of,value,unit,versions,machine,date,commit"
ROWS = (
    ('unet,32,"step, ours"', 0.01),
    ("unet,32,sliding window", 0.02),
    ("unet,32,memory of a step", 1.5),
    ("unet,32,scoring of a case", 0.1),
    ('unet,96,"step, ours"', 0.05),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "benchmarks").mkdir()
    lines = [f"cuda,step,{place},{value},s,torch 2,Fast GPU,2026-11-29,abc" for place, value in ROWS]
    (tmp_path / "benchmarks/gpu.csv").write_text("\n".join([HEAD, *lines, ""]))
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "profiles/paper.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_cell_of_the_paper_profile_costs_its_steps_validations_and_test_cases(folder: Path) -> None:
    study = read_study(Document.read())
    found = elsewhere.forecast(study, study.cells, "Fast GPU")
    assert {cell.key for cell in found.cells} == {f"spheres-unet-32-{seed}" for seed in (1, 2, 3)}
    own = found.cells[Cell("spheres", "unet", 32, 1)]
    # 50 epochs of 35 steps (70 volumes, two in each); 30 volumes are validated every 5 epochs; 100 test cases.
    every = study.train.validate_every_epochs
    assert own.train_s == pytest.approx(50 * 35 * 0.01 + 50 / every * 30 * 0.02)
    assert own.evaluate_s == pytest.approx(100 * (0.02 + 0.1))
    assert own.gpu_memory == 1_500_000_000
    assert "no step of it" in found.left_out["spheres-unet-96"]  # its window was not measured
    assert "not as in the paper profile" in found.left_out["spleen-unet-32"]


@pytest.mark.slow
def test_a_changed_parameter_of_the_training_is_not_what_was_measured(folder: Path) -> None:
    path = folder / "params.yaml"
    path.write_text(path.read_text().replace("patches_per_volume: 4\n", "patches_per_volume: 8\n"))
    study = read_study(Document.read())
    found = elsewhere.forecast(study, study.cells, "Fast GPU")
    assert not found.cells
    assert "not as in the paper profile" in found.left_out["spheres-unet-32"]


def test_the_command_prints_it_for_an_array_and_names_the_gpus_of_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["plan", "--on", "Fast GPU", "--array", "3", "--json", "plan.json", "spheres-unet-32-*"])
    text = capsys.readouterr().out
    assert "3 cells: " in text
    assert "3 at once on such GPUs: " in text
    assert "1.50 GB" in text
    assert "that are free" not in text
    assert json.loads((folder / "plan.json").read_text())["device"] == "Fast GPU"
    for option in (["--again"], ["--gpus", "0"], ["--per-gpu", "2"]):
        with pytest.raises(UserError, match=f"nothing is measured here; leave {option[0]} out"):
            cli.run(["plan", "--on", "Fast GPU", *option])
    with pytest.raises(UserError, match=r"Slow GPU: is not in .*Fast GPU"):
        cli.run(["plan", "--on", "Slow GPU"])
    (folder / "benchmarks/gpu.csv").unlink()
    with pytest.raises(UserError, match=r"gpu\.csv: not found; `bash benchmarks/gpu\.sh`"):
        cli.run(["plan", "--on", "Fast GPU"])


def test_the_committed_table_has_the_gpu_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    study = read_study(Document.read(profile_path("paper")))
    found = elsewhere.forecast(study, study.cells, "NVIDIA H200")
    assert {cell.patch_size for cell in found.cells} >= {32, 96}
    assert all(cell.task == "spheres" for cell in found.cells)
    assert "NVIDIA H200" in Path("docs/explanation/gpu.md").read_text()
