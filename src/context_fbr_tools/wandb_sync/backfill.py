"""What a cell's finished stages left on disk, written into the journal of its run."""

import csv
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core import bounded, nifti
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import SCORES
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr.training.tracking import warn
from context_fbr_tools.wandb_sync.curves import batch_of, better, epochs_of, rows
from context_fbr_tools.wandb_sync.journal import Journal
from context_fbr_tools.wandb_sync.media import Slice, slice_of
from context_fbr_tools.wandb_sync.run_identity import Identity, message, provenance_of

OTHER = "step {} was another one in an attempt before, on another device or software; curves keep that one"
WORST = 4
"""Test cases that are shown beside the table, those of the lowest Dice."""


def record_files(journal: Journal, cell: Cell, document: Document, identity: Identity) -> None:
    """What a journal lacks of a finished cell, from the cell's files alone; errors as below."""
    for stage, result in (("train", cell.history), ("evaluate", cell.scores)):
        known = journal.origins.get(stage)
        found = provenance_of(cell, stage, result)
        same = known is not None and known.get("revision") == found.get("revision")
        origin = {**(known or {}), **found} if same else found
        if known is None or (found and origin != known):
            journal.append(message(identity, stage, origin))
    batch, best = batch_of(document), None
    others: list[int] = []
    for epoch in epochs_of(cell):
        best = better(best, epoch)
        for step, row in rows(epoch, batch, best):
            if step > journal.last_step:
                journal.append({"kind": "row", "step": step, "row": row})
            elif journal.differs(step, row):
                others.append(step)
    if others:
        warn(cell, OTHER.format(others[0]))
    record_training(journal, cell, identity)
    record_test(journal, cell)


def record_training(journal: Journal, cell: Cell, identity: Identity) -> None:
    """The model, what it was trained on, and what it came to.

    Raises:
        OSError, ValueError, KeyError, UserError: if a result is missing or damaged, or cannot be kept.
    """
    weights = cell.weights.read_bytes()
    md5 = hashlib.md5(weights).hexdigest()
    digest = f"train {md5}"
    if journal.digests.get("trained") == digest:
        return
    summary = bounded.read_json(cell.training)
    name = f"weights-{md5}.pt"
    journal.keep(cell.weights, name)
    journal.append(
        {
            "kind": "trained",
            "digest": digest,
            "summary": {
                "best_epoch": summary["best_epoch"],
                "best_dice": summary["best_validation_dice"],
                "network_parameters": summary["network_parameters"],
            },
            "model": {"file": name, "metadata": _model(identity, summary, md5)},
            "data": _data(cell, identity),
        }
    )


def _model(identity: Identity, summary: dict[str, Any], md5: str) -> dict[str, Any]:
    kept = ("network_parameters", "best_epoch", "best_validation_dice", "epochs")
    return {
        "network": identity.config["network"],
        "weights_md5": md5,
        **{name: summary[name] for name in kept},
    }


def _data(cell: Cell, identity: Identity) -> list[dict[str, Any]]:
    """Raw and prepared data by DVC's hashes."""
    parts = (("raw", "raw"), ("prepared", "prepare"))
    settings, hashes = identity.config["data"], identity.config["hashes"]
    return [
        {"name": f"{cell.task}-{kind}", "path": f"data/{kind}/{cell.task}", "md5": md5, part: settings[part]}
        for kind, part in parts
        if (md5 := hashes[kind])
    ]


def record_test(journal: Journal, cell: Cell) -> None:
    """The table of the test cases with the published columns, and a slice of each.

    Raises:
        OSError, ValueError, KeyError, UserError: if the table is missing or damaged, or cannot be kept.
    """
    content = cell.scores.read_bytes()
    digest = f"evaluate {hashlib.md5(content).hexdigest()}"
    if journal.digests.get("tested") == digest:
        return
    scores = list(csv.DictReader(content.decode().splitlines()))
    arrays: dict[str, np.ndarray] = {}
    captions: dict[str, str] = {}
    cases = _cases(cell)
    for number, row in enumerate(scores):
        name, dice = row["filename"], row["dsc"]
        shown = _slice(cell, cases.get(name), f"{name}, Dice {float(dice):.3f}" if dice else name)
        if shown is not None:
            arrays |= {f"{number}/{part}": plane for part, plane in shown.planes.items()}
            captions[str(number)] = shown.caption
    order = sorted(range(len(scores)), key=lambda number: float(scores[number]["dsc"] or math.inf))
    journal.append(
        {
            "kind": "tested",
            "digest": digest,
            "step": journal.last_step + 1,
            "columns": list(SCORES),
            "rows": [[row["filename"], *(_number(row[name]) for name in SCORES[1:])] for row in scores],
            "captions": captions,
            "worst": order[:WORST],
            "means": {f"test/{name}_mean": _mean([row[name] for row in scores]) for name in SCORES[1:3]},
        },
        arrays,
    )


def _cases(cell: Cell) -> dict[str, Case]:
    """The test cases by name; none where their data are not on this machine."""
    try:
        return {case.name: case for case in prepared.read_cases(cell.task, "test")}
    except UserError:
        return {}


def _slice(cell: Cell, case: Case | None, caption: str) -> Slice | None:
    """Of a test case on its original grid; None where its files are not on this machine."""
    if case is None:
        return None
    prediction = cell.predictions / f"{case.name}.nii.gz"
    raw = Path("data/raw") / cell.task
    if not all(path.is_file() for path in (prediction, raw / case.image, raw / case.label)):
        return None
    mask = nifti.read(prediction).get_fdata(dtype=np.float32).astype(np.uint8)
    image = originals.read_image(cell.task, case).get_fdata(dtype=np.float32)
    return slice_of(image, originals.read_label(cell.task, case), mask, caption)


def _number(text: str) -> float | None:
    """Of a field; one that is empty is undefined."""
    return float(text) if text else None


def _mean(fields: list[str]) -> float | None:
    numbers = [float(field) for field in fields if field]
    return math.fsum(numbers) / len(numbers) if numbers else None
