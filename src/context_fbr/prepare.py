"""Turn the raw volumes of a task into what the networks see: data/raw/TASK -> data/prepared/TASK.

python -m context_fbr.prepare TASK
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from context_fbr import atomic, nifti, prepared
from context_fbr.errors import UserError, raise_problems, run
from context_fbr.geometry import to_prepared
from context_fbr.msd import description as dataset_json
from context_fbr.msd.description import Description
from context_fbr.preparation import check_pair, prepare_image, read_label
from context_fbr.prepared import Case
from context_fbr.progress import progress
from context_fbr.recipe import Recipe
from context_fbr.splits import Source, assign_splits
from context_fbr.study.document import Document
from context_fbr.study.preparation import Prepare
from context_fbr.workers import usable_workers

MEMORY_PER_CASE = 3 << 29  # bytes; a scan of 512 x 512 x 168 takes about half of that while it is prepared


def prepare_case(
    source: Source, raw: Path, settings: Prepare, classes: set[int]
) -> tuple[Case, np.ndarray, np.ndarray]:
    """Prepare one case: what is known of it, image (x, y, z) float32, label (x, y, z) uint8.

    Args:
        source: its files.
        raw: the data set's folder.
        settings: of the task.
        classes: the values that a label may hold, 0 among them.

    Raises:
        UserError: if a file cannot be read or used, or image and label do not belong together.
    """
    paths = raw / source.image, raw / source.label
    image, label = (nifti.read(path) for path in paths)
    check_pair(image, label, *paths)
    mask = read_label(label, paths[1], classes, settings.foreground)
    del label  # and with it its voxels
    voxels, where, background = prepare_image(image, paths[0], settings)
    mask = to_prepared(mask, where, linear=False)
    count = int(mask.sum())
    case = Case(
        source.name,
        source.split,
        str(source.image),
        str(source.label),
        settings.foreground,
        where,
        background,
        count,
        count / mask.size,
        float(image.get_fdata(dtype=np.float32).min()),
    )
    return case, voxels, mask


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if len(arguments) != 1:
        raise UserError(f"expected TASK, for example `spheres`, got {arguments}")
    (task,) = arguments
    settings = Document.read().section(("tasks", task, "prepare"), Prepare)
    raw = Path("data/raw") / task
    description = _describe(raw)
    classes = set(description.labels)
    absent = sorted(set(settings.foreground) - classes)
    if absent:
        raise UserError(
            f"params.yaml: tasks.{task}.prepare.foreground: {absent} are no labels of "
            f"{raw / 'dataset.json'}, which has {sorted(classes)}"
        )
    sources = assign_splits(raw, settings.split)
    cases: list[Case] = []
    problems: list[str] = []
    with atomic.directory(prepared.folder(task)) as target:
        for done in _prepare_all(sources, raw, settings, classes, target):
            if isinstance(done, Case):
                cases.append(done)
            else:
                problems += done
        raise_problems(problems)
        for case in cases:
            if not case.foreground_voxels:
                print(
                    f"warning: {raw / case.label}: no foreground (label values {list(settings.foreground)}) "
                    f"on the prepared grid; the case has no Dice",
                    file=sys.stderr,
                )
        lowest = min(case.lowest_intensity for case in cases if case.split == "train")
        recipe = Recipe(settings, description.modalities, lowest)
        prepared.write_cases(target, task, cases, recipe.as_json())


def _prepare_all(
    sources: Sequence[Source], raw: Path, settings: Prepare, classes: set[int], target: Path
) -> Iterator[Case | tuple[str, ...]]:
    """Prepare and write the cases side by side; in their order, each case or its problems.

    By threads: unpacking, numpy and writing do not hold Python's lock.
    """

    def work(source: Source) -> Case | tuple[str, ...]:
        try:
            case, image, label = prepare_case(source, raw, settings, classes)
        except UserError as error:  # go on: several bad files are reported together
            return error.problems
        prepared.write_volume(target, case, image, label)
        return case

    pool = ThreadPoolExecutor(usable_workers(len(sources), MEMORY_PER_CASE))
    try:
        yield from progress(pool.map(work, sources), len(sources), f"prepare {raw.name}", "volume")
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt, only the cases in hand are finished


def _describe(raw: Path) -> Description:
    description, problems = dataset_json.read(raw)
    if description is None:
        remedy = f"run `dvc repro raw@{raw.name}`, or `dvc pull` the data"
        raise UserError(*(f"{raw / problem.file}: {problem.text}; {remedy}" for problem in problems))
    return description


if __name__ == "__main__":
    run(main)
