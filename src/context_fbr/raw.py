"""Put a task's raw data in data/raw/TASK, in the layout of the Medical Segmentation Decathlon.

python -m context_fbr.raw TASK
"""

import json
from pathlib import Path

import numpy as np

from context_fbr.config.raw import SpheresRaw, read_raw
from context_fbr.core import allocator, atomic, nifti
from context_fbr.core.progress import progress
from context_fbr.datasets import spheres
from context_fbr.datasets.archive.acquire import acquire
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
    training, test = sets[spheres.TRAINING], sets[spheres.TEST]
    description: dict[str, object] = {
        "name": task,
        "description": f"one generated sphere in a cube of {raw.edge} voxels, seed {raw.seed}",
        "licence": "MIT",
        "modality": {"0": "synthetic"},
        "labels": {"0": "background", "1": "sphere"},
        "numTraining": len(training),
        "numTest": len(test),
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in training],
        "test": [f"./imagesTs/{n}" for n in test],
    }
    if design := spheres.design(raw, task):
        description["test_design"] = design  # the radius; the analysis takes other intervals for a grid
    atomic.write_text(folder / "dataset.json", json.dumps(description, indent=1) + "\n")


def main(arguments: list[str]) -> None:
    """Run the stage."""
    task = task_argument(arguments)
    with stage_inputs.unchanged("raw", task=task) as inputs:
        raw = read_raw(inputs.document, task)
        with atomic.directory(Path("data/raw") / task) as folder:
            if isinstance(raw, SpheresRaw):
                allocator.keep()
                write_spheres(raw, task, folder)
            else:
                acquire(raw, task, folder)
            inputs.check()


if __name__ == "__main__":
    run_command(main)
