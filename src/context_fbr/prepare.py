"""Prepare the raw volumes of a task for the networks: data/raw/TASK -> data/prepared/TASK.

python -m context_fbr.prepare TASK
"""

import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.core import atomic, nifti, nifti_header
from context_fbr.core.errors import UserError, raise_problems, visible
from context_fbr.core.geometry import geometry, to_prepared
from context_fbr.core.progress import progress
from context_fbr.core.resources import usable_workers
from context_fbr.datasets import dataset_json
from context_fbr.datasets.dataset_json import Description
from context_fbr.preprocessing import prepared, shifted_crops
from context_fbr.preprocessing.prepared import Case
from context_fbr.preprocessing.recipe import Recipe
from context_fbr.preprocessing.splits import Source, assign_splits, in_no_split
from context_fbr.preprocessing.transforms import check_pair, prepare_image, read_label
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import run_command, task_argument
from context_fbr.runtime.stage_inputs import StageInputs

BYTES_PER_SOURCE_VOXEL = 24
"""Memory of a case while it is prepared; 12 to 27 were measured, with int16 to float64."""
BYTES_PER_PREPARED_VOXEL = 8
"""Memory on top of these, for results and for interpolating to finer voxels."""
SHOWN = 10  # names in a line


def prepare_case(
    source: Source, raw: Path, settings: Prepare, classes: set[int]
) -> tuple[Case, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Prepare one case.

    Args:
        source: its files.
        raw: the data set's folder.
        settings: of the task.
        classes: values that a label may hold, 0 among them.

    Returns:
        The case, its image (x, y, z) float32, its label (x, y, z) uint8, and warnings.

    Raises:
        UserError: if a file cannot be read or used, or image and label do not belong together.
    """
    paths = raw / source.image, raw / source.label
    image, label = nifti.read(paths[0], channels=True), nifti.read(paths[1])
    check_pair(image, label, *paths)
    mask = read_label(label, paths[1], classes, settings.groups)
    del label  # and with it its voxels
    voxels, where, background = prepare_image(image, paths[0], settings)
    warnings = []
    drawn = np.count_nonzero(mask)
    lost = drawn - np.count_nonzero(mask[tuple(slice(start, stop) for start, stop in where.box)])
    if lost:
        lows = ", ".join(f"{low:g}" for low, _ in settings.windows) or "0"
        least = lows if len(settings.windows) < 2 else f"the low end of its window ({lows} by channel)"
        warnings.append(
            f"{paths[1]}: the crop leaves out {lost} of {drawn} foreground voxels ({lost / drawn:.1%}): out "
            f"there no voxel is above {least}; correct the label, or change window or crop"
        )
    mask = to_prepared(mask, where, linear=False)
    count = int(np.count_nonzero(mask))
    found = set(np.unique(mask).tolist())
    for number, group in enumerate(settings.groups, start=1):
        if number not in found:
            name = settings.names[number - 1] if settings.names else "foreground"
            warnings.append(
                f"{paths[1]}: no {name} (label values {list(group)}) on the prepared grid; "
                f"the case has no Dice{' of it' if settings.names else ''}"
            )
    case = Case(
        source.name,
        source.split,
        str(source.image),
        str(source.label),
        settings.label_values,
        where,
        background,
        count,
        count / mask.size,
        float(image.get_fdata(dtype=np.float32).min()),
        distractor=settings.distractor,
        channels=math.prod(image.shape[3:]),
        structures=tuple(zip(settings.names, settings.groups, strict=False)),
    )
    return case, voxels, mask, tuple(warnings)


def memory_to_prepare(image: Path, settings: Prepare) -> int:
    """Return the peak memory of preparing a case in bytes, by its image's header; 0 if that cannot be read.

    The crop is not known before the image is read: this is for the whole image.
    """
    try:
        checked = nifti_header.check(nifti.read_header(image))
        with np.errstate(all="ignore"):  # an affine may be anything
            where = geometry(checked.header.get_data_shape(), checked.affine, None, settings.spacing_mm)
            prepared_voxels = math.prod(where.shape)
    except (
        Exception
    ):  # gzip and nibabel raise many types for a damaged file, which is reported when it is read
        return 0
    source_voxels = math.prod(where.original_shape)
    return BYTES_PER_SOURCE_VOXEL * source_voxels + BYTES_PER_PREPARED_VOXEL * max(prepared_voxels, 0)


def main(arguments: list[str]) -> None:
    """Run the stage."""
    task = task_argument(arguments)
    with stage_inputs.unchanged("prepare", task=task) as inputs:
        prepare(task, inputs)


def prepare(task: str, inputs: StageInputs) -> None:
    """Prepare all cases of a task and write data/prepared/TASK.

    Raises:
        UserError: with every case that cannot be prepared, or if an input changed meanwhile.
    """
    document = inputs.document
    settings = document.section(("tasks", task, "prepare"), Prepare)
    raw = Path("data/raw") / task
    description = _describe(raw)
    classes = set(description.labels)
    key = "structures" if settings.structures else "foreground"
    known = {key: settings.label_values, "distractor": settings.distractor}
    absent = {key: sorted(set(values) - classes) for key, values in known.items()}
    raise_problems(
        [
            f"params.yaml: tasks.{task}.prepare.{key}: {values} are no labels of "
            f"{raw / 'dataset.json'}, which has {sorted(classes)}"
            for key, values in absent.items()
            if values
        ]
    )
    sources = assign_splits(raw, settings.split)
    unused = in_no_split(raw, sources)
    if unused:
        names = ", ".join(unused[:SHOWN]) + (", ..." if len(unused) > SHOWN else "")
        print(f"{task}: {_cases(len(unused))} in no split: {visible(names)}", flush=True)
    warnings: list[str] = []
    if description.is_ct and settings.crop and settings.window is None:
        text = "crops a CT to what is above 0 HU, as there is no window: fat, lungs and air count as nothing"
        warnings.append(document.problem(("tasks", task, "prepare", "crop"), text))
    cases: list[Case] = []
    problems: list[str] = []
    with atomic.directory(prepared.folder(task)) as target:
        for done in _prepare_all(sources, raw, settings, classes, target):
            problems += done.problems
            warnings += done.warnings
            cases += done.cases
        raise_problems(problems)
        for warning in warnings:
            print(f"warning: {visible(warning)}", file=sys.stderr)
        lowest = min(case.lowest_intensity for case in cases if case.split == "train")
        channels = _channels(task, cases)
        recipe = Recipe(settings, description.modalities, lowest, channels)
        cases = [
            replace(
                case,
                design=description.test_design.get(case.name),
                variant=case.variant or description.test_variants.get(case.name),
            )
            for case in sorted(cases, key=lambda case: case.variant is not None)
        ]
        prepared.write_cases(target, task, cases, recipe.as_json())
        inputs.check()


@dataclass(frozen=True)
class _Done:
    cases: tuple[Case, ...] = ()
    """The case, and perhaps its shifted crop; none if there were problems."""
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def _prepare_all(
    sources: Sequence[Source], raw: Path, settings: Prepare, classes: set[int], target: Path
) -> Iterator[_Done]:
    """Prepare and write the cases in parallel; yield their results in order.

    Threads suffice: unpacking, numpy and writing do not hold Python's lock.
    """

    def work(source: Source) -> _Done:
        try:
            case, image, label, warnings = prepare_case(source, raw, settings, classes)
        except UserError as error:  # continue: several bad files are reported together
            return _Done(problems=error.problems)
        prepared.write_volume(target, case, image, label)
        again = shifted_crops.shifted_case(case, image, label) if settings.shifted_test_crops else None
        if again is None:
            return _Done((case,), warnings)
        prepared.write_volume(target, *again)
        return _Done((case, again[0]), warnings)

    largest = max(memory_to_prepare(raw / source.image, settings) for source in sources)
    pool = ThreadPoolExecutor(usable_workers(len(sources), largest))
    try:
        yield from progress(pool.map(work, sources), len(sources), f"prepare {raw.name}", "volume")
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt, only the cases in hand are finished


def _channels(task: str, cases: Sequence[Case]) -> int:
    """Return the number of channels of all cases.

    Raises:
        UserError: if they have different ones.
    """
    found = {case.channels: case for case in cases}
    if len(found) > 1:
        shown = ", ".join(f"{case.image}: {count}" for count, case in sorted(found.items()))
        raise UserError(f"data/raw/{task}: images have different numbers of channels ({shown})")
    return cases[0].channels


def _cases(count: int) -> str:
    return "1 case is" if count == 1 else f"{count} cases are"


def _describe(raw: Path) -> Description:
    description, problems = dataset_json.read(raw)
    if description is None:
        remedy = f"run `dvc repro raw@{raw.name}`"
        raise UserError(*(f"{raw / problem.file}: {problem.text}; {remedy}" for problem in problems))
    return description


if __name__ == "__main__":
    run_command(main)
