"""What benchmarks/memory.py says of memory."""

import csv
import sys
from pathlib import Path

import pytest
from workspace import ROOT, Workspace

from benchmarks import memory
from context_fbr.core.errors import UserError


def test_the_peak_is_that_of_the_process_also_if_it_is_gone_before_the_end() -> None:
    small, large = (
        memory.peak_gb(["-c", f"held = bytearray({size}); held[::4096] = held[::4096]; del held"])
        for size in (1, 300_000_000)
    )
    assert 0.29 < large - small < 0.32


def test_a_stage_that_fails_is_no_measurement() -> None:
    with pytest.raises(UserError, match="ended with 3"):
        memory.peak_gb(["-c", "raise SystemExit(3)"])


@pytest.mark.slow
def test_a_study_is_measured_from_preparation_to_training(finished: Workspace, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "study")
    before = (workspace.path / "dvc.lock").read_bytes()
    command = [sys.executable, "-m", "benchmarks.memory", "spheres", "--network", "unet"]
    command += ["--into", str(tmp_path)]
    workspace.run("env", f"PYTHONPATH={ROOT}:{ROOT / 'src'}", *command)
    with (tmp_path / "memory.csv").open() as file:
        peaks = {(row["part"], row["network"], row["patch_size"]): row for row in csv.DictReader(file)}
    assert set(peaks) == {("prepare", "", ""), ("volumes", "", ""), ("training", "unet", "16")}
    assert float(peaks["training", "unet", "16"]["peak_gb"]) > float(peaks["volumes", "", ""]["peak_gb"])
    assert (workspace.path / "dvc.lock").read_bytes() == before
    assert workspace.run("python", "-m", "dvc", "status").stdout.strip().endswith("up to date.")
