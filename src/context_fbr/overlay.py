"""Draw predictions: for each network and patch size the median and the worst test case of a task.

python -m context_fbr.overlay TASK

Of the seeds the one with the median mean Dice is shown, on the original image, as radiologists see it:
from the feet, the patient's right on the left. Writes plots/overlays/TASK.png, and its data as TASK.csv.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes

from context_fbr.analysis.results import read_scores
from context_fbr.config.analysis import OverlayConfig
from context_fbr.config.cell import Cell
from context_fbr.core import atomic, bounded
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.patch_size import plain
from context_fbr.datasets import dataset_json
from context_fbr.evaluation.predictions import read_view
from context_fbr.figures.overlays import Panel, overlays
from context_fbr.preprocessing import prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import run_command, task_argument
from context_fbr.runtime.stage_inputs import StageInputs

PLACES = ("median", "worst")


def choose(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows to show, those of the median seed with the median and the worst Dice (`place`).

    A network that lacks a patch size is left out where others have all. A single case is shown once.

    Args:
        scores: columns model, patch_size, seed, filename, dsc, hausdorff; rows without Dice are ignored.

    Raises:
        UserError: if no row has a Dice.
    """
    chosen: list[pd.DataFrame] = []
    scores = scores.dropna(subset=["dsc"])
    sizes = scores.groupby("model")["patch_size"].transform("nunique")
    for _, rows in scores[sizes == sizes.max()].groupby(["model", "patch_size"], sort=False):
        means = rows.groupby("seed")["dsc"].mean().sort_values(kind="stable")
        own = rows[rows["seed"] == means.index[(len(means) - 1) // 2]]
        own = own.sort_values(["dsc", "filename"], kind="stable")
        middle = len(own) // 2 if len(own) == 2 else (len(own) - 1) // 2  # two cases: the better one
        for place, number in dict(zip(PLACES[: len(own)], (middle, 0), strict=False)).items():
            chosen.append(own.iloc[[number]].assign(place=place))
    if not chosen:
        raise UserError(
            "no test case has a Dice, for no label has foreground on the prepared grid: there is no case to "
            "show; look at `foreground`, `crop` and `split` of its `prepare` in params.yaml"
        )
    return pd.concat(chosen, ignore_index=True)


def slice_of(image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> tuple[int, list[np.ndarray]]:
    """Return the axial slice (z) through the centre of the label, or of the volume if there is none.

    Args:
        image: (x, y, z).
        label: (x, y, z), foreground where not 0.
        prediction: (x, y, z), foreground where not 0.

    Returns:
        z, and the three slices as (y, x) with y upwards, for an image with its origin below.
    """
    found = np.argwhere(label)
    z = round(float(found[:, 2].mean())) if len(found) else label.shape[2] // 2
    return z, [volume[:, :, z].T for volume in (image, label, prediction)]


def panel_of(
    cell: Cell, case: Case, row: Mapping[str, Any], window: tuple[float, float] | None
) -> tuple[int, Panel]:
    """Return the slice (z) that is shown of a case, and its panel.

    Args:
        cell: that has predicted it.
        case: of the prediction.
        row: place, dsc and hausdorff, as of `choose`.
        window: intensities that are drawn black and white; None: those of the slice.

    Raises:
        UserError: if a file is missing or damaged.
    """
    view = read_view(cell, case)
    z, (shown, truth, mask) = slice_of(view.image.get_fdata(dtype=np.float32), view.label, view.prediction)
    width, height, _ = voxel_sizes(view.image.affine)
    panel = Panel(
        cell.model,
        cell.patch_size,
        row["place"],
        case.name,
        row["dsc"],
        row["hausdorff"],
        shown,
        truth,
        mask,
        height / width,
        window or (float(shown.min()), float(np.percentile(shown, 99.5))),
    )
    return z, panel


def credit(task: str) -> str:
    """Return the source and the licence of a data set's images, by its dataset.json; empty if generated."""
    path = Path("data/raw") / task / dataset_json.NAME
    try:
        tree = bounded.read_json(path)
        source, licence = (str(tree.get(key, "")).strip() for key in ("reference", "licence"))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run `dvc checkout raw@{task}`") from error
    return f"Images: {tree.get('name', task)}, {', '.join(filter(None, (source, licence)))}" if source else ""


def main(arguments: list[str]) -> None:
    """Run the stage."""
    task = task_argument(arguments)
    with stage_inputs.unchanged("overlay", task=task) as inputs:
        draw(task, inputs)


def draw(task: str, inputs: StageInputs) -> None:
    """Draw the overlays of a task and write figure and table.

    Raises:
        UserError: if results or volumes are missing or do not fit, or an input changed meanwhile.
    """
    config = OverlayConfig.read(inputs.document, task)
    problems: list[str] = []
    tables = [
        read_scores(cell, problems).assign(model=cell.model, patch_size=cell.patch_size, seed=cell.seed)
        for cell in config.cells
    ]
    raise_problems(problems)
    try:
        chosen = choose(pd.concat(tables, ignore_index=True))
    except UserError as error:
        raise UserError(f"{task}: {error}") from None
    cases = {case.name: case for case in prepared.read_cases(task, "test")}
    raise_problems(
        [
            f"metrics/test/{task}: {name} is no test case of {prepared.folder(task)}; run `dvc repro`"
            for name in chosen["filename"].unique()
            if name not in cases
        ]
    )
    panels, slices = [], []
    for row in chosen.itertuples():
        cell = Cell(task, row.model, plain(row.patch_size), int(row.seed))
        z, panel = panel_of(cell, cases[row.filename], row._asdict(), config.window)
        slices.append(z)
        panels.append(panel)
    folder = Path("plots/overlays")
    columns = ["model", "patch_size", "seed", "place", "filename", "dsc", "hausdorff", "fg_ratio", "slice"]
    table = chosen.assign(slice=slices)[columns].round(6)
    inputs.check()
    atomic.write_text(folder / f"{task}.csv", table.to_csv(index=False, lineterminator="\n"))
    atomic.write_bytes(folder / f"{task}.png", overlays(panels, credit(task)))


if __name__ == "__main__":
    run_command(main)
