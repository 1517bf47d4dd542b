"""Folders in another layout than the Decathlon's: one problem with the way, not all that follows from it."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from context_fbr.core.file_kinds import look
from context_fbr.datasets import layout
from context_fbr.datasets.dataset_json import NAME, case_name
from context_fbr.datasets.problems import Problem, error

MOST_FILES = 200  # that are looked at for DICOM
DEEPEST = 2  # levels below a folder that are searched for a data set
DESCRIBE = "`context-fbr task init {} --write-dataset-json`"
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")  # nnU-Net's case_0000.nii.gz


def other_layout(folder: Path) -> Problem | None:
    """Recognise nnU-Net's names, DICOM, or a data set further down; None if it is none of these.

    Raises:
        UserError: if a folder cannot be read.
    """
    images = layout.nifti_files(folder / "imagesTr")
    if images:
        return _nnunet(folder, images)
    if (folder / NAME).exists() or any((folder / name).exists() for name in layout.FOLDERS):
        return None
    return _below(folder) or _dicom(folder)


def _nnunet(folder: Path, images: list[Path]) -> Problem | None:
    """Images named by case and channel, labels by case."""
    labels = {case_name(path.name) for path in layout.nifti_files(folder / "labelsTr")}
    matches = {path: _CHANNEL.fullmatch(case_name(path.name)) for path in images}
    channels = {
        path: match["channel"]
        for path, match in matches.items()
        if match and match["case"] in labels and case_name(path.name) not in labels
    }
    if not channels:
        return None
    first = next(iter(channels))
    text = f"{len(channels)} images are named as nnU-Net does, with a channel ({first.name}), labels without"
    several = sorted(set(channels.values()))
    text += f", of several channels ({', '.join(several)})" if len(several) > 1 else ""
    remedy = f"`context-fbr task convert {shlex.quote(str(folder))} OUT` writes the Decathlon's layout"
    return error("nnU-Net", "", "imagesTr", text, remedy)


def _below(folder: Path) -> Problem | None:
    """A data set in a folder of this folder, as some archives have it."""
    for depth in range(1, DEEPEST + 1):
        found = sorted(path.parent for path in folder.glob("/".join(["*"] * depth) + f"/{NAME}"))
        found = [path for path in found if (path / "imagesTr").is_dir()]
        if found:
            names = ", ".join(path.relative_to(folder).as_posix() for path in found)
            return error("other folder", "", NAME, f"is not here, but in {names}", f"name {found[0]}")
    return None


def _dicom(folder: Path) -> Problem | None:
    for path in itertools.islice(_files(folder), MOST_FILES):
        try:
            is_dicom = look(path).kind.key == "dicom"
        except OSError:
            continue
        if is_dicom:
            text = "is a DICOM file; expected NIfTI files in imagesTr and labelsTr"
            target = shlex.quote(f"{folder}_nifti/imagesTr")
            remedy = (
                f"convert the series: `mkdir -p {target} && dcm2niix -z y -f %i_%s -o {target} "
                f"{shlex.quote(str(folder))}`; put labels of the same names into labelsTr, then "
                f"{DESCRIBE.format('DIR')}"
            )
            return error("DICOM", "", path.relative_to(folder).as_posix(), text, remedy)
    return None


def _files(folder: Path) -> Iterator[Path]:
    """Files of a folder and below, in an order that does not depend on the file system."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # it is reported where it is needed
        return
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file() and not path.name.startswith("."):
            yield path
