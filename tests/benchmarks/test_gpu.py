"""The check of a GPU, at toy size on the CPU: what it compares, and that it ends in its time."""

import csv
import subprocess
import time
from pathlib import Path

import pytest
import torch
from workspace import ROOT

from benchmarks import gpu, gpu_checks, gpu_speed
from benchmarks.request import Request


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / gpu.RESULTS.path).open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_device_is_compared_with_the_cpu_and_with_itself(request_: Request) -> None:
    values = {what: value for what, value, _ in gpu_checks.check(request_, "unet", 16)}
    assert values.pop("two equal runs") == 1
    assert values.pop("resumed run") == 1
    assert set(values.values()) == {0.0}  # the CPU against itself
    assert len(values) == 3


def test_a_run_that_does_not_repeat_itself_is_seen(request_: Request) -> None:
    """A weight that differs in its last bits, as after a kernel that adds in another order."""
    network, losses, _ = gpu_checks.train(request_, request_.device, "unet", 16)
    other, _, _ = gpu_checks.train(request_, request_.device, "unet", 16)
    assert gpu_checks.equal(network, other)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-7
    assert not gpu_checks.equal(network, other)
    assert len(losses) == gpu_checks.STEPS


@pytest.mark.slow
def test_every_part_is_measured_and_written_by_device(request_: Request, tmp_path: Path) -> None:
    every = gpu.parts(request_, ["unet"], [16], compiled=False)
    planned = [part for part in every if part[0] != "together"]  # processes of its own, below
    (request_.document.path.parent / "benchmarks").mkdir(exist_ok=True)
    assert gpu.run_parts(request_, planned, time.monotonic() + 600) == []
    found = rows(request_.document.path.parent)
    assert {row["part"] for row in found} == {"check", "step", "volume", "variants"}
    assert {row["device"] for row in found} == {"cpu"}
    assert all(float(row["value"]) >= 0 for row in found)
    assert all(row["versions"].startswith("torch ") for row in found)
    share = next(row for row in found if "outside" in row["value_of"])
    assert 0 < float(share["value"]) < 1


@pytest.mark.slow
def test_cells_at_once_are_processes_that_start_together(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_speed, "TOGETHER", 2)
    ((what, ratio, unit),) = gpu_speed.several(request_, "unet", 16)
    assert (what, unit) == ("steps of 2 cells at once over one", "ratio")
    assert ratio > 0  # how fast is measured in benchmarks, not here


def test_what_there_is_no_time_for_is_named_and_a_failing_part_stops_no_other(
    request_: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    (request_.document.path.parent / "benchmarks").mkdir(exist_ok=True)

    def broken() -> None:
        raise RuntimeError("no such kernel")

    planned = [("bad", "unet", 16, broken), ("good", "unet", 16, lambda: iter([("x", 1.0, "s")]))]
    assert gpu.run_parts(request_, planned, time.monotonic() + 60) == ["bad unet 16 (failed)"]
    assert "no such kernel" in capsys.readouterr().err
    assert [row["part"] for row in rows(request_.document.path.parent)] == ["good"]
    assert gpu.run_parts(request_, planned, 0.0) == ["bad unet 16", "good unet 16"]
    assert gpu.run_cells(["spheres-unet-32-1"], 0.0) == ["spheres-unet-32-1"]


STUBBORN = """import signal, sys, time
from pathlib import Path
def end(*_):
    Path(sys.argv[-1]).write_text("saved")
    if sys.argv[-1] == "polite":
        sys.exit(75)
signal.signal(signal.SIGTERM, end)
Path(f"{sys.argv[-1]}-begun").touch()
while True:
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_cells_that_have_not_ended_in_time_may_save_their_work_and_are_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu, "FOLDER", tmp_path)
    monkeypatch.setattr(gpu, "LEAST_S", 0.0)
    monkeypatch.setattr(gpu, "GRACE_S", 1.0)
    (tmp_path / "paper_cells.py").write_text(STUBBORN)
    assert gpu.run_cells(["polite", "stubborn"], time.monotonic() + 4, jobs=2) == ["polite", "stubborn"]
    for name in ("polite", "stubborn"):
        assert (tmp_path / f"{name}-begun").exists()
        assert (tmp_path / name).read_text() == "saved"
    (tmp_path / "paper_cells.py").write_text("import sys; sys.exit(sys.argv[-1] == 'bad')")
    assert gpu.run_cells(["good", "bad"], time.monotonic() + 60) == ["bad (failed)"]


def test_the_tables_of_the_page_are_those_of_the_measurements() -> None:
    with (ROOT / gpu.RESULTS.path).open(newline="") as lines:
        table = {
            (row["network"], row["patch_size"], row["value_of"]): float(row["value"])
            for row in csv.DictReader(lines)
        }
    names = {"UNet": "unet", "Attention-UNet": "attention_unet", "UNETR": "unetr"}
    checked = 0
    for line in (ROOT / "docs/explanation/gpu.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in names:
            size = cells[1]
            for what, text in zip(("original", "ours", "original over ours"), cells[2:], strict=True):
                value = table[names[cells[0]], size, f"step, {what}"]
                assert text == (f"{value:.2f}" if "over" in what else f"{1e3 * value:.1f}")
                checked += 1
        elif cells[0].endswith(("float32", "bf16")):
            for model, text in zip(names.values(), cells[1:], strict=True):
                assert text == f"{1e3 * table[model, '96', f'plain step: {cells[0]}']:.1f}"
                checked += 1
    assert checked == 6 * 3 + 4 * 3


def test_the_script_is_valid_shell_and_names_its_packages() -> None:
    script = ROOT / "benchmarks/gpu.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert script.stat().st_mode & 0o111
    for name in ("monai", "nibabel", "pydantic", "ruamel.yaml", "isal", "psutil", "einops"):
        assert f'"{name}"' in script.read_text()


def test_cells_of_the_default_are_of_the_paper_profile() -> None:
    from context_fbr.analysis.run_records import paper_document
    from context_fbr.config.cell import Cell
    from context_fbr.config.study import read_study

    known = read_study(paper_document()).models
    assert all(Cell.from_key(cell).model in known for cell in gpu.CELLS)
