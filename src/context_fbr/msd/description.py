"""dataset.json: what a data set says of itself."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from context_fbr import bounded
from context_fbr.msd.problems import Problem, error, warning

NAME = "dataset.json"
_DAMAGED = "bring back the original, or write one as medicaldecathlon.com describes it"

_NNUNET = {"channel_names", "file_ending"}  # keys of nnU-Net v2 that MSD does not have


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

    @property
    def is_ct(self) -> bool:
        """Whether images hold Hounsfield units."""
        return any(modality.strip().upper() == "CT" for modality in self.modalities)


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


def read(folder: Path) -> tuple[Description | None, list[Problem]]:
    """Read a data set's dataset.json: what it says (None if it cannot be used), and what is wrong with it."""
    content: object = None
    try:
        content = bounded.parse_json(bounded.read_text(folder / NAME, encoding="utf-8-sig"))
        file = _File.model_validate(content)
    except FileNotFoundError:
        return None, [error("no description", "", NAME, "is missing", _DAMAGED)]
    except OSError as found:
        remedy = "mend its permission or its disk, or copy it again"
        return None, [error("no description", "", NAME, f"cannot be read: {found.strerror}", remedy)]
    except ValidationError as found:
        if isinstance(content, dict) and _NNUNET & content.keys():
            return None, [_nnunet_problem(content)]
        return None, [error("description", "", NAME, _say(item), _DAMAGED) for item in found.errors()]
    except ValueError as found:
        return None, [error("description", "", NAME, f"is no JSON: {found}", _DAMAGED)]
    training = tuple((_path(pair.image), _path(pair.label)) for pair in file.training)
    test = tuple(_path(entry if isinstance(entry, str) else entry.image) for entry in file.test)
    description = Description(
        file.name, tuple(file.modality.values()), tuple(sorted(file.labels)), training, test
    )
    return description, _problems(file, description)


def _nnunet_problem(content: dict[str, object]) -> Problem:
    """nnU-Net v2 describes the same data the other way round: labels by name, and no list of cases."""
    labels, channels = content.get("labels"), content.get("channel_names")
    turned: dict[str, object] = {"0": "background", "1": "spleen"}
    if isinstance(labels, dict) and all(isinstance(value, int) for value in labels.values()):
        turned = {str(value): name for name, value in labels.items()}
    modality = channels if isinstance(channels, dict) and channels else {"0": "CT"}
    return error(
        "description",
        "",
        NAME,
        "is nnU-Net's (channel_names, labels by name), expected that of the Decathlon",
        f'write `"labels": {json.dumps(turned)}`, `"modality": {json.dumps(modality)}` and the list '
        '`"training": [{"image": "imagesTr/CASE.nii.gz", "label": "labelsTr/CASE.nii.gz"}, ...]`, '
        "and take `_0000` off the names of images",
    )


def _say(item: ErrorDetails) -> str:
    where = ".".join(map(str, item["loc"])) or "top level"
    if item["type"] == "missing":
        return f"{where}: is missing"
    value = repr(item["input"])
    shown = value if len(value) <= 60 else f"{value[:60]}..."
    return f"{where}: is {shown}: {item['msg']}"


def _path(text: str) -> str:
    return str(PurePosixPath(text))  # without the leading `./`


def _problems(file: _File, description: Description) -> list[Problem]:
    problems: list[Problem] = []
    if 0 not in description.labels or len(description.labels) < 2:
        text = f"labels: {list(description.labels)}, expected 0 (background) and at least one more"
        problems.append(error("description", "", NAME, text, _DAMAGED))
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
                error("description", case_name(path), NAME, text, "move the file, mend the entry")
            )
    for (_, path), count in Counter(listed).items():
        if count > 1:
            problems.append(
                error("description", case_name(path), NAME, f"lists {path} {count} times", "list it once")
            )
    for image, label in description.training:
        if PurePosixPath(image).name != PurePosixPath(label).name:
            text = f"pairs {image} with {label}, expected the same file name in imagesTr and labelsTr"
            problems.append(
                error("description", case_name(image), NAME, text, "mend the entry, or rename the files")
            )
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
    """The name of a file's case: without folder, .nii and .gz."""
    return PurePosixPath(path).name.removesuffix(".gz").removesuffix(".nii")
