"""Evaluated cases of an unfinished evaluation on disk: rows of scores and a prediction each."""

import json
from dataclasses import dataclass
from pathlib import Path

from context_fbr.runtime import checksummed_file
from context_fbr.runtime.checksummed_file import CorruptFileError
from context_fbr.runtime.resume import CheckpointDir

KIND, FORMAT = "case", 3


@dataclass(frozen=True)
class CaseResult:
    """The result of one case."""

    rows: tuple[tuple[object, ...], ...]
    """Rows of the table of scores, the primary window's first; None where undefined."""
    prediction: bytes
    """A .nii.gz file, of the primary window."""


def save(place: CheckpointDir, name: str, data: str, result: CaseResult) -> None:
    """Write a case's result; `data` is the digest of the case.

    Raises:
        UserError: if the system refuses.
    """
    line = json.dumps({"data": data, "rows": result.rows}).encode() + b"\n"
    checksummed_file.write(_path(place, name), KIND, FORMAT, place.digest, line + result.prediction)


def load(place: CheckpointDir, name: str, data: str) -> CaseResult | None:
    """Load a case's result; None if there is none.

    Raises:
        CorruptFileError: if there is one that is torn, or of other data.
    """
    path = _path(place, name)
    try:
        content = bytes(checksummed_file.read(path, KIND, FORMAT, place.digest))
        line, _, prediction = content.partition(b"\n")
        found = json.loads(line)
        if found["data"] != data:
            raise CorruptFileError("is of other data")
        return CaseResult(tuple(map(tuple, found["rows"])), prediction)
    except FileNotFoundError:
        return None
    except CorruptFileError as error:
        raise CorruptFileError(f"{path}: {error}") from error


def _path(place: CheckpointDir, name: str) -> Path:
    return place.folder / f"{name}.case"
