"""Commands of a job whose cell is in an arm."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from workspace import ROOT

from context_fbr.config.cell import Cell
from context_fbr_tools.dvc.stages import CELL_STAGES, groups, kind_of
from context_fbr_tools.slurm import batches, worker


def test_a_job_runs_and_pushes_the_stages_of_its_cell_s_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []

    class Recorder:
        def run(self, command: tuple[str, ...], *_: object) -> int:
            commands.append(command)
            return 0

    def prepare(job: Any) -> None:
        shutil.copytree(ROOT / "tests" / "support", job.clone)
        text = (job.clone / "study.yaml").read_text()
        arm = "{tasks: [spheres], models: [unet], patch_sizes: [24], seeds: [1]}"
        text = text.replace("range: {tasks: [], models: [], patch_sizes: [], seeds: []}", f"range: {arm}")
        (job.clone / "params.yaml").write_text(text)

    looked: list[Cell] = []
    monkeypatch.setattr(worker, "_prepare", prepare)
    monkeypatch.setattr(
        worker.run_cache,
        "find_results",
        lambda cells: looked.extend(cells) or [SimpleNamespace(done=True)],
    )
    batch = batches.Batch(
        tmp_path / ".dvc/tmp/grid/batch",
        "a" * 40,
        "2026-01-01T00:00:00+00:00",
        (),
        (),
        "store",
        None,
        "",
        60,
        60,
    )
    batch.folder.mkdir(parents=True)
    worker.work(batch, Cell.from_key("spheres-unet-24-1"), Recorder())  # type: ignore[arg-type]
    named = [command[-1] for command in commands]
    assert named == [f"{kind}_range@spheres-unet-24-1" for kind in ("train", "evaluate") for _ in range(3)]
    assert [cell.arm for cell in looked] == ["range"]


def test_results_are_checked_out_by_the_names_of_all_groups_that_have_cells() -> None:
    cells = [
        Cell("spheres", "unet", 16, 1),
        *(Cell("spheres", "unet", 24, seed, arm="range") for seed in (1, 2)),
    ]
    names = groups(CELL_STAGES, cells)
    assert names == ("train", "train_range", "evaluate", "evaluate_range")
    assert [kind_of(name) for name in names] == ["train", "train", "evaluate", "evaluate"]
