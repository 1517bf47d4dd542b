"""What a tracker costs a training: none in the code, none asked for, W&B offline -> benchmarks/tracking.csv.

python -m benchmarks.tracking [--repeats N] [--network NAME] [--patch-size N]

The epochs of a cell of the desk profile, validations among them, on volumes in memory; the three in turns.
What W&B takes before the first epoch and after the last one is timed apart.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from benchmarks import generated, table
from benchmarks.generated import Size
from benchmarks.request import Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr import networks, tracking, trainer
from context_fbr.cell_training import follow, load_split
from context_fbr.cells import Cell
from context_fbr.device import prepare_device
from context_fbr.epoch import Epoch
from context_fbr.errors import run
from context_fbr.patches import Protocol, Volume
from context_fbr.profiles import profile_path
from context_fbr.progress import progress
from context_fbr.study.document import Document
from context_fbr.study.training import SlidingWindow, TaskTraining, Training

KEY = ("mode", "network", "patch_size", "device")
TABLE = Table(
    FOLDER / "tracking.csv",
    (*KEY, "steps", "step_ms", "ratio_median", "ratio_min", "ratio_max", "ends_s", "repeats", *STAMP),
    KEY,
)
NONE, OFF, OFFLINE = "no tracking code", "off", "offline"
MODES = (NONE, OFF, OFFLINE)
BEFORE = {OFF: NONE, OFFLINE: OFF}
"""What a mode is compared with."""


def train(
    mode: str, document: Document, cell: Cell, volumes: Sequence[Sequence[Volume]], protocol: Protocol
) -> tuple[float, float]:
    """Seconds of the epochs of a training, and of what is around them."""
    training, validation = volumes
    network = networks.build(document, cell.model, cell.patch_size, cell.seed).to(training[0].image.device)
    epochs = trainer.train(network, training, validation, protocol)
    history: list[Epoch] = []
    if mode == NONE:
        start = time.perf_counter()
        for epoch in epochs:
            history.append(epoch)
        return time.perf_counter() - start, 0.0
    environment = {tracking.VARIABLE: "offline" if mode == OFFLINE else "disabled"}
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, {**environment, "WANDB_DIR": folder}),
    ):
        begin = time.perf_counter()
        with (
            tracking.of_training(cell, document, network, training[0], []) as tracker,
            contextlib.redirect_stdout(None),
        ):
            start = time.perf_counter()
            follow(cell, epochs, protocol.epochs, history, tracker)
            took = time.perf_counter() - start
        ends = time.perf_counter() - begin - took
        if mode == OFFLINE:
            _check(Path(folder), sum(len(epoch.step_losses) for epoch in history))
        return took, ends


def _check(folder: Path, steps: int) -> None:
    """That W&B was told of every step: a mirror that gave up would cost nothing."""
    (journal,) = folder.glob("wandb/context-fbr/*/journal.jsonl")
    found = sum(json.loads(line)["kind"] == "row" for line in journal.read_text().splitlines())
    told = [*folder.glob("wandb/offline-run-*/*.wandb")]
    if found != steps or len(told) != 1:
        raise RuntimeError(f"{found} of {steps} steps in the journal, {len(told)} runs of W&B")


def main(arguments: list[str]) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--network", default="unet")
    parser.add_argument("--patch-size", type=int, default=16)
    options = parser.parse_args(arguments)
    document = Document.read(profile_path("desk"))
    settings = document.section(("train",), Training)
    device = prepare_device(settings.threads)
    stamp = table.stamp(device)
    request = Request(document, "spheres", device, settings.precision)
    cell = Cell(request.task, options.network, options.patch_size, seed=1)
    epochs = document.section(("tasks", cell.task, "train"), TaskTraining).epochs
    window = document.section(("sliding_window",), SlidingWindow)
    protocol = Protocol(settings, window, epochs, cell.patch_size, cell.seed)
    with tempfile.TemporaryDirectory() as name:
        study = generated.write(request, Size(epochs, 16, 4, 1), Path(name) / "study", {}, for_both=False)
        with contextlib.chdir(study.folder):
            volumes = [load_split(cell, split, device)[0] for split in ("train", "validation")]
            found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
            for number in progress(range(-1, options.repeats), options.repeats + 1, "tracking", "round"):
                for shift in range(len(MODES)):
                    mode = MODES[(number + shift) % len(MODES)]
                    found[mode].append(train(mode, study.document, cell, volumes, protocol))
    steps = epochs * -(-len(volumes[0]) // settings.batch_volumes)
    rows = []
    for mode in MODES:
        own = [seconds for seconds, _ in found[mode][1:]]  # the first round finds nothing in memory
        other = [seconds for seconds, _ in found[BEFORE.get(mode, mode)][1:]]
        ratios = [a / b for a, b in zip(own, other, strict=True)]
        rows.append(
            {
                "mode": mode,
                "network": cell.model,
                "patch_size": cell.patch_size,
                "device": device.type,
                "steps": steps,
                "step_ms": f"{statistics.median(own) / steps * 1000:.4g}",
                "ratio_median": f"{statistics.median(ratios):.4f}",
                "ratio_min": f"{min(ratios):.4f}",
                "ratio_max": f"{max(ratios):.4f}",
                "ends_s": f"{statistics.median(seconds for _, seconds in found[mode][1:]):.3g}",
                "repeats": options.repeats,
                **stamp,
            }
        )
    table.replace(TABLE, rows)
    for row in rows:
        print(f"{row['mode']}: {row['step_ms']} ms a step, {row['ratio_median']} of the mode before it")


if __name__ == "__main__":
    run(main)
