"""Results of a cell for its run, as W&B's objects, from the cell's files."""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from context_fbr.config.cell import Cell
from context_fbr.core import bounded, nifti
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import SCORES
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr_tools.wandb_sync import media
from context_fbr_tools.wandb_sync.run_identity import Identity, md5_of

WORST = 4
"""Test cases that are shown beside the table, those of the lowest Dice."""


@dataclass(frozen=True)
class Results:
    """Results of a stage; `row` is the content of the step after the last."""

    name: str
    md5: str
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: tuple[wandb.Artifact, ...] = ()
    row: dict[str, Any] = field(default_factory=dict)


def of_training(cell: Cell, identity: Identity) -> Results:
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
    return Results("trained", md5, kept | best, tuple(artifacts))


def of_test(cell: Cell) -> Results:
    """Return the table of the test cases with the published columns and a picture of each; errors as above."""
    with cell.scores.open(newline="", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    try:
        cases = {case.name: case for case in prepared.read_cases(cell.task, "test")}
    except UserError:  # without data there are no pictures
        cases = {}
    columns = {n: [float(row[n]) if row[n] else None for row in scores] for n in SCORES[1:]}
    table, shown = wandb.Table(columns=[*SCORES, "overlay"]), []
    for row, *numbers in zip(scores, *columns.values(), strict=True):
        shown.append(_picture(cell, cases.get(row["filename"]), row["filename"], numbers[0]))
        table.add_data(row["filename"], *numbers, shown[-1])
    content: dict[str, Any] = {"test/cases": table}
    for name in SCORES[1:3]:
        known = [number for number in columns[name] if number is not None]
        content[f"test/{name}_mean"] = math.fsum(known) / len(known) if known else None
    dice = [math.inf if number is None else number for number in columns["dsc"]]
    worst = sorted(range(len(dice)), key=dice.__getitem__)[:WORST]
    content |= {f"test/worst_{rank}": shown[n] for rank, n in enumerate(worst, start=1) if shown[n]}
    return Results("tested", md5_of(cell.scores), row=content)


def _picture(cell: Cell, case: Case | None, name: str, dice: float | None) -> wandb.Image | None:
    """Return a slice of a test case on its original grid; None if a file of it is missing."""
    prediction, raw = cell.predictions / f"{name}.nii.gz", Path("data/raw") / cell.task
    if case is None or not all(p.is_file() for p in (prediction, raw / case.image, raw / case.label)):
        return None
    mask = nifti.read(prediction).get_fdata(dtype=np.float32).astype(np.uint8)
    image = originals.read_image(cell.task, case).get_fdata(dtype=np.float32)
    caption = name if dice is None else f"{name}, Dice {dice:.3f}"
    planes = media.slice_of(image, originals.read_label(cell.task, case), mask, caption)
    return media.wandb_objects({f"case/{part}": plane for part, plane in planes.items()})["case"]
