"""Is a training in bf16 as good as one in float32? Every network and seed of the desk profile, both ways.

python -m benchmarks.bf16_trainings [--patch-size P] [--jobs N]

Writes benchmarks/bf16_cells.csv, a row a training, and benchmarks/bf16_differences.csv: test Dice of bf16
minus that of float32, paired by case and by seed (which starts both from the same weights and cuts the same
patches). The test is in float32, so that the difference is the training's.
"""

import argparse
import datetime
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.paper_cells import generate
from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.profiles import profile_path
from context_fbr.config.study import read_study
from context_fbr.core import atomic
from context_fbr.core.csv_text import csv_text
from context_fbr.core.errors import UserError
from context_fbr.metrics import overlap
from context_fbr.networks import factory, precision
from context_fbr.networks.device import describe, prepare_device
from context_fbr.networks.precision import Precision
from context_fbr.networks.sliding_window import segment
from context_fbr.runtime.entry import run_command
from context_fbr.training import batches, loop

ROOT = Path(__file__).parents[1]
TASK = "spheres"
BOTH: tuple[Precision, Precision] = ("float32", "bf16")
CONFIDENCE = 0.95
CELL_COLUMNS = (
    "model", "patch_size", "seed", "precision", "test_dice", "validation_dice", "train_s", "device", "date"
)  # fmt: skip
DIFFERENCE_COLUMNS = (
    "model", "patch_size", "trainings", "cases", "dice_float32", "dice_bf16", "difference", "low", "high",
    "confidence", "train_s_ratio_median", "device", "date",
)  # fmt: skip


def train_cell(cell: Cell) -> tuple[list[tuple[object, ...]], pd.DataFrame]:
    """Train and test a cell of the desk profile in both precisions.

    Returns:
        A row for each precision, and a table with the columns of `analysis.results.CONFIG_COLUMNS`,
        seed, filename and Dice in each precision.
    """
    document = Document.read(profile_path("desk"))
    study = read_study(document)
    device = prepare_device(study.train.threads)
    volumes = generate(document, cell.task)
    loaded = {
        wanted: [batches.load_volume(n, i, la, device) for n, split, i, la in volumes if split == wanted]
        for wanted in ("train", "validation")
    }
    epochs = study.tasks[cell.task].train.epochs
    batch = study.train.batch_volumes * study.train.patches_per_volume
    rows, dice = [], {}
    for kind in BOTH:
        settings = study.train.model_copy(update={"precision": kind})
        plan = loop.Protocol(settings, study.sliding_window, epochs, cell.patch_size, cell.seed)
        network = factory.build(document, cell.model, cell.patch_size, cell.seed).to(device)
        precision.check(network, f"networks.{cell.model}", kind, batch, cell.patch_size)
        start = time.perf_counter()
        history = list(loop.train(network, loaded["train"], loaded["validation"], plan))
        seconds = time.perf_counter() - start
        best = [epoch for epoch in history if epoch.weights is not None][-1]
        network.load_state_dict(dict(best.weights or {}))
        network.eval()
        dice[kind] = {
            name: overlap.score(
                segment(network, torch.from_numpy(image).to(device), cell.patch_size, study.sliding_window)
                .cpu()
                .numpy(),
                label,
            ).dice
            for name, split, image, label in volumes
            if split == "test"
        }
        mean = float(np.mean([value for value in dice[kind].values() if value is not None]))
        ends = (best.validation_dice, round(seconds, 1), describe(device), datetime.date.today())
        rows.append((cell.model, cell.patch_size, cell.seed, kind, mean, *ends))
        print(f"{cell.key} {kind}: test Dice {mean:.4f}, trained in {seconds:.0f} s", flush=True)
    table = pd.DataFrame(dice).rename_axis("filename").reset_index()
    return rows, table.assign(task=cell.task, model=cell.model, patch_size=cell.patch_size, seed=cell.seed)


def difference_rows(rows: Sequence[tuple[object, ...]], dice: pd.DataFrame) -> list[tuple[object, ...]]:
    """A row for each network and one for all: Dice of bf16 minus that of float32, with its interval."""
    seconds = pd.DataFrame(rows, columns=list(CELL_COLUMNS)).pivot_table(
        "train_s", ["model", "seed"], "precision"
    )
    dice = dice.assign(difference=dice["bf16"] - dice["float32"])
    everything = dice.assign(model="all", seed=dice["model"] + dice["seed"].astype(str))
    table = []
    for name, own in [*dice.groupby("model", sort=False), ("all", everything)]:
        between = interval([Term(1, own)], "difference", CONFIDENCE)
        timed = seconds if name == "all" else seconds.loc[[name]]
        means = (own["float32"].mean(), own["bf16"].mean())
        counts = (int(own["patch_size"].iloc[0]), own["seed"].nunique(), own["filename"].nunique())
        found = (between.estimate, between.low, between.high, CONFIDENCE)
        ratio = round(statistics.median(timed["float32"] / timed["bf16"]), 3)
        table.append((name, *counts, *means, *found, ratio, *rows[0][-2:]))
    return table


def main(arguments: list[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patch-size", type=int, default=32, metavar="P", help="default 32")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="trainings at once")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    study = read_study(Document.read(profile_path("desk")))
    cells = [cell for cell in study.grid.cells if (cell.task, cell.patch_size) == (TASK, options.patch_size)]
    if not cells:
        raise UserError(
            f"--patch-size {options.patch_size}: the desk profile has {list(study.grid.patch_sizes)}"
        )
    with ProcessPoolExecutor(options.jobs) as pool:
        done = list(pool.map(train_cell, cells))
    rows = [row for own, _ in done for row in own]
    differences = difference_rows(rows, pd.concat([table for _, table in done], ignore_index=True))
    folder = ROOT / "benchmarks"
    atomic.write_text(folder / "bf16_cells.csv", csv_text(CELL_COLUMNS, rows))
    atomic.write_text(folder / "bf16_differences.csv", csv_text(DIFFERENCE_COLUMNS, differences))
    for row in differences:
        print(f"{row[0]}: bf16 minus float32 {row[6]:+.4f} ({row[7]:+.4f} to {row[8]:+.4f})")


if __name__ == "__main__":
    run_command(main)
