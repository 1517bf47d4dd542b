"""Remove what belongs to cells and tasks that left the grid, and unfinished work that nobody goes on with."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from context_fbr import lockfile, unfinished
from context_fbr.cells import Cell
from context_fbr.study.whole import Grid

CELL_STAGES = ("train", "evaluate")
TASK_STAGES = ("raw", "prepare", "baseline")
KEY = re.compile(r"[a-z0-9_]+-[a-z0-9_]+-\d+-\d+")


def stale_stages(grid: Grid, stages: Sequence[str]) -> list[str]:
    """Those of the lock's stage names whose cell or task is not in the grid."""
    wanted = {f"{stage}@{cell.key}" for stage in CELL_STAGES for cell in grid.cells}
    wanted |= {f"{stage}@{task}" for stage in TASK_STAGES for task in grid.tasks}
    return [
        name
        for name in stages
        if name.partition("@")[0] in (*CELL_STAGES, *TASK_STAGES) and name not in wanted
    ]


def stale_paths(grid: Grid) -> list[Path]:
    """Results on disk that bear the key of a cell outside of the grid, whether dvc.lock knows them or not."""
    keys = {cell.key for cell in grid.cells}
    example = Cell("task", "model", 1, 1)
    folders = (example.weights.parent.parent, example.predictions.parent)
    tables = (example.history.parent, example.foreground_ratios.parent, example.scores.parent)
    found = [path for folder in folders for path in folder.glob("*") if path.is_dir()]
    found += [path for folder in tables for path in folder.glob("*.csv")]
    found += [path for stage in CELL_STAGES for path in example.provenance(stage).parent.glob("*.json")]
    names = ((path, path.name.removesuffix(".csv").removesuffix(".json")) for path in found)
    return sorted(path for path, name in names if KEY.fullmatch(name) and name not in keys)


def prune(grid: Grid) -> list[str]:
    """Remove what is stale and name it; the DVC cache and the remote keep their copies.

    A task's data is removed only as the recorded output of a stage: a folder that a user put beside it stays.

    Raises:
        UserError: if dvc.lock is no lock file, or cannot be written.
    """
    names = stale_stages(grid, lockfile.stages())
    paths = {*lockfile.outputs(names), *stale_paths(grid)}
    for place in unfinished.abandoned({cell.key for cell in grid.cells}):
        paths |= {place, unfinished.lock_of(place)}
    removed = [f"{lockfile.LOCK}: {name}" for name in names]
    for path in sorted(path for path in paths if path.exists()):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        removed.append(str(path))
    if names:  # last: an interrupted prune is finished by the next one
        lockfile.remove(names)
    return removed
