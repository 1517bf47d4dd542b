"""Cells of the paper profile that were run apart from the pipeline: what is kept, and what vouches for it.

benchmarks/paper_cells.py runs them and writes a folder for each; here the folders are read and checked.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Section
from context_fbr.config.profiles import profile_path
from context_fbr.config.study import read_study
from context_fbr.config.training import Model
from context_fbr.core import bounded
from context_fbr.core.errors import UserError

FORMAT = 1
FOLDER = Path("benchmarks/paper_cells")
RECORD = "record.json"
SCORES, HISTORY, RATIOS, BASELINES = "scores.csv", "history.csv", "foreground_ratios.csv.gz", "baselines.csv"


@dataclass(frozen=True)
class Record:
    """Provenance of the tables in its folder."""

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
    """Times of each part, by the clock and as CPU time of the process (`..._cpu`)."""


def paper_document() -> Document:
    """The paper profile as a study of its own: profiles set every key."""
    return Document.read(profile_path("paper"))


def digest(document: Document, name: str) -> str:
    """Return the SHA-256 of the parameters that decide a cell or a task's baselines.

    `train.threads` is left out: it belongs to the machine, and is in the record. So are `voxels_per_batch`,
    which moves the last bits only, `on_nonfinite`, which changes nothing in a finished cell, and each
    parameter of `AS_PUBLISHED` with its published value: a new parameter changes no digest.
    """
    study = read_study(document)
    task = study.tasks[name.split("-")[0]]
    sections: dict[str, Any] = {"name": name, "raw": task.raw, "prepare": task.prepare}
    if not name.endswith("-baselines"):
        cell = Cell.from_key(name)
        sections |= {"network": _block(study.models[cell.model]), "sliding_window": study.sliding_window}
        sections |= {"task": task.train, "train": study.training_of(cell)}
    tree = {key: _plain(value) if isinstance(value, Section) else value for key, value in sections.items()}
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


AS_PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {
        "precision": "float32",
        "loss": "dice",
        "loss_over": "patch",
        "optimizer": "adam",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "warmup_epochs": 0,
        "augmentation": "none",
        "validation_window": "patch",
        "core": "patch",
        "centres": None,
    }
)


def _plain(section: Section) -> dict[str, Any]:
    left_out = {"threads", "on_nonfinite", "voxels_per_batch"}
    tree = section.model_dump(mode="json", exclude=left_out, exclude_unset=True)
    return {
        key: value for key, value in tree.items() if key not in AS_PUBLISHED or AS_PUBLISHED[key] != value
    }


def _block(model: Model) -> dict[str, Any]:
    """Return a network's block as it was written before `norm` worked for every network."""
    block = model.block
    if block["network"] == "AttentionUnet" and (block.get("norm"), block.get("merge_norm")) == (
        "batch",
        "instance",
    ):
        return {key: value for key, value in block.items() if key not in ("norm", "merge_norm")}
    if block["network"] == "UNETR":
        return {"norm_name" if key == "norm" else key: value for key, value in block.items()}
    return block


def data_digest(volumes: Iterable[tuple[str, str, np.ndarray, np.ndarray]]) -> str:
    """Return the SHA-256 of (name, split, image (x, y, z) float32, label (x, y, z) uint8) in this order."""
    total = hashlib.sha256()
    for name, split, image, label in volumes:
        total.update(f"{name} {split} {image.shape}".encode())
        total.update(np.ascontiguousarray(image, np.float32).tobytes())
        total.update(np.ascontiguousarray(label, np.uint8).tobytes())
    return total.hexdigest()


def record_text(record: Record) -> str:
    """Return the record as JSON."""
    return json.dumps(asdict(record), indent=1) + "\n"


def read_record(folder: Path, document: Document) -> Record:
    """Read a folder's record and compare it with the paper profile and the folder's tables.

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
        raise UserError(f"{path}: is of {record.name}, but is in the folder {folder.name}; {remedy}")
    if record.parameters != digest(document, record.name):
        raise UserError(f"{path}: its parameters are not those of profiles/paper.yaml; {remedy}")
    wrong = [str(folder / name) for name, found in tables.items() if found != record.tables[name]]
    if wrong:
        raise UserError(f"{', '.join(wrong)}: changed since it was written; {remedy}")
    return record
