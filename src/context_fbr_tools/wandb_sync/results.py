"""Results of a cell for its run, as W&B's objects, from the cell's files: arguments of `Session.results`."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from context_fbr.config.cell import Cell
from context_fbr.core import bounded, nifti
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import SCORES
from context_fbr.preprocessing import originals, prepared
from context_fbr_tools.wandb_sync import media
from context_fbr_tools.wandb_sync.run_identity import Identity, md5_of

WORST = 4
"""Test cases that are shown beside the table, those of the lowest Dice."""


def of_training(cell: Cell, identity: Identity) -> dict[str, Any]:
    """Return the model, and the data by DVC's hashes; raises OSError, ValueError, KeyError if damaged."""
    summary, md5, config = bounded.read_json(cell.training), md5_of(cell.weights), identity.config
    kept = {n: summary[n] for n in ("network_parameters", "best_epoch", "best_validation_dice", "epochs")}
    metadata = {"network": config["network"], "weights_md5": md5, **kept}
    model = wandb.Artifact(cell.key, type="model", metadata=metadata)
    model.add_file(
        str(cell.weights), name="weights.pt", skip_cache=True
    )  # a copy: `wandb sync` may come late
    artifacts = [model]
    for kind, settings in (("raw", "raw"), ("prepared", "prepare")):
        if known := config["hashes"][kind]:
            metadata = {"md5": known, settings: config["data"][settings]}
            data = wandb.Artifact(f"{cell.task}-{kind}", type="dataset", metadata=metadata)
            url = f"dvc://files/md5/{known[:2]}/{known[2:]}"
            data.add_reference(url, name=f"data/{kind}/{cell.task}", checksum=False)
            artifacts.append(data)
    best = {"best_dice": kept["best_validation_dice"], "best_epoch": kept["best_epoch"]}
    return {"name": "trained", "md5": md5, "summary": kept | best, "artifacts": artifacts, "row": {}}


def of_test(cell: Cell) -> dict[str, Any]:
    """Return the table of the test cases, published columns and a picture each; errors as above."""
    with cell.scores.open(newline="", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    columns = {n: [float(row[n]) if row[n] else None for row in scores] for n in SCORES[1:]}
    names, dice = [row["filename"] for row in scores], columns["dsc"]
    captions = {n: n if d is None else f"{n}, Dice {d:.3f}" for n, d in zip(names, dice, strict=True)}
    shown = _pictures(cell, captions)
    pictures = [shown.get(name) for name in names]
    table = wandb.Table(columns=[*SCORES, "overlay"])
    for row in zip(names, *columns.values(), pictures, strict=True):
        table.add_data(*row)
    content: dict[str, Any] = {"test/cases": table}
    for column in SCORES[1:3]:
        known = [number for number in columns[column] if number is not None]
        content[f"test/{column}_mean"] = math.fsum(known) / len(known) if known else None
    ranks = [math.inf if number is None else number for number in dice]
    worst = sorted(range(len(names)), key=ranks.__getitem__)[:WORST]
    content |= {f"test/worst_{rank}": pictures[n] for rank, n in enumerate(worst, start=1) if pictures[n]}
    return {"name": "tested", "md5": md5_of(cell.scores), "summary": {}, "artifacts": [], "row": content}


def _pictures(cell: Cell, captions: dict[str, str]) -> dict[str, wandb.Image]:
    """Return slices of test cases on their original grids, of those whose files are all there."""
    found, raw = dict[str, wandb.Image](), Path("data/raw") / cell.task
    try:
        cases = prepared.read_cases(cell.task, "test")
    except UserError:
        return found
    for case in cases:
        prediction = cell.predictions / f"{case.name}.nii.gz"
        if case.name in captions and all(
            p.is_file() for p in (prediction, raw / case.image, raw / case.label)
        ):
            mask = nifti.read(prediction).get_fdata(dtype=np.float32).astype(np.uint8)
            image = originals.read_image(cell.task, case).get_fdata(dtype=np.float32)
            label = originals.read_label(cell.task, case)
            found[case.name] = media.wandb_image(media.slice_of(image, label, mask, captions[case.name]))
    return found
