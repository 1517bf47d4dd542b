"""Which share of our cell's time is not the network's own passes -> benchmarks/overhead.csv.

The network's are its forward passes in training, validation and test, backward (the loss's among it) and the
optimiser's step. Everything else that the stages `train` and `evaluate` do is overhead: the start of the two
processes with their imports and the building of the network, reading and hashing of volumes, patches, loss,
stitching of windows, all scores, predictions, results, saved states; and the cell's part of `prepare`.

Without `--epochs` ten epochs are measured, with one validation, and what an epoch and a validation cost is
taken times the protocol's number of them; with `--epochs 50` the whole cell is. The test is always whole.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks import generated, table
from benchmarks.cell import size_of
from benchmarks.generated import Size, Study
from benchmarks.pairs import seconds
from benchmarks.passes import Passes, watched
from benchmarks.request import Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.config.cell import Cell
from context_fbr.config.training import Resume, TaskTraining
from context_fbr.evaluation import cell as cell_evaluation
from context_fbr.networks import factory
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training import cell as cell_training
from context_fbr.training import checkpoint, loop, weights

EPOCHS = 10
NETWORK, OTHER = "network", "overhead"
"""How the parts' names begin."""
KEY = ("network", "patch_size", "device", "precision")
TABLE = Table(FOLDER / "overhead.csv", (*KEY, "part", "seconds", "share", "epochs_measured", *STAMP), KEY)
PROCESSES = (
    "from context_fbr.training import cell as stage; from context_fbr.networks.factory import build",
    "from context_fbr.evaluation import cell as stage; "
    "from context_fbr.networks.factory import rebuild as build",
)
"""What the stages import, and how each makes its network."""
BUILD = """
import sys
from pathlib import Path
from context_fbr.config.document import Document
build(Document.read(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), 1).to(sys.argv[4])
"""


@dataclass
class _Watch:
    """What happens within a stage, in seconds."""

    device: torch.device
    taken: dict[str, float] = field(default_factory=dict)
    passes: Passes | None = None
    pauses: int = 0

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose seconds are added up under a name."""

        def run(*arguments: Any, **keywords: Any) -> Any:
            found: list[Any] = []
            took = seconds(lambda: found.append(function(*arguments, **keywords)), self.device)
            self.taken[name] = self.taken.get(name, 0.0) + took
            return found[0]

        return run

    def watching(self, stack: ExitStack, build: Callable[..., torch.nn.Module]) -> Callable[..., Any]:
        """A function that makes a network, whose passes are then watched until the stack unwinds."""

        def run(*arguments: Any) -> torch.nn.Module:
            network = build(*arguments)
            self.passes = stack.enter_context(watched(network, self.device))
            return network

        return run

    def pause(self, keeper: Any, state: Callable[[], loop.TrainingState]) -> bool:
        """After the first step, save a state: Adam has its moments by then. No other is saved."""
        self.pauses += 1
        if self.pauses == 2:
            self.timed("save", lambda: checkpoint.save(keeper._place, state(), []))()
        return False


def start_seconds(request: Request, model: str, size: int) -> float:
    """Of the two processes of a cell, from nothing to a network on the device."""
    arguments = [str(request.document.path.resolve()), model, str(size), str(request.device)]
    commands = [[sys.executable, "-c", code + BUILD, *arguments] for code in PROCESSES]
    begin = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True)
    return time.perf_counter() - begin


def stages(request: Request, study: Study, cell: Cell) -> tuple[float, _Watch, float, Passes]:
    """Run both stages.

    Returns:
        Seconds of `train` without its network's building, and what happened in it; seconds of `evaluate`
        likewise, and the passes of its network.
    """
    learns, tests = _Watch(request.device), _Watch(request.device)
    with contextlib.chdir(study.folder), ExitStack() as stack:
        for place, name, by in (
            (cell_training, "load_split", learns.timed("data", cell_training.load_split)),
            (cell_training, "follow", learns.timed("epochs", cell_training.follow)),
            (loop, "validate", learns.timed("validation", loop.validate)),
            (checkpoint.Checkpointer, "pause", lambda keeper, state: learns.pause(keeper, state)),
            (factory, "build", learns.timed("build", learns.watching(stack, factory.build))),
        ):
            stack.enter_context(patch.object(place, name, by))
        inputs = stage_inputs.read("train", cell.item)
        train_s = seconds(lambda: cell_training.train(cell, inputs, StopRequest()), request.device)
    with contextlib.chdir(study.folder), ExitStack() as stack:
        for place, name, by in (
            (factory, "rebuild", tests.timed("build", factory.rebuild)),
            (weights, "load_network", tests.watching(stack, weights.load_network)),
        ):
            stack.enter_context(patch.object(place, name, by))
        inputs = stage_inputs.read("evaluate", cell.item)
        test_s = seconds(lambda: cell_evaluation.evaluate(cell, inputs, StopRequest()), request.device)
    assert tests.passes is not None
    return train_s - learns.taken["build"], learns, test_s - tests.taken["build"], tests.passes


def parts(
    request: Request, study: Study, cell: Cell, size: Size, epochs: int, start_s: float
) -> dict[str, float]:
    """Seconds of a whole cell by part.

    Args:
        request: whose protocol says how often a cell is validated.
        study: of the cell.
        cell: to measure.
        size: of the study; its epochs are those that are measured.
        epochs: of a whole cell.
        start_s: as `start_seconds`.
    """
    train_s, learns, test_s, tests = stages(request, study, cell)
    taken, passes = learns.taken, learns.passes
    assert passes is not None
    steps = size.epochs * -(-size.train // request.training.batch_volumes)
    assert passes.number["backward"] == passes.number["optimizer"] == steps  # or some would hide
    every = request.training.validate_every_epochs
    of_training = epochs / size.epochs
    of_validation = -(-epochs // every) / -(-size.epochs // (every if size.epochs == epochs else size.epochs))
    in_epochs = {
        "forward, training": passes.seconds["training"] * of_training,
        "backward": passes.seconds["backward"] * of_training,
        "optimizer": passes.seconds["optimizer"] * of_training,
    }
    training = (taken["epochs"] - taken["validation"] - taken["save"]) * of_training
    validation = taken["validation"] * of_validation
    in_validation = passes.seconds["segmentation"] * of_validation
    other = {
        "processes": start_s,
        "data": taken["data"] + study.prepare_s,
        "training": training - sum(in_epochs.values()),
        "validation": validation - in_validation,
        "test": test_s - tests.seconds["segmentation"],
        "saved states": _saving(request, taken["save"], training + validation),
        "once a training": train_s - taken["data"] - taken["epochs"],
    }
    own = {
        **in_epochs,
        "forward, validation": in_validation,
        "forward, test": tests.seconds["segmentation"],
    }
    return {f"{NETWORK}: {part}": s for part, s in own.items()} | {
        f"{OTHER}: {part}": s for part, s in other.items()
    }


def _saving(request: Request, save_s: float, training_s: float) -> float:
    """What the saved states of a training take."""
    every_s = request.document.section(("resume",), Resume).save_every_minutes * 60
    return training_s // max(every_s, checkpoint.SHARE * save_s) * save_s


def overhead(request: Request, stamp: Mapping[str, object]) -> Iterator[str]:
    """Measure and write the rows of each configuration; what they say."""
    epochs = request.document.section(("tasks", request.task, "train"), TaskTraining).epochs
    _, whole = size_of(replace(request, epochs=epochs))
    size = replace(whole, epochs=min(request.epochs or EPOCHS, epochs))
    # One validation is enough, and ends the training.
    rhythm = {} if size.epochs == epochs else {"validate_every_epochs": size.epochs}
    with tempfile.TemporaryDirectory() as name:
        study = generated.write(request, size, Path(name) / "study", rhythm, for_both=False)
        for model, patch_size in request.configurations([("unet", 32)]):
            start_s = start_seconds(request, model, patch_size)
            cell = Cell(request.task, model, patch_size, seed=1)
            found = parts(request, study, cell, size, epochs, start_s)
            total = sum(found.values())
            common = {"network": model, "patch_size": patch_size, "device": request.device.type, **stamp}
            common |= {"precision": request.precision, "epochs_measured": size.epochs}
            rows = [
                {**common, "part": part, "seconds": f"{s:.4g}", "share": f"{s / total:.5f}"}
                for part, s in found.items()
            ]
            table.replace(TABLE, rows)
            share = sum(s for part, s in found.items() if part.startswith(OTHER)) / total
            said = f"{share:.1%} of {total:.0f} s are not the network's own passes"
            yield f"overhead {model} {patch_size}: {said}"
