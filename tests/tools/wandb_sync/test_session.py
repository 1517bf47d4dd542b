"""A run in parts, written by W&B's client into offline files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb_files
from slurm_cluster import wait_for
from workspace import ROOT

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError
from context_fbr.runtime.locks import HeldError
from context_fbr.training.batches import Volume
from context_fbr.training.history import Epoch
from context_fbr_tools.wandb_sync import live, push
from context_fbr_tools.wandb_sync.run_identity import Identity
from context_fbr_tools.wandb_sync.session import Session

IDENTITY = Identity("run", "cell", "group", ("tag",), {})
ARRAYS = {"gradients/a/counts": np.array([1, 2]), "gradients/a/edges": np.array([0.0, 0.5, 1.0])}
EPOCH = Epoch(
    number=1, learning_rate=0.1, loss=0.5, step_losses=(0.5,), validation_dice=0.25,
    foreground_ratios=(("a", 0.5),), skipped_steps=0, weights={},
)  # fmt: skip


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("DVC_ROOT", "WANDB_DIR"):  # where the run is kept
        monkeypatch.delenv(name, raising=False)


def test_a_run_in_parts_is_one_folder_with_each_step_once_without_an_incomplete_row() -> None:
    for part in ({1: {"x": 0.5}}, {1: {"x": 9.0}, 2: {"x": 0.25}}):
        session = Session(IDENTITY, online=False)
        with pytest.raises(HeldError):
            Session(IDENTITY, online=False)
        session.rows(part, ARRAYS)
        session.close(done=True, limit_s=60)
        assert session.error is None
        (rows,) = Path().glob("wandb/context-fbr/run/rows.jsonl")
        with rows.open("a") as file:
            file.write("\n[3, {")  # a process was killed here
    own = wandb_files.read(Path())["cell"]
    assert own.values("x") == {1: 0.5, 2: 0.25}
    assert [row["gradients/a"]["values"] for row in own.rows] == [[1, 2], [1, 2]]


def test_a_push_without_any_finished_cell_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    document = Document.read(ROOT / "tests" / "support" / "study.yaml")
    cells = [Cell("spheres", "unet", 16, seed) for seed in (1, 2)]
    with pytest.raises(UserError, match="none of 2 cells is finished here, for example spheres-unet-16-1: "):
        push.push(document, cells, named=False)


def test_a_picture_that_cannot_be_made_is_one_warning_and_costs_only_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = Document.read(ROOT / "tests" / "support" / "study.yaml")
    volume = Volume.__new__(Volume)  # without an image
    cell = Cell("spheres", "unet", 16, 1)
    with live.of_training(cell, document, torch.nn.Linear(2, 2), volume, [EPOCH]) as tracker:
        for number in (2, 3):
            tracker.epoch(replace(EPOCH, number=number))
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "AttributeError" in warnings[0]
    wait_for(lambda: cell.key in wandb_files.read(Path()), 30)  # W&B's process writes, also after `finish`
    own = wandb_files.read(Path())[cell.key]
    assert own.steps == [1, 2, 3]
    assert ["parameters/weight" in row for row in own.rows] == [False, True, True]
