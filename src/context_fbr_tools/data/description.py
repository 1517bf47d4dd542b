"""dataset.json of a data set that has none: what its files tell, and no more."""

import json
from pathlib import Path

from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.datasets.dataset_json import NAME
from context_fbr.datasets.problems import Severity
from context_fbr.datasets.verify import Report, verify


def write_description(folder: Path, name: str, modality: str | None) -> None:
    """Read all images and labels and write dataset.json.

    Args:
        folder: holds imagesTr and labelsTr, and imagesTs if there is a test set.
        name: of the data set.
        modality: `CT`, `MRI`, ...; no file tells it.

    Raises:
        UserError: if there is a dataset.json, or anything else is wrong; nothing is then written.
    """
    path = folder / NAME
    if path.exists() or path.is_symlink():
        raise UserError(f"{path}: is there already; nothing is written: move it away, or correct it")
    report = verify(folder)
    errors = [
        f"{folder}: {problem.file}: {problem.text}; {problem.remedy}"
        for problem in report.problems
        if problem.severity is Severity.ERROR and problem.kind != "no description"
    ]
    if errors:
        raise UserError(*errors, f"{path}: is not written: correct these files first")
    atomic.write_text(path, json.dumps(describe(report, name, modality), indent=1, ensure_ascii=False) + "\n")


def describe(report: Report, name: str, modality: str | None) -> dict[str, object]:
    """The content of dataset.json: labels by their values, the modality only if it is given."""
    channels = max((case.image.channels for case in report.cases if case.image), default=1)
    images = [case.image.file for case in report.cases if case.image]
    training = [file for file in images if file.startswith("imagesTr/")]
    test = [file for file in images if file.startswith("imagesTs/")]
    values = {int(value) for case in report.cases if case.label for value in case.label.values}
    labels = {str(value): f"label {value}" for value in sorted(values - {0})}
    pairs = {case.image.file: case.label.file for case in report.cases if case.image and case.label}
    return {
        "name": name,
        "description": "written by `context-fbr task init --write-dataset-json` from the files",
        **({"modality": {str(number): modality for number in range(channels)}} if modality else {}),
        "labels": {"0": "background", **labels},
        "numTraining": len(training),
        "numTest": len(test),
        "training": [{"image": f"./{file}", "label": f"./{pairs[file]}"} for file in training],
        "test": [f"./{file}" for file in test],
    }
