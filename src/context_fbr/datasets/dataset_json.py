"""dataset.json, the description of a data set."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from context_fbr.core import bounded, file_kinds
from context_fbr.core.file_kinds import look
from context_fbr.datasets import unusable
from context_fbr.datasets.problems import Problem, error, warning

NAME = "dataset.json"

_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_CT = re.compile(r"\b(CT|CTA|CECT|NCCT|HRCT|LDCT)\b|computed tomography", re.IGNORECASE)
_NO_CT = re.compile(r"\b(PET|SPECT|MRI?|cone.?beam|CBCT|micro|non?)\b", re.IGNORECASE)  # in no HU, or mixed


@dataclass(frozen=True)
class Description:
    """The part of dataset.json that the study uses."""

    name: str
    modalities: tuple[str, ...]
    labels: tuple[int, ...]
    """The values that a label may hold, 0 among them."""
    training: tuple[tuple[str, str], ...]
    """Image and label, `imagesTr/a.nii.gz`."""
    test: tuple[str, ...]
    """Images, `imagesTs/a.nii.gz`."""
    test_design: Mapping[str, float] = field(default_factory=dict)
    """Value of the design variable of each test case, if they are a known grid of it; empty: random cases."""
    test_variants: Mapping[str, str] = field(default_factory=dict)
    """Change of each test case that is another one with a change; the others are as drawn."""

    @property
    def is_ct(self) -> bool:
        """True if images hold Hounsfield units."""
        return any(_CT.search(modality) and not _NO_CT.search(modality) for modality in self.modalities)


class _Pair(BaseModel):
    image: str
    label: str


class _TestImage(BaseModel):
    image: str


class _File(BaseModel):
    name: str = ""
    modality: dict[str, str] = Field(default_factory=dict)
    labels: dict[int, str]
    training: list[_Pair]
    test: list[str | _TestImage] = Field(default_factory=list)
    numTraining: int | None = None  # noqa: N815 - the format's names
    numTest: int | None = None  # noqa: N815
    test_design: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    test_variants: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)


def read(folder: Path) -> tuple[Description | None, list[Problem]]:
    """Read a data set's dataset.json: its description (None if it cannot be used), and its problems."""
    path = folder / NAME
    content: object = None
    try:
        start = look(path)
        if start.kind in (file_kinds.DANGLING, file_kinds.NO_FILE):
            return None, [error("no description", "", NAME, start.kind.text, start.kind.remedy)]
        stored = bounded.read(path)
        content = bounded.parse_json(stored.decode("utf-8-sig"))
        file = _File.model_validate(content)
    except FileNotFoundError:
        remedy = unusable.DAMAGED
        if (folder / "imagesTr").is_dir():
            remedy += f"; `context-fbr task init {folder} --write-dataset-json` writes what the files tell"
        return None, [error("no description", "", NAME, "is missing", remedy)]
    except OSError as found:
        remedy = "correct its permission, check its disk, or copy it again"
        return None, [error("no description", "", NAME, f"cannot be read: {found.strerror}", remedy)]
    except ValidationError as found:
        if isinstance(content, dict) and unusable.is_nnunet(content):
            return None, [unusable.nnunet_problem(NAME, content)]
        return None, unusable.validation_problems(NAME, content, found)
    except UnicodeDecodeError as found:
        return None, [unusable.encoding_problem(NAME, stored, found)]
    except (ValueError, RecursionError) as found:
        return None, [unusable.json_problem(NAME, start, found)]
    training = tuple((_path(pair.image, "imagesTr"), _path(pair.label, "labelsTr")) for pair in file.training)
    test_images = [entry if isinstance(entry, str) else entry.image for entry in file.test]
    test = tuple(_path(image, "imagesTs") for image in test_images)
    description = Description(
        file.name,
        tuple(file.modality.values()),
        tuple(sorted(file.labels)),
        training,
        test,
        file.test_design,
        file.test_variants,
    )
    written = [
        *((image, "imagesTr") for image in (pair.image for pair in file.training)),
        *((label, "labelsTr") for label in (pair.label for pair in file.training)),
        *((image, "imagesTs") for image in test_images),
    ]
    return description, [*_path_problems(written), *_problems(file, description)]


def _path(text: str, folder: str) -> str:
    """A listed path below the data set's folder: without the leading `./`, see `_written_otherwise`."""
    path = PurePosixPath(text.replace("\\", "/"))
    return (
        str(path.relative_to(path.parents[1]))
        if _written_otherwise(text, folder)
        else str(PurePosixPath(text))
    )


def _written_otherwise(text: str, folder: str) -> bool:
    """Return true for a file in the right folder by a path that is absolute or has separators of Windows."""
    path = PurePosixPath(text.replace("\\", "/"))
    is_absolute = path.is_absolute() or PureWindowsPath(text).is_absolute()
    return path.parent.name == folder and ("\\" in text or is_absolute)


def _path_problems(written: list[tuple[str, str]]) -> list[Problem]:
    """One problem for all paths that are written otherwise."""
    others = [(text, folder) for text, folder in written if _written_otherwise(text, folder)]
    if not others:
        return []
    text, folder = others[0]
    more = f", and {len(others) - 1} more paths alike" if len(others) > 1 else ""
    problem = f"lists {text}{more}; expected paths below the data set's folder, with `/`"
    return [error("description", "", NAME, problem, f"write `./{_path(text, folder)}`")]


def _problems(file: _File, description: Description) -> list[Problem]:
    problems: list[Problem] = []
    if 0 not in description.labels or len(description.labels) < 2:
        text = f"labels: {list(description.labels)}, expected 0 (background) and at least one more"
        problems.append(error("description", "", NAME, text, unusable.DAMAGED))
    if not description.modalities:
        text = "modality: is missing, so it is not checked whether intensities can be what they should be"
        problems.append(warning("description", "", NAME, text, 'add `"modality": {"0": "CT"}` or `"MRI"`'))
    listed = [
        *(("imagesTr", image) for image, _ in description.training),
        *(("labelsTr", label) for _, label in description.training),
        *(("imagesTs", image) for image in description.test),
    ]
    for folder, path in listed:
        if PurePosixPath(path).parent != PurePosixPath(folder):
            text = f"lists {path}, expected a file directly in {folder}"
            problems.append(
                error("description", case_name(path), NAME, text, "move the file, correct the entry")
            )
    for (_, path), count in Counter(listed).items():
        if count > 1:
            problems.append(
                error("description", case_name(path), NAME, f"lists {path} {count} times", "list it once")
            )
    for image, label in description.training:
        if case_name(image) != case_name(label):
            text = f"pairs {image} with {label}, expected the same file name in imagesTr and labelsTr"
            problems.append(
                error("description", case_name(image), NAME, text, "correct the entry, or rename the files")
            )
    undeclared = {case_name(path) for path in description.test} ^ {*file.test_design}
    if file.test_design and undeclared:
        text = f"test_design and test differ in {', '.join(sorted(undeclared)[:3])}"
        remedy = "give the design value of every test case, or of none"
        problems.append(error("description", "", NAME, text, remedy))
    unknown = {*file.test_variants} - {case_name(path) for path in description.test}
    if unknown:
        text = f"test_variants names {', '.join(sorted(unknown)[:3])}, which test does not list"
        problems.append(error("description", "", NAME, text, "correct the names, or list the cases"))
    for key, stated, found in (
        ("numTraining", file.numTraining, len(file.training)),
        ("numTest", file.numTest, len(file.test)),
    ):
        if stated is not None and stated != found:
            text = f"{key} is {stated}, but {found} are listed"
            problems.append(
                warning("description", "", NAME, text, "correct the number, or complete the list")
            )
    return problems


def case_name(path: str | PurePosixPath) -> str:
    """The name of a file's case: without folder, .nii and .nii.gz, whatever the case of these.

    It is in Unicode's composed form (NFC): macOS may decompose names (`u` and two dots for `ü`).
    """
    return unicodedata.normalize("NFC", _ENDING.sub("", PurePosixPath(path).name))
