"""Put a task's raw data in data/raw/TASK, in the layout of the Medical Segmentation Decathlon.

python -m context_fbr.raw TASK
"""

import json
from pathlib import Path

import numpy as np

from context_fbr import atomic, nifti, spheres
from context_fbr.errors import UserError, run
from context_fbr.progress import progress
from context_fbr.study.data import SpheresRaw
from context_fbr.study.document import Document


def write_spheres(raw: SpheresRaw, task: str, folder: Path) -> None:
    """Write imagesTr, labelsTr, imagesTs, labelsTs and dataset.json into `folder`."""
    affine = np.diag([raw.spacing_mm] * 3 + [1.0])
    sets = [
        ("Tr", spheres.TRAINING, index, f"{task}_{index:03d}.nii.gz") for index in range(raw.training.volumes)
    ] + [
        ("Ts", spheres.TEST, index, f"{task}_{raw.training.volumes + index:03d}.nii.gz")
        for index in range(raw.test.volumes)
    ]
    for suffix, stream, index, name in progress(sets, len(sets), f"raw {task}", "volume"):
        image, label = spheres.generate(raw, stream, index)
        nifti.write(folder / f"images{suffix}" / name, image, affine)
        nifti.write(folder / f"labels{suffix}" / name, label, affine)
    training = [name for suffix, *_, name in sets if suffix == "Tr"]
    test = [name for suffix, *_, name in sets if suffix == "Ts"]
    description = {
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
    atomic.write_text(folder / "dataset.json", json.dumps(description, indent=1) + "\n")


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if len(arguments) != 1:
        raise UserError(f"expected TASK, for example `spheres`, got {arguments}")
    (task,) = arguments
    raw = Document.read().section(("tasks", task, "raw"), SpheresRaw)
    with atomic.directory(Path("data/raw") / task) as folder:
        write_spheres(raw, task, folder)


if __name__ == "__main__":
    run(main)
