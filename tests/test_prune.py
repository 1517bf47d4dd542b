from pathlib import Path

import pytest

from context_fbr.cells import Cell
from context_fbr.prune import prune
from context_fbr.study.whole import Grid

GRID = Grid(tasks=("spheres",), models=("unet",), patch_sizes=(16,), seeds=(1,))
KEPT, GONE = Cell("spheres", "unet", 16, 1), Cell("spheres", "unet", 16, 2)


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
        "data/README.md",
        "models/README.md",
        "models/mine/a",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")
    stages = [f"train@{c.key}" for c in (KEPT, GONE)] + [f"evaluate@{c.key}" for c in (KEPT, GONE)]
    entries = "".join(
        f"  {name}:\n    cmd: run\n" for name in [*stages, "raw@spheres", "raw@liver", "analyze"]
    )
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages:\n{entries}")


def test_what_left_the_grid_is_removed_and_everything_else_stays() -> None:
    lock = Path("dvc.lock").read_text()
    removed = prune(GRID)
    assert not any(p.exists() for p in (GONE.weights.parent, GONE.history, GONE.scores, GONE.predictions))
    assert not Path("data/raw/liver").exists()
    kept = [KEPT.weights, KEPT.history, KEPT.foreground_ratios, KEPT.scores, KEPT.predictions / "a.nii.gz"]
    assert all(p.exists() for p in kept)
    assert all(
        Path(p).exists() for p in ("data/README.md", "models/README.md", "models/mine/a", "data/raw/spheres")
    )
    gone = (f"train@{GONE.key}", f"evaluate@{GONE.key}", "raw@liver")
    for name in gone:
        lock = lock.replace(f"  {name}:\n    cmd: run\n", "")
    assert Path("dvc.lock").read_text() == lock  # DVC's own formatting is kept
    assert len(removed) == len(gone) + 6
    assert prune(GRID) == []
