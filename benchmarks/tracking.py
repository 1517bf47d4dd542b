"""What whoever is told of a training costs it -> benchmarks/tracking.csv.

The epochs of a cell of fewer volumes, its validations among them, in turns: with no tracking code at all,
with the code and W&B off (and the bar, which the first lacks), and with W&B offline, which is told by a
process beside it. What W&B takes before the first epoch and after the last one, without the results, is timed
apart.
"""

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from benchmarks import generated, table
from benchmarks.cell import size_of
from benchmarks.request import Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.progress import progress
from context_fbr.networks import factory
from context_fbr.training import loop, tracking
from context_fbr.training.batches import Protocol, Volume
from context_fbr.training.cell import follow, load_split
from context_fbr.training.history import Epoch

REPEATS = 7
KEY = ("mode", "network", "patch_size", "device", "precision")
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
    """Seconds of the epochs of a training, and of what is around them.

    Raises:
        RuntimeError: if W&B was not told of every step: a mirror that gave up costs nothing.
    """
    training, validation = volumes
    network = factory.build(document, cell.model, cell.patch_size, cell.seed).to(training[0].image.device)
    epochs = loop.train(network, training, validation, protocol)
    if mode == NONE:
        start = time.perf_counter()
        for _ in epochs:
            pass
        return time.perf_counter() - start, 0.0
    history: list[Epoch] = []
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
        steps = sum(len(epoch.step_losses) for epoch in history)
        if mode == OFFLINE and (found := _told(Path(folder))) != (steps, 1):
            raise RuntimeError(f"{steps} steps of a run, of which W&B was told {found}")
    return took, ends


def _told(folder: Path) -> tuple[int, int]:
    """Steps and runs that W&B was told of."""
    journals = [path.read_text() for path in folder.glob("wandb/context-fbr/*/journal.jsonl")]
    rows = [line for text in journals for line in text.splitlines() if json.loads(line)["kind"] == "row"]
    return len(rows), len([*folder.glob("wandb/offline-run-*/*.wandb")])


def measure(request: Request, study: generated.Study, cell: Cell, epochs: int) -> list[dict[str, object]]:
    """The rows of the table of a configuration, without their stamp."""
    protocol = Protocol(request.training, request.window, epochs, cell.patch_size, cell.seed)
    repeats = request.repeats or REPEATS
    found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    with contextlib.chdir(study.folder):
        volumes = [load_split(cell, split, request.device)[0] for split in ("train", "validation")]
        for number in progress(range(-1, repeats), repeats + 1, "tracking", "round"):
            for shift in range(len(MODES)):
                mode = MODES[(number + shift) % len(MODES)]
                found[mode].append(train(mode, study.document, cell, volumes, protocol))
    steps = epochs * -(-len(volumes[0]) // request.training.batch_volumes)
    rows: list[dict[str, object]] = []
    for mode in MODES:
        # The first round finds nothing in memory.
        own, other = found[mode][1:], found[BEFORE.get(mode, mode)][1:]
        ratios = [a / b for (a, _), (b, _) in zip(own, other, strict=True)]
        rows.append(
            {
                "mode": mode,
                "network": cell.model,
                "patch_size": cell.patch_size,
                "device": request.device.type,
                "precision": request.precision,
                "steps": steps,
                "step_ms": f"{statistics.median(s for s, _ in own) / steps * 1000:.4g}",
                "ratio_median": f"{statistics.median(ratios):.4f}",
                "ratio_min": f"{min(ratios):.4f}",
                "ratio_max": f"{max(ratios):.4f}",
                "ends_s": f"{statistics.median(s for _, s in own):.3g}",
                "repeats": repeats,
            }
        )
    return rows


def cost(request: Request, stamp: Mapping[str, object]) -> Iterator[str]:
    """Measure and write the rows of each configuration; what they say."""
    _, size = size_of(request)
    with tempfile.TemporaryDirectory() as name:
        study = generated.write(request, size, Path(name) / "study", {}, for_both=False)
        for model, patch_size in request.configurations([("unet", 32)]):
            cell = Cell(request.task, model, patch_size, seed=1)
            rows = measure(request, study, cell, size.epochs)
            table.replace(TABLE, [{**row, **stamp} for row in rows])
            said = ", ".join(
                f"{row['mode']} takes {row['ratio_median']} times what {BEFORE[str(row['mode'])]} takes"
                for row in rows[1:]
            )
            yield f"tracking {model} {patch_size}: {said}"
