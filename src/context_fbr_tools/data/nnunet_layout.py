"""Data sets in nnU-Net's layout, one file per channel, written again in the Decathlon's.

DIR/imagesTr/CASE_0000.nii.gz, CASE_0001.nii.gz, ... become OUT/imagesTr/CASE.nii.gz, of several channels a 4D
image; DIR/labelsTr/CASE.nii.gz is copied; dataset.json is turned from names of labels to their values.
"""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from context_fbr.core import atomic, bounded, nifti
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.progress import progress
from context_fbr.datasets.dataset_json import NAME, case_name
from context_fbr.datasets.layout import nifti_files

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
SETS = (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"))
LARGEST_SHIFT_MM = 1e-3
"""Greatest distance of the same voxel in two channels, which headers in float32 may round."""

Channels = Mapping[str, Path]
"""Files of a case by channel, `0000` first."""


def convert(folder: Path, out: Path) -> int:
    """Write a data set in the Decathlon's layout into a new folder, and return its number of cases.

    Raises:
        UserError: if `out` is there already, or with everything that is wrong; nothing is then written.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; name a new folder")
    description = _description(folder)
    cases = {images: _cases(folder / images) for images, _ in SETS}
    names = [f"{number:04}" for number in range(len(description["modality"]))]
    problems = [
        problem
        for images, labels in SETS
        for problem in _name_problems(folder, images, labels, cases[images], names)
    ]
    if not cases["imagesTr"]:
        problems.append(
            f"{folder / 'imagesTr'}: holds no image named CASE_0000.nii.gz, as nnU-Net names them"
        )
    raise_problems(problems)
    every = [(images, case, files) for images, own in cases.items() for case, files in own.items()]
    with atomic.directory(out) as target:
        for images, case, files in progress(every, len(every), f"convert {folder.name}", "case"):
            try:
                _write(list(files.values()), target / images / f"{case}.nii.gz")
            except UserError as error:
                problems += error.problems
        raise_problems(problems)
        for _, labels in SETS:
            for path in nifti_files(folder / labels):
                (target / labels).mkdir(exist_ok=True)
                shutil.copyfile(path, target / labels / _packed_name(path))
        _pack(target)
        training = sorted(cases["imagesTr"])
        listed = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in training]
        description |= {"numTraining": len(training), "numTest": len(cases["imagesTs"]), "training": listed}
        description |= {"test": [f"./imagesTs/{name}.nii.gz" for name in sorted(cases["imagesTs"])]}
        atomic.write_text(target / NAME, json.dumps(description, indent=1, ensure_ascii=False) + "\n")
    return len(every)


def _description(folder: Path) -> dict[str, Any]:
    """Read nnU-Net's dataset.json: name, modality and labels as the Decathlon writes them.

    Raises:
        UserError: if it is missing, damaged, or has labels of regions.
    """
    path = folder / NAME
    try:
        content = bounded.read_json(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read: {reason}; expected nnU-Net's {NAME}") from error
    channels, labels = ((content or {}).get(key) for key in ("channel_names", "labels"))
    if not isinstance(channels, dict) or not isinstance(labels, dict) or not channels:
        raise UserError(f"{path}: lacks channel_names or labels; expected that of nnU-Net, version 2")
    regions = [name for name, value in labels.items() if type(value) is not int]
    if regions:
        raise UserError(
            f"{path}: labels: {regions[0]!r} is a region of several values; give each value its own "
            "name, and put values together with `structures` in params.yaml"
        )
    by_value = {str(value): str(name) for name, value in sorted(labels.items(), key=lambda item: item[1])}
    modality = {str(number): str(name) for number, name in enumerate(channels.values())}
    return {"name": str(content.get("name", folder.name)), "modality": modality, "labels": by_value}


def _cases(folder: Path) -> dict[str, Channels]:
    """Return the files of each case of a folder by channel."""
    found: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for path in nifti_files(folder):
        if match := CHANNEL.fullmatch(case_name(path.name)):
            found[match["case"]][match["channel"]] = path
    return {case: dict(sorted(found[case].items())) for case in sorted(found)}


def _name_problems(
    folder: Path, images: str, labels: str, cases: Mapping[str, Channels], names: Sequence[str]
) -> list[str]:
    """Return a problem for each case that lacks a channel, has another one, or has no label."""
    labelled = {case_name(path.name) for path in nifti_files(folder / labels)}
    problems = [
        f"{folder / images}: {case} has the channels {', '.join(files)}, expected {', '.join(names)}"
        for case, files in cases.items()
        if list(files) != list(names)
    ]
    if labels == "labelsTr" or labelled:
        problems += [f"{folder / labels}: {case} has no label" for case in cases if case not in labelled]
        problems += [
            f"{folder / images}: {case} has a label and no image" for case in sorted(labelled - {*cases})
        ]
    return problems


def _write(files: Sequence[Path], target: Path) -> None:
    """Write the channels of a case as one image.

    Raises:
        UserError: if a file is damaged, or a channel is on another grid than the first.
    """
    channels = [nifti.read(path) for path in files]
    first = channels[0]
    problems = [
        f"{path}: is on another grid than the first channel, {_grid(image)}; expected {_grid(first)}"
        for path, image in zip(files, channels, strict=True)
        if image.shape != first.shape or _distance_mm(image, first) > LARGEST_SHIFT_MM
    ]
    raise_problems(problems)
    voxels = [np.asarray(image.dataobj) for image in channels]
    joined = voxels[0] if len(voxels) == 1 else np.stack(voxels, axis=-1)
    target.parent.mkdir(exist_ok=True)
    joined = joined if joined.dtype.kind in "iu" and joined.dtype.itemsize < 8 else joined.astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(joined, first.affine), target)


def _grid(image: nibabel.Nifti1Image) -> str:
    shape, spacing = " x ".join(map(str, image.shape)), image.header.get_zooms()[:3]
    return f"{shape} voxels of {' x '.join(f'{edge:g}' for edge in spacing)} mm"


def _distance_mm(image: nibabel.Nifti1Image, other: nibabel.Nifti1Image) -> float:
    """Return the greatest distance of a corner of the volume between two affines."""
    ends = np.array(np.meshgrid(*[(0, edge - 1) for edge in image.shape])).reshape(3, -1)
    corners = np.vstack([ends, np.ones(ends.shape[1])])
    return float(np.abs((image.affine - other.affine) @ corners).max())


def _packed_name(path: Path) -> str:
    """Return the name of a label in the new folder, which is unpacked first if it was not packed."""
    return f"{case_name(path.name)}{'.nii.gz' if path.name.lower().endswith('.gz') else '.nii'}"


def _pack(target: Path) -> None:
    """Pack labels that are not: image and label of a case have the same name."""
    for _, labels in SETS:
        for path in (target / labels).glob("*.nii"):
            nibabel.save(nibabel.load(path), path.with_suffix(".nii.gz"))
            path.unlink()
