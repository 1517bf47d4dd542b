"""The stages of dvc.yaml, in its order: the only list of them (tests/pipeline compares the two)."""

from collections.abc import Iterable

from context_fbr.config.cell import Cell

CELL_STAGES = ("train", "evaluate")
"""Run once for each cell: `train@spheres-unet-32-1`, and `train_ARM@...` in an arm, see `Cell.stage`."""
TASK_STAGES = ("raw", "prepare", "baseline", "analyze", "overlay")
"""Run once for each task: `raw@spheres`."""
STUDY_STAGES = ("code", "compare", "paper")
"""Run once."""
INPUT_STAGES = ("code", "raw", "prepare")
"""Write what cells read."""
CACHED_INPUT_STAGES = ("raw", "prepare")
"""Stages of `INPUT_STAGES` whose outputs DVC keeps; git keeps the others."""


def kind_of(name: str) -> str:
    """Return the stage of a name of DVC's, without arm and key: train of `train_ARM@spheres-unet-32-1`."""
    return name.partition("@")[0].partition("_")[0]


def groups(kinds: Iterable[str], cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return the names in dvc.yaml of the stages of cells: train, evaluate, train_ARM, evaluate_ARM.

    DVC takes such a name as all its cells; one without cells it takes as the whole pipeline.
    """
    names = dict.fromkeys(cell.stage(kind).partition("@")[0] for kind in kinds for cell in cells)
    return tuple(names)
