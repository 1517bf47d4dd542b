"""Results of a cell for its run, as W&B's objects, from the cell's files: arguments of `Session.results`."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from context_fbr.analysis.results import read_scores
from context_fbr.config.cell import Cell
from context_fbr.core import bounded
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.evaluation.predictions import read_prediction
from context_fbr.metrics.columns import SCORES
from context_fbr.preprocessing import originals, prepared
from context_fbr_tools.wandb_sync import media
from context_fbr_tools.wandb_sync.run_identity import Identity, md5_of

WORST = 4  # test cases next to the table, those of the lowest Dice


def of_training(cell: Cell, identity: Identity) -> dict[str, Any]:
    """Return the model, and the data by DVC's hashes; raises OSError, ValueError, KeyError if damaged."""
    summary, md5, config = bounded.read_json(cell.training), md5_of(cell.weights), identity.config
    kept = {n: summary[n] for n in ("network_parameters", "best_epoch", "best_validation_dice", "epochs")}
    metadata = {"network": config["network"], "weights_md5": md5, **kept}
    model = wandb.Artifact(cell.key, type="model", metadata=metadata)
    model.add_file(str(cell.weights), name="weights.pt", skip_cache=True)  # W&B's copy, for a late sync
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
    """Return the table of test cases, with published columns and pictures; raises UserError if damaged."""
    problems: list[str] = []
    scores = read_scores(cell, problems)[[*SCORES]]
    raise_problems(problems)
    pictures = _pictures(cell, dict(zip(scores["filename"], scores["dsc"], strict=True)))
    table = wandb.Table(columns=[*SCORES, "overlay"])
    for name, *numbers in scores.itertuples(index=False):
        table.add_data(name, *(None if math.isnan(n) else n for n in numbers), pictures.get(name))
    content = {"test/cases": table, **{f"test/{n}_mean": scores[n].mean() for n in ("dsc", "hausdorff")}}
    worst = scores["filename"][scores["dsc"].nsmallest(WORST).index]
    content |= {f"test/worst_{n}": pictures[w] for n, w in enumerate(worst, start=1) if w in pictures}
    return {"name": "tested", "md5": md5_of(cell.scores), "summary": {}, "artifacts": [], "row": content}


def _pictures(cell: Cell, dice: dict[str, float]) -> dict[str, wandb.Image]:
    """Return slices of test cases on their original grids, of those whose files are all there."""
    found, raw = dict[str, wandb.Image](), Path("data/raw") / cell.task
    try:
        cases = prepared.read_cases(cell.task, "test")
    except UserError:
        return found
    for case in cases:
        files = cell.predictions / f"{case.name}.nii.gz", raw / case.image, raw / case.label
        if case.name in dice and all(map(Path.is_file, files)):
            mask = read_prediction(cell, case)
            image, label = originals.read_image(cell.task, case), originals.read_masks(cell.task, case).label
            caption = case.name + ("" if math.isnan(dice[case.name]) else f", Dice {dice[case.name]:.3f}")
            planes = media.slice_of(image.get_fdata(dtype=np.float32), label, mask, caption)
            found[case.name] = media.wandb_image(planes, case.names)
    return found
