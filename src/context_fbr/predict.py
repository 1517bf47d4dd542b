"""`context-fbr predict CELL IMAGE... --out DIR`: segment any image with a trained cell.

An image is prepared as those that the cell was trained with, and the mask is written in the image's own grid.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel
import numpy as np
import torch

from context_fbr import bounded, nifti
from context_fbr.cells import Cell
from context_fbr.device import DEVICE_VARIABLE, prepare_device
from context_fbr.errors import UserError, raise_problems
from context_fbr.geometry import Geometry, to_original
from context_fbr.inference import segment
from context_fbr.msd.description import Description, case_name
from context_fbr.msd.inspection import facts_of
from context_fbr.msd.layout import nifti_files
from context_fbr.msd.problems import Severity
from context_fbr.msd.rules import image_problems
from context_fbr.preparation import prepare_image
from context_fbr.progress import progress
from context_fbr.recipe import Recipe, from_json
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow, Training
from context_fbr.trained import load_network


def predict(cell: Cell, images: Sequence[Path], out: Path, overwrite: bool) -> Iterator[str]:
    """Segment images one after the other into `out`/NAME.nii.gz; yield a line on each.

    An image that cannot be used does not stop the others, nor does one that is too large for the GPU.

    Args:
        cell: that is trained.
        images: NIfTI files, or folders of them.
        out: folder for the masks, uint8, 1 where foreground, on the grid of the image.
        overwrite: whether masks that are there already are replaced.

    Raises:
        UserError: before anything is written if files are missing or masks are there already; at the end
            with every image that could not be used, or whose mask could not be written.
    """
    document = Document.read()
    recipe = read_recipe(cell)
    jobs = _jobs(images, out, overwrite)
    window = document.section(("sliding_window",), SlidingWindow)
    device = prepare_device(document.section(("train",), Training).threads)
    try:
        network = load_network(document, cell, device)
    except torch.cuda.OutOfMemoryError:
        raise UserError(
            f"{device}: too little of its memory is free for the network; wait for what else runs there, "
            f"or set {DEVICE_VARIABLE} to another GPU or to cpu"
        ) from None
    problems: list[str] = []
    for source, target in progress(jobs.items(), len(jobs), f"predict {cell.key}", "image"):
        try:
            image = nifti.read(source)
            check_image(image, source, recipe)
            voxels, where, background = prepare_image(image, source, recipe.preparation)
            mask = _segment(network, torch.from_numpy(voxels).to(device), cell, window, background, source)
            prediction = to_original(mask.cpu().numpy(), where)
            nifti.write(target, prediction, image.affine)
        except UserError as error:  # go on: several bad files are reported together
            problems += error.problems
        else:
            yield f"{target}: {_said_of(prediction, where, cell)}"
    raise_problems(problems)


def _segment(
    network: torch.nn.Module,
    voxels: torch.Tensor,
    cell: Cell,
    window: SlidingWindow,
    background: float,
    source: Path,
) -> torch.Tensor:
    """As `inference.segment`; errors name the file."""
    try:
        return segment(network, voxels, cell.patch_size, window, background)
    except UserError as error:
        raise UserError(*(f"{source}: {problem}" for problem in error.problems)) from error


def read_recipe(cell: Cell) -> Recipe:
    """How the images were made that a cell was trained with.

    Raises:
        UserError: if the cell is not trained, or by another version of this program.
    """
    path = cell.training
    try:
        return from_json(bounded.read_json(path)["recipe"])
    except FileNotFoundError:
        remedy = f"`dvc pull train@{cell.key}` or `dvc repro train@{cell.key}`"
        raise UserError(f"{path}: not found: the cell is not trained; {remedy}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: is damaged, or of another version ({error!r}); train it again with "
            f"`dvc repro -f train@{cell.key}`"
        ) from error


def check_image(image: nibabel.Nifti1Image, path: Path, recipe: Recipe) -> None:
    """Check that an image is one of the kind that the cell was trained with.

    Raises:
        UserError: with everything that speaks against it.
    """
    facts = facts_of(image, str(path), is_label=False)
    kind = Description("", recipe.modality, (), (), ())
    problems = [
        f"{path}: {problem.text}; take the original, or an image of that kind"
        for problem in image_problems(facts, kind)
        if problem.severity is Severity.ERROR
    ]
    if not kind.is_ct and facts.minimum < 0 <= recipe.lowest_intensity:
        kinds = ", ".join(recipe.modality) or "unknown modality"
        problems.append(
            f"{path}: values down to {facts.minimum:g}, but the training images ({kinds}) have none below 0; "
            "take an image of that kind"
        )
    raise_problems(problems)


def _jobs(images: Sequence[Path], out: Path, overwrite: bool) -> dict[Path, Path]:
    """Image and mask of each job; folders stand for the NIfTI files in them."""
    problems: list[str] = []
    sources: list[Path] = []
    if out.exists() and not out.is_dir():
        problems.append(f"{out}: is a file, expected a folder for the masks; name another one with --out")
    for path in images:
        if path.is_dir():
            found = nifti_files(path)
            if not found:
                problems.append(f"{path}: holds no .nii or .nii.gz file")
            sources += found
        elif path.is_file():
            sources.append(path)
        else:
            problems.append(f"{path}: not found; expected a .nii or .nii.gz file, or a folder of them")
    jobs: dict[Path, Path] = {}
    for source in dict.fromkeys(sources):
        target = out / f"{case_name(source.name)}.nii.gz"
        twin = next((other for other, its in jobs.items() if its == target), None)
        if twin:
            problems.append(f"{source}: has the same name as {twin}; segment it into another folder")
        elif target.exists() and target.resolve() in {path.resolve() for path in sources}:
            problems.append(f"{target}: is an image itself; name another folder with --out")
        elif target.exists() and not overwrite:
            problems.append(f"{target}: is there already; name another folder, or give --overwrite")
        jobs[source] = target
    raise_problems(problems)
    return jobs


def _times(where: Geometry) -> str:
    return " x ".join(map(str, where.shape))


def _said_of(prediction: np.ndarray, where: Geometry, cell: Cell) -> str:
    voxels = int(prediction.sum())
    said = f"{voxels} voxels, {voxels * float(np.prod(where.original_spacing_mm)) / 1000:.1f} ml"
    if not voxels:
        said = "empty, nothing was found"
    if min(where.shape) < cell.patch_size:
        said += f"; padded, its shape of {_times(where)} is smaller than the patch"
    return said
