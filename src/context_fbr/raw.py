"""Put a task's raw data in data/raw/TASK, in the layout of the Medical Segmentation Decathlon.

python -m context_fbr.raw TASK
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from context_fbr.config.raw.source import ArchiveRaw, FolderRaw, read_raw
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core import atomic, nifti
from context_fbr.core.errors import UnavailableDataError
from context_fbr.core.progress import progress
from context_fbr.datasets import spheres, twins
from context_fbr.datasets.archive import record, unavailable
from context_fbr.datasets.archive.acquire import acquire
from context_fbr.networks import allocator
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import run_command, task_argument


def write_spheres(raw: SpheresRaw, task: str, folder: Path) -> None:
    """Write imagesTr, labelsTr, imagesTs, labelsTs and dataset.json into `folder`."""
    affine = np.diag([raw.spacing_mm] * 3 + [1.0])
    sets: dict[int, list[str]] = {spheres.TRAINING: [], spheres.TEST: []}
    volumes = spheres.volumes(raw, task)
    for volume in progress(volumes, len(volumes), f"raw {task}", "volume"):
        image, label = spheres.generate(raw, volume.stream, volume.index)
        suffix = {spheres.TRAINING: "Tr", spheres.TEST: "Ts"}[volume.stream]
        name = f"{volume.name}.nii.gz"
        nifti.write(folder / f"images{suffix}" / name, image, affine)
        nifti.write(folder / f"labels{suffix}" / name, label, affine)
        sets[volume.stream].append(name)
    text = f"one generated sphere in a cube of {raw.edge} voxels, seed {raw.seed}"
    labels = {"0": "background", "1": "sphere"}
    description = _description(task, text, labels, sets[spheres.TRAINING], sets[spheres.TEST])
    if design := spheres.design(raw, task):
        description["test_design"] = design  # the radius; the analysis takes other intervals for a grid
    atomic.write_text(folder / "dataset.json", json.dumps(description, indent=1) + "\n")


def write_twins(raw: TwinsRaw, task: str, folder: Path) -> None:
    """Write imagesTr, labelsTr, imagesTs, labelsTs and dataset.json into `folder`."""
    volumes = twins.volumes(raw, task)
    sets: dict[int, list[str]] = {twins.TRAINING: [], twins.TEST: []}
    affine = np.diag([raw.spacing_mm] * 3 + [1.0])
    for volume in progress(volumes, len(volumes), f"raw {task}", "volume"):
        made = twins.generate(raw, volume.stream, volume.index, volume.variant)
        suffix = {twins.TRAINING: "Tr", twins.TEST: "Ts"}[volume.stream]
        name = f"{volume.name}.nii.gz"
        nifti.write(folder / f"images{suffix}" / name, made.image, affine)
        nifti.write(folder / f"labels{suffix}" / name, made.label, affine)
        sets[volume.stream].append(name)
    text = f"two generated balls, one of them foreground, in a cube of {raw.edge} voxels, seed {raw.seed}"
    labels = {"0": "background", "1": "ball", "2": "distractor"}
    description = _description(task, text, labels, sets[twins.TRAINING], sets[twins.TEST])
    if design := twins.design(raw, task):
        description["test_design"] = design  # the distance
    if variants := {volume.name: volume.variant for volume in volumes if volume.variant}:
        description["test_variants"] = variants
    atomic.write_text(folder / "dataset.json", json.dumps(description, indent=1) + "\n")


def _description(
    task: str, text: str, labels: dict[str, str], training: Sequence[str], test: Sequence[str]
) -> dict[str, object]:
    """Return the content of dataset.json of generated files."""
    return {
        "name": task,
        "description": text,
        "licence": "MIT",
        "modality": {"0": "synthetic"},
        "labels": labels,
        "numTraining": len(training),
        "numTest": len(test),
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in training],
        "test": [f"./imagesTs/{n}" for n in test],
    }


def main(arguments: list[str]) -> None:
    """Run the stage."""
    task = task_argument(arguments)
    with stage_inputs.unchanged("raw", task=task) as inputs:
        raw = read_raw(inputs.document, task)
        with atomic.directory(Path("data/raw") / task) as folder:
            if isinstance(raw, ArchiveRaw | FolderRaw):
                try:
                    record.write(task, acquire(raw, task, folder), folder)
                except UnavailableDataError as error:
                    unavailable.note(task, error)
                    raise
            else:
                allocator.keep()
                if isinstance(raw, SpheresRaw):
                    write_spheres(raw, task, folder)
                else:
                    write_twins(raw, task, folder)
            inputs.check()


if __name__ == "__main__":
    run_command(main)
