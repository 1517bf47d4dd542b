"""The stage compare: tasks without results are left out."""

from pathlib import Path

import pytest

from context_fbr.compare import with_results
from context_fbr.config.cell import Cell

CELLS = [Cell(task, "unet", 16, seed) for task in ("spheres", "twins") for seed in (1, 2)]


def test_a_task_without_any_scores_is_left_out_and_one_with_some_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert with_results(CELLS) == CELLS  # reading them names what is missing
    CELLS[3].scores.parent.mkdir(parents=True)
    CELLS[3].scores.touch()
    assert with_results(CELLS) == CELLS[2:]
    CELLS[0].scores.parent.mkdir(parents=True)
    CELLS[0].scores.touch()
    assert with_results(CELLS) == CELLS
