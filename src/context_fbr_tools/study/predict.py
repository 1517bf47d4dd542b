"""`context-fbr predict CELL IMAGE... --out DIR`: segment any image with a trained cell.

An image is prepared as those that the cell was trained with, and the mask is written in the image's own grid.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.evaluation import read_windows
from context_fbr.config.training import SlidingWindow, Training, Window
from context_fbr.core import atomic, file_kinds, nifti
from context_fbr.core.errors import UserError, raise_problems, visible
from context_fbr.core.geometry import Geometry, classes_to_original, geometry, to_original
from context_fbr.core.padding import Background
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.core.progress import progress
from context_fbr.datasets.checks import image_problems
from context_fbr.datasets.dataset_json import Description, case_name
from context_fbr.datasets.layout import nifti_files
from context_fbr.datasets.problems import Problem, Severity
from context_fbr.datasets.volume_facts import facts_of
from context_fbr.networks import windows
from context_fbr.networks.device import DEVICE_VARIABLE, prepare_device
from context_fbr.networks.sliding_window import segment
from context_fbr.preprocessing.recipe import Recipe
from context_fbr.preprocessing.transforms import label_values, prepare_image
from context_fbr.training.weights import load_network, read_training

SPACING_RATIO = 3.0
"""A voxel's edge that differs from the training's by this factor, without resampling, is warned of."""


def predict(
    cell: Cell, images: Sequence[Path], out: Path, overwrite: bool, window: Window | None = None
) -> Iterator[str]:
    """Segment images one after the other into `out`/NAME.nii.gz; yield a line on each, warnings on stderr.

    An image that cannot be used does not stop the others, nor does one that is too large for the GPU. A mask
    takes over the header of its image: both forms with their codes, the edges of voxels, the units.

    Args:
        cell: that is trained.
        images: NIfTI files, or folders of them.
        out: folder for the masks, uint8, 1 where foreground, or the label values of several structures, on
            the grid of the image.
        overwrite: whether masks that are there already are replaced.
        window: of inference; None is the primary window of the task's evaluation.

    Raises:
        UserError: before anything is written if files are missing, masks are there already, or the network
            cannot take the window; at the end
            with every image that could not be used, or whose mask could not be written.
    """
    document = Document.read()
    training = read_training(cell)
    recipe = training.recipe
    jobs = _jobs(images, out, overwrite)
    atomic.check_folder(out)
    settings = document.section(("sliding_window",), SlidingWindow)
    wanted = read_windows(document, cell.task) if window is None else (window,)
    device = prepare_device(document.section(("train",), Training).threads)
    try:
        network = load_network(training, device)
    except torch.cuda.OutOfMemoryError:
        raise UserError(
            f"{device}: too little of its memory is free for the network; wait for what else runs there, "
            f"or set {DEVICE_VARIABLE} to another GPU or to cpu"
        ) from None
    resolved = _window(network, cell, wanted)
    spacings = None if recipe.preparation.spacing_mm else training.spacings_mm
    problems: list[str] = []
    for source, target in progress(jobs.items(), len(jobs), f"predict {cell.key}", "image"):
        try:
            volume = nifti.read_volume(source, channels=True)
            for warning in check_image(volume, source, recipe, spacings):
                print(f"warning: {visible(warning)}", file=sys.stderr, flush=True)
            voxels, where, background = prepare_image(volume.image, source, recipe.preparation)
            shape = windows.shape_of(network, resolved, voxels.shape[-3:])
            image = torch.from_numpy(voxels).to(device)
            mask = _segment(network, image, shape, settings, background, training.core, source)
            groups = recipe.preparation.groups
            prediction = _on_the_image(mask.cpu().numpy(), where, groups)
            atomic.write_bytes(target, nifti.encode_mask(prediction, volume.header))
        except UserError as error:  # continue: several bad files are reported together
            problems += error.problems
        else:
            yield visible(f"{target}: {_said_of(prediction, where, shape)}")
    raise_problems(problems)


def _window(network: torch.nn.Module, cell: Cell, wanted: Sequence[Window]) -> PatchSize | str:
    """Return the first window that a network takes, a size in voxels or `volume`.

    Raises:
        UserError: if it has a fixed size that is not among the windows, or cannot take the window.
    """
    resolved = windows.resolve(wanted, cell.patch_size, windows.has_fixed_size(network))
    if not resolved:
        raise UserError(
            f"{cell.key}: models.{cell.model} takes windows of its patch size alone, {cell.patch_size} "
            f"voxels, not {', '.join(map(str, wanted))}; give --window patch"
        )
    first = resolved[0]
    failure = None if isinstance(first, str) else windows.failure_of(network, edges_of(first))
    if failure:
        raise UserError(
            f"{cell.key}: models.{cell.model} cannot take a window of {first} voxels ({failure}); "
            "change --window"
        )
    return first


def _on_the_image(mask: np.ndarray, where: Geometry, groups: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Return a mask on the image's grid; of several structures with the first label value of each."""
    if len(groups) == 1:
        return to_original(mask, where)
    return label_values(classes_to_original(mask, where, len(groups)), groups)


def _segment(
    network: torch.nn.Module,
    voxels: torch.Tensor,
    window: windows.Shape,
    settings: SlidingWindow,
    background: Background,
    core: int | None,
    source: Path,
) -> torch.Tensor:
    """Segment an image, see `inference.segment`; errors name the file."""
    try:
        return segment(network, voxels, window, settings, background, core)
    except UserError as error:
        raise UserError(*(f"{source}: {problem}" for problem in error.problems)) from error


def check_image(
    volume: nifti.Volume, path: Path, recipe: Recipe, spacings: np.ndarray | None = None
) -> list[str]:
    """Check that an image is one of the kind that the cell was trained with, by the rules of `verify`.

    Args:
        volume: as read.
        path: of its file, for messages.
        recipe: of the cell.
        spacings: (2, 3) least and greatest edges of voxels of the training images in mm; None if images are
            resampled to one spacing.

    Returns:
        Warnings.

    Raises:
        UserError: with everything that speaks against it.
    """
    facts = facts_of(volume, str(path), is_label=False)
    if facts.channels != recipe.channels:
        names = ", ".join(recipe.modality) or "of unknown kind"
        text = f"{path}: {facts.channels} channels, but the cell was trained with {recipe.channels} ({names})"
        raise UserError(f"{text}; take an image of that kind")
    kind = Description("", recipe.modality, (), (), ())
    found = image_problems(facts, kind)
    problems = [_line(path, problem) for problem in found if problem.severity is Severity.ERROR]
    if not kind.is_ct and facts.minimum < 0 <= recipe.lowest_intensity:
        kinds = ", ".join(recipe.modality) or "unknown modality"
        problems.append(
            f"{path}: values down to {facts.minimum:g}, but the training images ({kinds}) have none below 0; "
            "take an image of that kind"
        )
    raise_problems(problems)
    warnings = [_line(path, problem) for problem in found if problem.severity is Severity.WARNING]
    if spacings is not None:
        warnings += _spacing_warnings(volume, path, spacings)
    return warnings


def _line(path: Path, problem: Problem) -> str:
    return f"{path}: {problem.text}; {problem.remedy}"


def _spacing_warnings(volume: nifti.Volume, path: Path, spacings: np.ndarray) -> Iterator[str]:
    """Warn of an edge of a voxel far outside of those of the training images."""
    edges = np.array(geometry(volume.image.shape[:3], volume.image.affine).spacing_mm)
    least, most = spacings.min(axis=0), spacings.max(axis=0)
    if (edges * SPACING_RATIO < least).any() or (edges > SPACING_RATIO * most).any():
        yield (
            f"{path}: its voxels are {_mm(edges)} mm, those of the training images "
            f"{_mm(least)}{'' if (least == most).all() else f' to {_mm(most)}'} mm, and images are not "
            "resampled (no spacing_mm in params.yaml): structures have another size in voxels than the "
            "network knows; resample the image, or use a cell that was trained with spacing_mm"
        )


def _mm(edges: np.ndarray) -> str:
    return " x ".join(f"{edge:.4g}" for edge in edges)


def _jobs(images: Sequence[Path], out: Path, overwrite: bool) -> dict[Path, Path]:
    """Image and mask of each job; a folder means the NIfTI files in it."""
    problems: list[str] = []
    sources: list[Path] = []
    if out.exists() and not out.is_dir():
        problems.append(f"{out}: is a file, expected a folder for the masks; name another one with --out")
    for path in images:
        if path.is_dir():
            found = nifti_files(path)
            if not found:
                problems.append(f"{path}: holds no .nii or .nii.gz file{_others(path)}")
            sources += found
        elif path.is_file() or path.is_symlink():  # where a link leads to nothing, its reader says why
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
        elif (unpacked := target.with_suffix("")).exists():
            problems.append(
                f"{target}: would be next to {unpacked.name}, which ITK reads in place of it; name another "
                "folder with --out"
            )
        elif target.exists() and not overwrite:
            problems.append(f"{target}: is there already; name another folder, or give --overwrite")
        jobs[source] = target
    raise_problems(problems)
    return jobs


def _others(folder: Path) -> str:
    """Continue the message on a folder without NIfTI files: the format of the first file in it."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
        for path in paths:
            kind = file_kinds.look(path).kind
            if kind.key not in ("nifti-1", "unknown", "text"):
                return f"; {path.name} {kind.text}: {kind.remedy}"
    except OSError:  # only an addition to a message
        pass
    return ""


def _said_of(prediction: np.ndarray, where: Geometry, window: windows.Shape) -> str:
    voxels = int(np.count_nonzero(prediction))
    said = f"{voxels} voxels, {voxels * float(np.prod(where.original_spacing_mm)) / 1000:.1f} ml"
    if not voxels:
        said = "empty, nothing was found"
    if any(edge < size for edge, size in zip(where.shape, window, strict=True)):
        said += f"; padded, its shape of {' x '.join(map(str, where.shape))} is smaller than the window"
    return said
