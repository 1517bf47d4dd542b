"""Cells of the paper profile that were run apart from the pipeline: what is kept, and what vouches for it.

benchmarks/paper_cells.py runs them and writes a folder for each; here the folders are read and checked.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Section
from context_fbr.config.profiles import profile_path
from context_fbr.config.study import read_study
from context_fbr.core import bounded
from context_fbr.core.errors import UserError

FORMAT = 1
FOLDER = Path("benchmarks/paper_cells")
RECORD = "record.json"
SCORES, HISTORY, RATIOS, BASELINES = "scores.csv", "history.csv", "foreground_ratios.csv.gz", "baselines.csv"


@dataclass(frozen=True)
class Record:
    """What made the tables beside it."""

    format: int
    name: str
    """The cell's key, or `TASK-baselines`."""
    parameters: str
    """Digest of every parameter that decides the cell, see `digest`."""
    data: str
    """Digest of the volumes, see `data_digest`."""
    tables: Mapping[str, str]
    """SHA-256 of each table."""
    revision: str
    """Commit of the code; ends in `+` if files were changed."""
    device: str
    threads: int
    versions: Mapping[str, str | None]
    date: str
    seconds: Mapping[str, float]
    """By part, by the clock and as CPU time of the process (`..._cpu`)."""


def paper_document() -> Document:
    """The paper profile as a study of its own: profiles set every key."""
    return Document.read(profile_path("paper"))


def digest(document: Document, name: str) -> str:
    """SHA-256 of the parameters that decide a cell or a task's baselines.

    `train.threads` is left out: it belongs to the machine, and stands in the record. So are
    `voxels_per_batch`, which moves the last bits only, `on_bad_numbers`, which changes nothing in a cell that
    came to its end, a precision of float32 and a validation window as large as the patch, which were all that
    there was once, and what the profile leaves at its default: a new parameter changes no digest.
    """
    study = read_study(document)
    task = study.tasks[name.split("-")[0]]
    sections: dict[str, Any] = {"name": name, "raw": task.raw, "prepare": task.prepare}
    if not name.endswith("-baselines"):
        cell = Cell.from_key(name)
        sections |= {"network": study.models[cell.model], "sliding_window": study.sliding_window}
        sections |= {"task": task.train, "train": study.train}
    tree = {key: value if isinstance(value, str) else _told(value) for key, value in sections.items()}
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _told(section: Section) -> dict[str, Any]:
    left_out = {"threads", "on_bad_numbers", "voxels_per_batch"}
    tree = section.model_dump(mode="json", exclude=left_out, exclude_unset=True)
    once = {("precision", "float32"), ("validation_window", "patch")}
    return {
        key: value for key, value in tree.items() if not (isinstance(value, str) and (key, value) in once)
    }


def data_digest(volumes: Iterable[tuple[str, str, np.ndarray, np.ndarray]]) -> str:
    """SHA-256 of (name, split, image (x, y, z) float32, label (x, y, z) uint8) in the order given."""
    total = hashlib.sha256()
    for name, split, image, label in volumes:
        total.update(f"{name} {split} {image.shape}".encode())
        total.update(np.ascontiguousarray(image, np.float32).tobytes())
        total.update(np.ascontiguousarray(label, np.uint8).tobytes())
    return total.hexdigest()


def record_text(record: Record) -> str:
    """The record as JSON."""
    return json.dumps(asdict(record), indent=1) + "\n"


def read_record(folder: Path, document: Document) -> Record:
    """Read a folder's record and hold it against the paper profile and the tables beside it.

    Raises:
        UserError: with what does not fit: another format, other parameters than the profile's, a table that
            is missing or is not the one that was recorded.
    """
    path = folder / RECORD
    remedy = f"remove {folder} and run `python benchmarks/paper_cells.py {folder.name}`"
    try:
        record = Record(**bounded.read_json(path))
        tables = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in record.tables}
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: not found; {remedy}") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({error}); {remedy}") from error
    if record.format != FORMAT:
        raise UserError(f"{path}: format {record.format}, expected {FORMAT}; {remedy}")
    if record.name != folder.name:
        raise UserError(f"{path}: is of {record.name}, but stands in the folder {folder.name}; {remedy}")
    if record.parameters != digest(document, record.name):
        raise UserError(f"{path}: its parameters are not those of profiles/paper.yaml; {remedy}")
    wrong = [str(folder / name) for name, found in tables.items() if found != record.tables[name]]
    if wrong:
        raise UserError(f"{', '.join(wrong)}: changed since it was written; {remedy}")
    return record
