"""Data sets in nnU-Net's layout, one file per channel, written again in the Decathlon's.

DIR/imagesTr/CASE_0000.nii.gz, CASE_0001.nii.gz, ... become OUT/imagesTr/CASE.nii.gz, of several channels a 4D
image; DIR/labelsTr/CASE.nii.gz is copied; dataset.json is turned from names of labels to their values.
"""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from context_fbr.core import atomic, bounded, nifti
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.progress import progress
from context_fbr.datasets.dataset_json import NAME, case_name
from context_fbr.datasets.layout import nifti_files

COPIED = ("description", "reference", "licence", "release")
"""Keys of dataset.json that are kept: figures credit their source."""
IGNORED = "ignore"
"""Name of nnU-Net's label for voxels that no loss is computed on."""
CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
SETS = (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"))
LARGEST_SHIFT_MM = 1e-3
"""Greatest distance of the same voxel in two channels, which headers in float32 may round."""

GZIPPED = b"\x1f\x8b"
"""First bytes of a packed file."""

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
    names = [f"{number:04}" for number in range(len(description["modality"]))]
    problems: list[str] = []
    cases = {images: _cases(folder / images, problems) for images, _ in SETS}
    marks = {labels: _labels(folder / labels, problems) for _, labels in SETS}
    for images, labels in SETS:
        problems += _name_problems(folder, images, labels, cases[images], marks[labels], names)
    if not cases["imagesTr"]:
        text = "holds no image named CASE_0000.nii.gz, as nnU-Net names them"
        problems.append(f"{folder / 'imagesTr'}: {text}")
    raise_problems(problems)
    every = [(images, case, files) for images, own in cases.items() for case, files in own.items()]
    with atomic.directory(out) as target:
        for images, case, files in progress(every, len(every), f"convert {folder.name}", "case"):
            try:
                _write(list(files.values()), target / images / f"{case}.nii.gz")
            except UserError as error:
                problems += error.problems
        for labels, paths in marks.items():
            for case, path in paths.items():
                try:
                    _copy_label(path, target / labels / f"{case}.nii.gz")
                except UserError as error:
                    problems += error.problems
        raise_problems(problems)
        training = sorted(cases["imagesTr"])
        listed = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in training]
        description |= {"numTraining": len(training), "numTest": len(cases["imagesTs"]), "training": listed}
        description |= {"test": [f"./imagesTs/{name}.nii.gz" for name in sorted(cases["imagesTs"])]}
        atomic.write_text(target / NAME, json.dumps(description, indent=1, ensure_ascii=False) + "\n")
    return len(every)


def _description(folder: Path) -> dict[str, Any]:
    """Read nnU-Net's dataset.json, of version 1 or 2, as the Decathlon writes it.

    Raises:
        UserError: if it is missing or damaged, or its labels are not one name for each value.
    """
    path = folder / NAME
    try:
        content = bounded.read_json(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read: {reason}; expected nnU-Net's {NAME}") from error
    content = content if isinstance(content, dict) else {}
    channels, labels = content.get("channel_names", content.get("modality")), content.get("labels")
    if not isinstance(channels, dict) or not isinstance(labels, dict) or not channels:
        raise UserError(f"{path}: lacks channel_names or labels; expected nnU-Net's {NAME}")
    if set(channels) != {str(number) for number in range(len(channels))}:
        raise UserError(f"{path}: channel_names has the keys {', '.join(channels)}, expected 0, 1, ...")
    if all(isinstance(value, str) for value in labels.values()):  # version 1: names by value
        labels = {name: int(value) if value.isdecimal() else value for value, name in labels.items()}
    problems = [
        f"{path}: labels: {name!r} is a region of several values; give each value its own name, and put "
        "values together with `structures` in params.yaml"
        for name, value in labels.items()
        if type(value) is not int
    ]
    if IGNORED in labels:
        problems.append(f"{path}: labels: {IGNORED!r} has no counterpart; relabel its voxels, and remove it")
    if len({*map(str, labels.values())}) < len(labels):
        problems.append(f"{path}: labels: two names have one value; give each value one name")
    raise_problems(problems)
    by_value = {str(value): str(name) for name, value in sorted(labels.items(), key=lambda item: item[1])}
    modality = {key: str(channels[key]) for key in sorted(channels, key=int)}
    copied = {key: content[key] for key in COPIED if key in content}
    return {"name": str(content.get("name", folder.name)), **copied, "modality": modality, "labels": by_value}


def _cases(folder: Path, problems: list[str]) -> dict[str, Channels]:
    """Return the files of each case of a folder by channel; files that fit no name are problems."""
    found: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for path in nifti_files(folder):
        match = CHANNEL.fullmatch(case_name(path.name))
        if match is None:
            problems.append(f"{path}: is not named CASE_0000; rename it, or move it away")
        elif match["channel"] in found[match["case"]]:
            problems.append(f"{path}: is the same channel as {found[match['case']][match['channel']].name}")
        else:
            found[match["case"]][match["channel"]] = path
    return {case: dict(sorted(found[case].items())) for case in sorted(found)}


def _labels(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Return the label of each case of a folder; a second file of a case is a problem."""
    found: dict[str, Path] = {}
    for path in nifti_files(folder):
        case = case_name(path.name)
        if case in found:
            problems.append(f"{path}: is the same case as {found[case].name}; remove one of them")
        found[case] = path
    return found


def _name_problems(
    folder: Path,
    images: str,
    labels: str,
    cases: Mapping[str, Channels],
    labelled: Collection[str],
    names: Sequence[str],
) -> list[str]:
    """Return a problem for each case that lacks a channel, has another one, or has no label."""
    problems = [
        f"{folder / images}: {case} has the channels {', '.join(files)}, expected {', '.join(names)}"
        for case, files in cases.items()
        if list(files) != list(names)
    ]
    if labels == "labelsTr" or labelled:
        without = [case for case in cases if case not in labelled]
        problems += [f"{folder / labels}: {case} has no label" for case in without]
        alone = sorted({*labelled} - {*cases})
        problems += [f"{folder / images}: {case} has a label and no image" for case in alone]
    return problems


def _write(files: Sequence[Path], target: Path) -> None:
    """Write the channels of a case as one image, with the type of voxels that holds all of them.

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
    if joined.dtype.kind not in "iu" or joined.dtype.itemsize == 8:  # as int32 and uint32 together
        integers = joined.dtype.kind in "iu" and np.abs(joined).max() < 2**31
        joined = joined.astype(np.int32 if integers else np.float32)
    image = nibabel.Nifti1Image(joined, first.affine)
    image.header.set_xyzt_units("mm")
    target.parent.mkdir(exist_ok=True)
    nibabel.save(image, target)


def _copy_label(path: Path, target: Path) -> None:
    """Copy a label, packed: image and label of a case have the same name.

    Raises:
        UserError: if it is damaged.
    """
    nifti.read_volume(path)
    target.parent.mkdir(exist_ok=True)
    content = path.read_bytes()
    target.write_bytes(content if content.startswith(GZIPPED) else gzip.compress(content, mtime=0))


def _grid(image: nibabel.Nifti1Image) -> str:
    shape, spacing = " x ".join(map(str, image.shape)), image.header.get_zooms()[:3]
    return f"{shape} voxels of {' x '.join(f'{edge:g}' for edge in spacing)} mm"


def _distance_mm(image: nibabel.Nifti1Image, other: nibabel.Nifti1Image) -> float:
    """Return the greatest distance of a corner of the volume between two affines."""
    ends = np.array(np.meshgrid(*[(0, edge - 1) for edge in image.shape])).reshape(3, -1)
    corners = np.vstack([ends, np.ones(ends.shape[1])])
    return float(np.abs((image.affine - other.affine) @ corners).max())
