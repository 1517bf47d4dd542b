"""Files of a data set, compared with those that its dataset.json lists."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from context_fbr.core.errors import UserError
from context_fbr.datasets.dataset_json import NAME, Description, case_name
from context_fbr.datasets.problems import Problem, error, note, warning

SETS = ("Tr", "Ts")
FOLDERS = tuple(f"{kind}{suffix}" for suffix in SETS for kind in ("images", "labels"))
SIDECARS = (".json", ".bval", ".bvec")
"""Endings of other files that dcm2niix writes for a volume; they are ignored."""


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case, relative to the data set's folder; None where there is none."""

    case: str
    image: str | None
    label: str | None


def nifti_files(folder: Path) -> list[Path]:
    """Return the .nii and .nii.gz files directly in a folder, sorted by name; none without the folder.

    The case of the ending does not matter, and a link to a missing file counts: its reader reports that.
    Files whose names begin with a dot, as macOS adds them, do not count.

    Raises:
        UserError: if the folder cannot be read.
    """
    return [path for path in _files(folder) if _is_volume(path)]


def read(folder: Path) -> tuple[tuple[CaseFiles, ...], list[Problem]]:
    """Return the cases whose files are there, in the order of their names, training first; and the problems.

    Image and label of a case have the same file name, as in the Decathlon; the case of its ending and the
    normal form of its letters do not matter. Files whose names begin with a dot do not count, nor do other
    files of dcm2niix.

    Raises:
        UserError: if a folder cannot be read.
    """
    cases: list[CaseFiles] = []
    problems: list[Problem] = []
    found: dict[str, list[str]] = {}
    for name in FOLDERS:
        found[name] = [path.name for path in nifti_files(folder / name)]
        others = [path.name for path in _files(folder / name) if not _is_volume(path)]
        hidden = [file for file in others if file.startswith(".")]
        if hidden:
            text = f"{len(hidden)} hidden files (`{hidden[0]}`), as macOS makes them, are ignored"
            problems.append(note("hidden files", "", name, text, "delete them if they are in the way"))
        beside = {f"{case_name(file)}{ending}" for file in found[name] for ending in SIDECARS}
        for file in sorted(set(others) - set(hidden) - beside):
            text = "is no .nii or .nii.gz, and is not read"
            problems.append(
                warning("other file", "", f"{name}/{file}", text, "delete it, or convert it to NIfTI")
            )
    for suffix in SETS:
        images, labels = (_by_name(found, f"{kind}{suffix}") for kind in ("images", "labels"))
        for name in sorted({*images, *labels}):  # several of a name differ in what `comparable` makes equal
            for image, label in zip_longest(images[name], labels[name]):
                cases.append(CaseFiles(case_name(name), image, label))
    problems += _name_problems(path for case in cases for path in (case.image, case.label) if path)
    return tuple(cases), problems


def comparable(path: str) -> str:
    """Return the form in which names of files are compared: `a.NII.GZ` and `a.nii.gz` are the same.

    So are composed and decomposed letters, which macOS does not distinguish.
    """
    path = unicodedata.normalize("NFC", path)
    name = PurePosixPath(path).name
    return path[: len(path) - len(name)] + case_name(name) + name[len(case_name(name)) :].lower()


def pairing_problems(cases: tuple[CaseFiles, ...]) -> list[Problem]:
    """Images without label, labels without image, and files of which two are of the same case.

    A test set without any label is as it should be.
    """
    labelled_test = any(case.label and case.label.startswith("labelsTs") for case in cases)
    packed = _packed_otherwise(cases)
    problems = [
        *_same_name_problems(cases),
        *(_packing_problem(*pair) for pair in dict.fromkeys(packed.values())),
    ]
    for case in cases:
        if case.image in packed or case.label in packed:
            continue
        if case.image is None:
            assert case.label is not None  # one of the two is there
            text = f"label without image: {_partner(case.label)} is not there"
            problems.append(
                error("no image", case.case, case.label, text, "add the image, or remove the label")
            )
        elif case.label is None and (labelled_test or not case.image.startswith("imagesTs")):
            text = f"image without label: {_partner(case.image)} is not there"
            problems.append(
                error("no label", case.case, case.image, text, "add the label, or remove the image")
            )
    return problems


def listing_problems(cases: tuple[CaseFiles, ...], description: Description) -> list[Problem]:
    """Return problems of listed files that are missing, and of files that are not listed.

    `pairing_problems` reports a file whose partner is there. MSD lists no labels of test images: a label
    of a listed test image counts as listed.
    """
    on_disk = {comparable(path): path for case in cases for path in (case.image, case.label) if path}
    there = set(on_disk)
    reported = {_partner(path) for path in there} | {comparable(path) for path in _packed_otherwise(cases)}
    listed = {comparable(path) for pair in description.training for path in pair}
    test = {comparable(path) for path in description.test}
    allowed = listed | test | {_partner(path) for path in test}
    listed = {path for path in listed | test if str(PurePosixPath(path).parent) in FOLDERS}
    missing = listed - there - reported
    repacked = {path: other for path in missing if (other := _other_packing(path)) in there - allowed}
    problems = [
        error(
            "missing file",
            case_name(path),
            path,
            f"is listed in {NAME}, but {on_disk[other]} is there",
            f"list it as ./{on_disk[other]}",
        )
        for path, other in sorted(repacked.items())
    ]
    remedy = f"bring the file back, or remove it from {NAME}"
    problems += [
        error("missing file", case_name(path), path, f"is listed in {NAME}, but not there", remedy)
        for path in sorted(missing - set(repacked))
    ]
    remedy = f"add it to {NAME}, or move the file out of the data set"
    return problems + [
        error("not listed", case_name(path), on_disk[path], f"is there, but not listed in {NAME}", remedy)
        for path in sorted(there - allowed - set(repacked.values()))
        if not (path in reported and _other_packing(path) in allowed)
    ]


def _name_problems(paths: Iterable[str]) -> list[Problem]:
    """Names that no table of results can hold."""
    return [
        error(
            "name",
            case_name(path),
            path,
            "its name is not UTF-8",
            "rename it, for example with convmv, here and in " + NAME,
        )
        for path in paths
        if not path.isascii() and any("\udc80" <= character <= "\udcff" for character in path)
    ]


def _packed_otherwise(cases: tuple[CaseFiles, ...]) -> dict[str, tuple[str, str]]:
    """Return by file its partner: image and label of a case of which one is .nii and the other .nii.gz."""
    images = {comparable(case.image): case.image for case in cases if case.image and not case.label}
    labels = {comparable(case.label): case.label for case in cases if case.label and not case.image}
    pairs = [
        (image, labels[other])
        for name, image in images.items()
        if (other := _partner(_other_packing(name))) in labels
    ]
    return {path: pair for pair in pairs for path in pair}


def _packing_problem(image: str, label: str) -> Problem:
    plain = next(path for path in (image, label) if not path.endswith(".gz"))
    other = label if plain == image else image
    text = f"is not packed, but {other} is; expected the same file name"
    remedy = f"`gzip {plain}`, and list it as ./{plain}.gz"
    return error("packed otherwise", case_name(plain), plain, text, remedy)


def _same_name_problems(cases: tuple[CaseFiles, ...]) -> list[Problem]:
    """Return problems of `a.nii` with `a.nii.gz`, and of cases in both the training and the test set."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for case in cases:
        for path in (case.image, case.label):
            if path:
                found[str(PurePosixPath(path).parent), case.case].append(path)
    problems = [
        error("two files", name, path, f"is the same case as {paths[0]}", "remove one of them")
        for (_, name), paths in found.items()
        for path in paths[1:]
    ]
    for (folder, name), paths in found.items():
        if folder == "imagesTs" and ("imagesTr", name) in found:
            text = f"has the name of a training case, {found['imagesTr', name][0]}"
            problems.append(error("same name", name, paths[0], text, "rename it, or remove one of them"))
    return problems


def _files(folder: Path) -> list[Path]:
    try:
        there = [path for path in folder.iterdir() if path.is_file() or not path.exists()]  # dangling links
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as found:
        raise UserError(f"{folder}: cannot be read: {found.strerror}; correct its permission") from found
    return sorted(there, key=lambda path: path.name)


def _by_name(found: dict[str, list[str]], folder: str) -> defaultdict[str, list[str]]:
    """The paths of a folder's volumes by their comparable name."""
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for file in found[folder]:
        paths[comparable(file)].append(f"{folder}/{file}")
    return paths


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz")) and not path.name.startswith(".")


def _other_packing(path: str) -> str:
    """`a.nii.gz` of `a.nii`, and the reverse."""
    return path.removesuffix(".gz") if path.endswith(".gz") else f"{path}.gz"


def _partner(path: str) -> str:
    """The label of an image, the image of a label."""
    if path.startswith("images"):
        return path.replace("images", "labels", 1)
    return path.replace("labels", "images", 1)
