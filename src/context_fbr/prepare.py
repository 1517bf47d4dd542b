"""Turn the raw volumes of a task into what the networks see: data/raw/TASK -> data/prepared/TASK.

python -m context_fbr.prepare TASK
"""

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from context_fbr import atomic, nifti, prepared
from context_fbr.errors import UserError, raise_problems, run
from context_fbr.prepared import Case
from context_fbr.progress import progress
from context_fbr.study.data import Prepare, Split
from context_fbr.study.document import Document


@dataclass(frozen=True)
class Source:
    """Where a case comes from."""

    name: str
    split: str
    image: Path
    label: Path


def assign_splits(raw: Path, split: Split) -> tuple[Source, ...]:
    """Assign the files of an MSD folder to train, validation and test, in the order of sorted file names.

    Raises:
        UserError: if there are fewer cases than the split asks for, or images without label.
    """
    training = _pairs(raw, "Tr")
    counts = [split.train, split.validation]
    if split.test == "imagesTs":
        test = _pairs(raw, "Ts")
        if not test:
            raise UserError(f"{raw / 'imagesTs'}: no test volumes, but the split says `test: imagesTs`")
    else:
        test = ()
        counts.append(split.test)
    if sum(counts) > len(training):
        raise UserError(
            f"{raw / 'imagesTr'}: {len(training)} volumes, but the split asks for "
            f"{' + '.join(map(str, counts))}; change tasks.{raw.name}.prepare.split in params.yaml"
        )
    names = [name for name, count in zip(prepared.SPLITS, counts, strict=False) for _ in range(count)]
    chosen = zip(names, training, strict=False)
    return tuple(
        Source(image.name.removesuffix(".gz").removesuffix(".nii"), name, image, label)
        for name, (image, label) in [*chosen, *(("test", pair) for pair in test)]
    )


def read_source(source: Source, classes: set[int]) -> tuple[Case, np.ndarray, np.ndarray]:
    """Read one case in the orientation RAS: case, image (x, y, z) float32, label (x, y, z) uint8.

    Args:
        source: its files.
        classes: the values that a label may hold, 0 among them.

    Raises:
        UserError: if a file cannot be read, or image and label do not belong together.
    """
    image, label = (nibabel.as_closest_canonical(nifti.read(path)) for path in (source.image, source.label))
    if image.shape != label.shape:
        raise UserError(f"{source.label}: shape {label.shape}, but its image has {image.shape}")
    if not np.allclose(image.affine, label.affine, atol=1e-3):
        raise UserError(f"{source.label}: its affine is not that of its image {source.image}")
    voxels = image.get_fdata(dtype=np.float32)
    if not np.isfinite(voxels).all():
        raise UserError(f"{source.image}: {int((~np.isfinite(voxels)).sum())} voxels are NaN or infinite")
    values = label.get_fdata(dtype=np.float32)
    unknown = sorted(set(np.unique(values).tolist()) - {float(c) for c in classes})
    if unknown:
        raise UserError(
            f"{source.label}: labels {unknown[:5]}, expected {sorted(classes)} as in dataset.json"
        )
    foreground = (values > 0).astype(np.uint8)
    count = int(foreground.sum())
    affine = tuple(tuple(float(v) for v in row) for row in image.affine)
    case = Case(source.name, source.split, image.shape, affine, count, count / foreground.size)
    return case, voxels, foreground


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if len(arguments) != 1:
        raise UserError(f"expected TASK, for example `spheres`, got {arguments}")
    (task,) = arguments
    settings = Document.read().section(("tasks", task, "prepare"), Prepare)
    raw = Path("data/raw") / task
    classes = _classes(raw / "dataset.json")
    sources = assign_splits(raw, settings.split)
    cases: list[Case] = []
    problems: list[str] = []
    with atomic.directory(prepared.folder(task)) as target:
        for source in progress(sources, len(sources), f"prepare {task}", "volume"):
            try:
                case, image, label = read_source(source, classes)
            except UserError as error:  # go on: several bad files are reported together
                problems.extend(error.problems)
                continue
            prepared.write_volume(target, case, image, label)
            cases.append(case)
        raise_problems(problems)
        prepared.write_cases(target, task, cases)


def _pairs(raw: Path, suffix: str) -> tuple[tuple[Path, Path], ...]:
    images = {path.name: path for path in sorted((raw / f"images{suffix}").glob("*.nii*"))}
    labels = {path.name: path for path in sorted((raw / f"labels{suffix}").glob("*.nii*"))}
    raise_problems(
        [f"{path}: image without label in labels{suffix}" for n, path in images.items() if n not in labels]
        + [f"{path}: label without image in images{suffix}" for n, path in labels.items() if n not in images]
    )
    return tuple((images[name], labels[name]) for name in images)


def _classes(path: Path) -> set[int]:
    try:
        return {int(value) for value in json.loads(path.read_text(encoding="utf-8"))["labels"]}
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro raw@{path.parent.name}` first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is no MSD dataset.json ({error!r})") from error


if __name__ == "__main__":
    run(main)
