"""Remove what belongs to cells and tasks that left the grid: files, folders and entries of dvc.lock."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from context_fbr import lockfile
from context_fbr.cells import Cell
from context_fbr.study.whole import Grid

KEY = re.compile(r"[a-z0-9_]+-[a-z0-9_]+-\d+-\d+")


def stale_paths(grid: Grid) -> list[Path]:
    """Results on disk of cells and tasks that are not in the grid; nothing else is ever named."""
    keys = {cell.key for cell in grid.cells}
    example = Cell("task", "model", 1, 1)
    folders = {example.weights.parent.parent, example.predictions.parent}
    tables = {example.history.parent, example.foreground_ratios.parent, example.scores.parent}
    stale = [
        path
        for folder in folders
        for path in folder.glob("*")
        if path.is_dir() and KEY.fullmatch(path.name) and path.name not in keys
    ]
    stale += [
        path
        for folder in tables
        for path in folder.glob("*.csv")
        if KEY.fullmatch(path.stem) and path.stem not in keys
    ]
    stale += [
        path
        for folder in (Path("data/raw"), Path("data/prepared"))
        for path in folder.glob("*")
        if path.is_dir() and path.name not in grid.tasks
    ]
    return sorted(stale)


def stale_stages(grid: Grid, stages: Sequence[str]) -> list[str]:
    """Those of the lock's stage names whose cell or task is not in the grid."""
    wanted = {f"{stage}@{cell.key}" for stage in ("train", "evaluate") for cell in grid.cells} | {
        f"{stage}@{task}" for stage in ("raw", "prepare") for task in grid.tasks
    }
    return [
        name
        for name in stages
        if name.partition("@")[0] in ("raw", "prepare", "train", "evaluate") and name not in wanted
    ]


def prune(grid: Grid) -> list[str]:
    """Remove what is stale and name it; the DVC cache and the remote keep their copies.

    Raises:
        UserError: if dvc.lock is no lock file, or cannot be written.
    """
    names = stale_stages(grid, lockfile.stages())
    if names:
        lockfile.remove(names)
    removed = [f"{lockfile.LOCK}: {name}" for name in names]
    for path in stale_paths(grid):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        removed.append(str(path))
    return removed
