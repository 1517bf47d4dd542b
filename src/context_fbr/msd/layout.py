"""Which files a data set has, against those that its dataset.json lists."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from context_fbr.errors import UserError
from context_fbr.msd.description import NAME, Description, case_name
from context_fbr.msd.problems import Problem, error, note, warning

SETS = ("Tr", "Ts")
FOLDERS = tuple(f"{kind}{suffix}" for suffix in SETS for kind in ("images", "labels"))


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case, relative to the data set's folder; None where there is none."""

    case: str
    image: str | None
    label: str | None


def nifti_files(folder: Path) -> list[Path]:
    """The .nii and .nii.gz files directly in a folder, sorted by name; none if there is no such folder.

    Files whose names begin with a dot, as macOS leaves them beside others, do not count.

    Raises:
        UserError: if the folder cannot be read.
    """
    return [path for path in _files(folder) if _is_volume(path)]


def read(folder: Path) -> tuple[tuple[CaseFiles, ...], list[Problem]]:
    """The cases whose files are there, in the order of their names, training first; and what is odd.

    Image and label of a case have the same file name, as in the Decathlon, in any normal form of Unicode.
    Files whose names begin with a dot do not count.

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
        for file in sorted(set(others) - set(hidden)):
            text = "is no .nii or .nii.gz, and is not read"
            problems.append(
                warning("other file", "", f"{name}/{file}", text, "delete it, or convert it to NIfTI")
            )
    for suffix in SETS:
        images, labels = (
            [f"{kind}{suffix}/{file}" for file in found[f"{kind}{suffix}"]] for kind in ("images", "labels")
        )
        for image, label in _pairs(images, labels):
            cases.append(CaseFiles(case_name(image or label or ""), image, label))
    problems += _name_problems(path for case in cases for path in (case.image, case.label) if path)
    return tuple(cases), problems


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
    """Listed files that are missing, and files that are not listed.

    A file whose partner is there is told by `pairing_problems`. MSD lists no labels of test images: a label
    of a listed test image counts as listed.
    """
    on_disk = {_normal(path): path for case in cases for path in (case.image, case.label) if path}
    there = set(on_disk)
    told = {_partner(path) for path in there} | {_normal(path) for path in _packed_otherwise(cases)}
    listed = {_normal(path) for pair in description.training for path in pair}
    test = {_normal(path) for path in description.test}
    allowed = listed | test | {_partner(path) for path in test}
    listed = {path for path in listed | test if str(PurePosixPath(path).parent) in FOLDERS}
    missing = listed - there - told
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
        if not (path in told and _other_packing(path) in allowed)
    ]


def _pairs(images: list[str], labels: list[str]) -> Iterator[tuple[str | None, str | None]]:
    """Image and label with names that are equal in one normal form, in the order of these."""
    by_name: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for place, paths in enumerate((images, labels)):
        for path in paths:
            by_name[_normal(PurePosixPath(path).name)][place].append(path)
    for _, both in sorted(by_name.items()):
        yield from zip_longest(*both)


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
    """By each of the two: image and label of a case of which one is .nii and the other .nii.gz."""
    images = {_normal(case.image): case.image for case in cases if case.image and not case.label}
    labels = {_normal(case.label): case.label for case in cases if case.label and not case.image}
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
    """`a.nii` beside `a.nii.gz`, and a case of the training set that is one of the test set too."""
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
        return sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as found:
        raise UserError(f"{folder}: cannot be read: {found.strerror}; mend its permission") from found


def _is_volume(path: Path) -> bool:
    return path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith(".")


def _normal(path: str) -> str:
    """A path as it is compared: macOS may decompose the letters of names, others do not."""
    return unicodedata.normalize("NFC", path)


def _other_packing(path: str) -> str:
    """`a.nii.gz` of `a.nii`, and the reverse."""
    return path.removesuffix(".gz") if path.endswith(".gz") else f"{path}.gz"


def _partner(path: str) -> str:
    """The label of an image, the image of a label."""
    if path.startswith("images"):
        return path.replace("images", "labels", 1)
    return path.replace("labels", "images", 1)
