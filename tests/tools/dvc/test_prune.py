import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from context_fbr.config.cell import Cell
from context_fbr.config.grid import Grid, StudyCells
from context_fbr.core.errors import UserError
from context_fbr.runtime import locks, resume
from context_fbr_tools.dvc.prune import prune

GRID = StudyCells(Grid(tasks=("spheres",), models=("unet",), patch_sizes=(16,), seeds=(1,)), {})
KEPT, GONE = Cell("spheres", "unet", 16, 1), Cell("spheres", "unet", 16, 2)


def entry(name: str, outs: list[Path | str]) -> str:
    return f"  {name}:\n    cmd: run\n    outs:\n" + "".join(f"    - path: {out}\n" for out in outs)


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for cell in (KEPT, GONE):
        for path in (
            cell.weights,
            cell.history,
            cell.foreground_ratios,
            cell.scores,
            cell.predictions / "a.nii.gz",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    for name in (
        "data/raw/spheres/a",
        "data/raw/liver/a",
        "data/raw/my_download/a",
        "data/README.md",
        "models/README.md",
        "models/mine/a",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")
    Path("metrics/baselines").mkdir()
    for task in ("spheres", "liver"):
        Path(f"metrics/baselines/{task}.csv").write_text("x")
    outs = {
        **{f"train@{c.key}": [c.weights.parent, c.history, c.foreground_ratios] for c in (KEPT, GONE)},
        **{f"evaluate@{c.key}": [c.scores, c.predictions] for c in (KEPT, GONE)},
        **{f"raw@{task}": [f"data/raw/{task}"] for task in ("spheres", "liver")},
        **{f"baseline@{task}": [f"metrics/baselines/{task}.csv"] for task in ("spheres", "liver")},
        "analyze@spheres": ["metrics/headline/spheres.json"],
    }
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n" + "".join(entry(*item) for item in outs.items()))


def test_what_left_the_grid_is_removed_and_everything_else_stays() -> None:
    lock = Path("dvc.lock").read_text()
    removed = prune(GRID)
    assert not any(p.exists() for p in (GONE.weights.parent, GONE.history, GONE.scores, GONE.predictions))
    assert not Path("data/raw/liver").exists()
    assert not Path("metrics/baselines/liver.csv").exists()
    assert Path("data/raw/my_download/a").exists()  # not recorded as ours
    assert Path("metrics/baselines/spheres.csv").exists()
    kept = [KEPT.weights, KEPT.history, KEPT.foreground_ratios, KEPT.scores, KEPT.predictions / "a.nii.gz"]
    assert all(p.exists() for p in kept)
    assert all(
        Path(p).exists() for p in ("data/README.md", "models/README.md", "models/mine/a", "data/raw/spheres")
    )
    gone = (f"train@{GONE.key}", f"evaluate@{GONE.key}", "raw@liver", "baseline@liver")
    for name in gone:
        lock = re.sub(rf"  {name}:\n(    .*\n)+", "", lock)
    assert Path("dvc.lock").read_text() == lock  # DVC's own formatting is kept
    assert len(removed) == len(gone) + 7
    assert prune(GRID) == []


def place(cell: Cell, name: str, age_s: int) -> Path:
    """A folder of unfinished work that was last changed so long ago."""
    folder = resume.root() / cell.key / name
    folder.mkdir(parents=True)
    (folder / "newest").write_text("x")
    os.utime(folder, (1_700_000_000 - age_s,) * 2)
    return folder


def test_unfinished_work_goes_that_no_one_will_continue_with() -> None:
    """Of a stage and a cell the newest stays, and where someone works."""
    kept = [place(KEPT, f"evaluate-{'b' * 16}.0", 50)]
    working = place(KEPT, f"train-{'c' * 16}.0", 10)
    gone = [place(KEPT, f"train-{'d' * 16}.0", 1), place(GONE, f"train-{'a' * 16}.0", 1)]
    mine = place(KEPT, "notes", 5)
    lock = resume.lock_of(gone[0])
    lock.touch()  # of a process that was killed
    current = place(
        KEPT, f"train-{'e' * 16}.0", 0
    )  # its process works: what was newest before it is not any more
    with locks.hold(resume.lock_of(working)), locks.hold(resume.lock_of(current)):
        removed = prune(GRID)
    assert all(folder.exists() for folder in (*kept, working, current, mine))
    assert not any(path.exists() for path in (*gone, lock))
    assert {str(folder) for folder in gone} <= set(removed)
    assert prune(GRID) == [str(working)]


def test_unfinished_work_goes_whose_stage_ended_since() -> None:
    old, newer = place(KEPT, f"train-{'a' * 16}.0", 60), place(KEPT, f"evaluate-{'a' * 16}.0", 60)
    for stage, started in (("train", 1_700_000_000 - 30), ("evaluate", 1_700_000_000 - 90)):
        path = KEPT.provenance(stage)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"started": datetime.fromtimestamp(started, UTC).isoformat()}))
    prune(GRID)
    assert (old.exists(), newer.exists()) == (False, True)


def test_provenance_of_a_cell_goes_with_it() -> None:
    for cell in (KEPT, GONE):
        path = cell.provenance("train")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    prune(GRID)
    assert (KEPT.provenance("train").exists(), GONE.provenance("train").exists()) == (True, False)


def test_a_lock_file_without_end_is_one_error() -> None:
    Path("dvc.lock").unlink()
    Path("dvc.lock").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"^dvc\.lock: cannot be read: is a device"):
        prune(GRID)


def test_provenance_without_end_is_as_if_there_were_none() -> None:
    old, newer = place(KEPT, f"train-{'a' * 16}.0", 60), place(KEPT, f"train-{'b' * 16}.0", 50)
    path = KEPT.provenance("train")
    path.parent.mkdir(parents=True)
    path.write_text("[" * 1_000_000)
    prune(GRID)
    assert (old.exists(), newer.exists()) == (False, True)
