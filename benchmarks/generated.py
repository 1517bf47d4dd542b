"""A study with one generated task in a folder of its own, for our stages and for the original's way."""

import contextlib
import copy
import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.original import data, volumes
from benchmarks.request import Request
from context_fbr import prepare, raw
from context_fbr.config import profiles
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.config.study import read_study
from context_fbr.core import nifti
from context_fbr.evaluation import cell as cell_evaluation
from context_fbr.preprocessing import prepared
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training import cell as cell_training

Dice = dict[str, float]
"""Of each test case; a generated one has foreground, so it is defined."""


@dataclass(frozen=True)
class Size:
    """Of a cell: epochs, and volumes of each split."""

    epochs: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Study:
    """Where it is."""

    folder: Path
    task: str
    prepare_s: float
    """Seconds of the stage `prepare` by cell of the whole study: all cells of a task share it."""

    @property
    def document(self) -> Document:
        """Its parameters."""
        return Document.read(self.folder / "params.yaml")

    def items(self, split: str) -> list[dict[str, str]]:
        """Volumes of a split for MONAI's loader: .nii.gz in float64, as the original generated them."""
        with contextlib.chdir(self.folder):
            names = [case.name for case in prepared.read_cases(self.task, split)]
        return [
            {"name": name, **{kind: str(_original(self.folder, kind, name)) for kind in data.KEYS}}
            for name in names
        ]

    def run(self, cell: Cell) -> Dice:
        """Our cell: the stages `train` and `evaluate`, without the start of their processes."""
        with contextlib.chdir(self.folder):
            cell_training.train(cell, stage_inputs.read("train", cell.item), StopRequest())
            cell_evaluation.evaluate(cell, stage_inputs.read("evaluate", cell.item), StopRequest())
            with cell.scores.open(encoding="utf-8", newline="") as file:
                return {row["filename"]: float(row["dsc"]) for row in csv.DictReader(file)}


def write(
    request: Request, size: Size, folder: Path, train: Mapping[str, object], for_both: bool = True
) -> Study:
    """Generate and prepare the task of a request.

    Args:
        request: the study; its task's volumes are as in it, but fewer.
        size: how many; the epochs of its cells.
        folder: to make.
        train: what else differs in the section `train`.
        for_both: whether the original's files are written, too.
    """
    root, task = copy.deepcopy(request.document.root), request.task
    settings = root["tasks"][task]
    settings["raw"]["training"]["volumes"] = size.train + size.validation
    settings["raw"]["test"].update({"volumes": size.test, "each": False})
    settings["prepare"]["split"].update({"train": size.train, "validation": size.validation})
    settings["train"]["epochs"] = size.epochs
    root["train"].update({"precision": request.precision, **train})
    root["sliding_window"]["precision"] = request.precision
    folder.mkdir()
    (folder / "params.yaml").write_text(profiles.dump(root), encoding="utf-8")
    cells = sum(cell.task == task for cell in read_study(request.document).cells)
    with contextlib.chdir(folder):
        recipe = Document.read().section(("tasks", task, "raw"), SpheresRaw)
        source = Path("data/raw") / task
        raw.write_spheres(recipe, task, source)
        begin = time.perf_counter()
        prepare.main([task])
        prepare_s = time.perf_counter() - begin
        if for_both:
            for path in sorted(source.glob("*/*.nii.gz")):
                kind = {"images": "image", "labels": "label"}[path.parent.name[:-2]]
                name = path.name.removesuffix(".nii.gz")
                target = _original(Path(), kind, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                voxels = np.asarray(nifti.read(path).dataobj)
                volumes.save(target, voxels, np.diag([recipe.spacing_mm] * 3 + [1.0]))
    return Study(folder, task, prepare_s / cells)


def _original(folder: Path, kind: str, name: str) -> Path:
    return folder / "original" / kind / f"{name}.nii.gz"
