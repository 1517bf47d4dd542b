"""What a cell's finished stages left on disk, told to a run."""

import csv
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from context_fbr import nifti, originals, prepared
from context_fbr.cells import Cell
from context_fbr.mirror.media import picture, slice_of
from context_fbr.mirror.run import Run
from context_fbr.score_columns import SCORES

WORST = 4
"""Test cases that are shown beside the table, by Dice."""


def tell_training(run: Run, cell: Cell) -> None:
    """The model and the data as artifacts, and what the training came to.

    Raises:
        OSError, ValueError, KeyError: if a result is missing or damaged.
        Exception: W&B's.
    """
    import wandb

    weights = cell.weights.read_bytes()
    digest = _digest("train", weights)
    if run.knows(digest):
        return
    summary = json.loads(cell.training.read_text(encoding="utf-8"))
    config = run.identity.config
    told = {name: summary[name] for name in ("network_parameters", "best_epoch", "best_validation_dice")}
    run.api.summary.update({"best_epoch": told["best_epoch"], "best_dice": told["best_validation_dice"]})
    metadata = {"network": config["network"], **told, "weights_md5": hashlib.md5(weights).hexdigest()}
    model = wandb.Artifact(cell.key, type="model", metadata=metadata)
    model.add_file(str(cell.weights))
    model.add_file(str(cell.training))
    run.api.log_artifact(model)
    for kind in ("raw", "prepared"):
        hash_of_folder = config["provenance"][f"{kind}_data"]
        if hash_of_folder:
            run.api.log_artifact(_reference(cell.task, kind, hash_of_folder, config["data"]))
    run.remember(digest)


def _reference(task: str, kind: str, hash_of_folder: str, settings: Any) -> Any:
    """A data set by DVC's hash, which leads to its files wherever DVC's remote is; no byte is copied."""
    import wandb

    part = "raw" if kind == "raw" else "prepare"
    data = wandb.Artifact(
        f"{task}-{kind}", type="dataset", metadata={"md5": hash_of_folder, part: settings[part]}
    )
    place = f"files/md5/{hash_of_folder[:2]}/{hash_of_folder[2:]}"
    data.add_reference(f"dvc://{place}", name=f"data/{kind}/{task}")
    return data


def tell_test(run: Run, cell: Cell, step: int) -> None:
    """The table of the test cases with the published columns and a picture a row, and the worst of them.

    Args:
        run: of the cell.
        cell: that is evaluated.
        step: of the row that they stand in.

    Raises:
        OSError, ValueError, KeyError, UserError: if a result is missing or damaged.
        Exception: W&B's.
    """
    import wandb

    content = cell.scores.read_bytes()
    digest = _digest("evaluate", content)
    if run.knows(digest):
        return
    scores = list(csv.DictReader(content.decode().splitlines()))
    pictures = {row["filename"]: _picture_of(cell, row["filename"], row["dsc"]) for row in scores}
    table = wandb.Table(columns=[*SCORES, "overlay"])
    for row in scores:
        table.add_data(
            row["filename"], *(_number(row[name]) for name in SCORES[1:]), pictures[row["filename"]]
        )
    worst = sorted(scores, key=lambda row: float(row["dsc"] or math.inf))[:WORST]
    shown = [each for row in worst if (each := pictures[row["filename"]]) is not None]
    media: dict[str, Any] = {"test/cases": table}
    if shown:
        media["test/worst_cases"] = shown
    means = {f"test/{name}_mean": _mean([row[name] for row in scores]) for name in SCORES[1:3]}
    run.api.log({**media, **means}, step=step)
    run.remember(digest)


def _picture_of(cell: Cell, name: str, dice: str) -> Any:
    """A test case with label and prediction; None where its files are not on this machine."""
    case = next(case for case in prepared.read_cases(cell.task, "test") if case.name == name)
    prediction = cell.predictions / f"{name}.nii.gz"
    if not prediction.is_file() or not (Path("data/raw") / cell.task / case.image).is_file():
        return None
    mask = nifti.read(prediction).get_fdata(dtype=np.float32).astype(np.uint8)
    image = originals.read_image(cell.task, case).get_fdata(dtype=np.float32)
    label = originals.read_label(cell.task, case)
    return picture(slice_of(image, label, mask, f"{name}, Dice {float(dice):.3f}" if dice else name))


def _digest(stage: str, content: bytes) -> str:
    return f"{stage} {hashlib.sha256(content).hexdigest()[:16]}"


def _number(text: str) -> float | None:
    """Of a field; one that is empty is undefined."""
    return float(text) if text else None


def _mean(fields: list[str]) -> float | None:
    numbers = [float(field) for field in fields if field]
    return math.fsum(numbers) / len(numbers) if numbers else None
