"""Which share of our cell's time is not the network's own passes -> benchmarks/overhead.csv.

The network's are its forward passes in training, validation and test, backward (the loss's among it) and the
optimiser's step. Everything else is overhead: the start of the two processes with their imports and the
building of the network, data, patches, loss, stitching of windows, scores, predictions, and saved states.

Without `--epochs` two epochs, one validation and a fifth of the test cases are measured, and what each costs
is taken times the protocol's number of them; with `--epochs 50` the whole cell is.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks import cell_ways, table
from benchmarks.cell import REDUCED_PART, size_of
from benchmarks.cell_ways import Files, Size
from benchmarks.pairs import seconds, synchronise
from benchmarks.passes import Passes, watched
from benchmarks.request import Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr import networks, trainer, training_state
from context_fbr.patches import Protocol
from context_fbr.progress import progress
from context_fbr.resume import Place
from context_fbr.study.resume import Resume
from context_fbr.study.training import TaskTraining

EPOCHS = 2
NETWORK, OTHER = "network", "overhead"
"""How the parts' names begin."""
KEY = ("network", "patch_size", "device")
TABLE = Table(FOLDER / "overhead.csv", (*KEY, "part", "seconds", "share", "epochs_measured", *STAMP), KEY)
PROCESSES = (
    "from context_fbr import cell_training as stage, networks; build = networks.build",
    "from context_fbr import cell_evaluation as stage, networks; build = networks.rebuild",
)
"""What the stages `train` and `evaluate` import, and how each makes its network."""
BUILD = """
import sys
from pathlib import Path
from context_fbr.study.document import Document
build(Document.read(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), 1).to(sys.argv[4])
"""


@dataclass
class _Clock:
    """Seconds of what happens within a training."""

    device: torch.device
    place: Place
    original: Callable[..., float]
    """`trainer.validate`."""
    validation: float = 0.0
    save: float = 0.0
    pauses: int = 0

    def validate(self, *arguments: Any, **keywords: Any) -> float:
        """In the place of the trainer's own, which is called."""
        found: list[float] = []
        self.validation += seconds(lambda: found.append(self.original(*arguments, **keywords)), self.device)
        return found[0]

    def pause(self, state: Callable[[], trainer.State]) -> None:
        """After the first step, save a state: Adam has its moments by then."""
        self.pauses += 1
        if self.pauses == 2:
            self.save = seconds(lambda: training_state.save(self.place, state(), []), self.device)


def start_seconds(request: Request, model: str, size: int) -> float:
    """Of the two processes of a cell, from nothing to a network on the device."""
    arguments = [str(request.document.path.resolve()), model, str(size), str(request.device)]
    commands = [[sys.executable, "-c", code + BUILD, *arguments] for code in PROCESSES]
    begin = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True)
    return time.perf_counter() - begin


def parts(request: Request, model: str, protocol: Protocol, size: Size, start_s: float) -> dict[str, float]:
    """Seconds of a whole cell by part.

    Args:
        request: whose protocol says how much there is of each.
        model: the network.
        protocol: of the cell.
        size: what is measured of it; training and validation volumes are all of them.
        start_s: as `start_seconds`.
    """
    _, whole = size_of(replace(request, epochs=protocol.epochs))
    every = protocol.settings.validate_every_epochs
    validations = -(-protocol.epochs // every)
    if size.epochs < protocol.epochs:  # one validation, after the last
        every = size.epochs
    settings = protocol.settings.model_copy(update={"validate_every_epochs": every})
    measured = replace(protocol, settings=settings, epochs=size.epochs)
    of_training = protocol.epochs / size.epochs
    of_validation = validations / -(-size.epochs // every)
    of_test = whole.test / size.test
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = cell_ways.write_volumes(request, size, folder, for_both=False)
        network = networks.build(request.document, model, protocol.patch_size, protocol.seed)
        network.to(request.device)
        begin = time.perf_counter()
        learn, check = (cell_ways.load(files, split, request.device) for split in ("train", "validation"))
        data = time.perf_counter() - begin
        clock = _Clock(request.device, Place(folder / "state", "0" * 64), trainer.validate)
        with watched(network, request.device) as passes, patch.object(trainer, "validate", clock.validate):
            whole_training = seconds(
                lambda: cell_ways.fit(network, learn, check, measured, clock.pause), request.device
            )
        steps = size.epochs * -(-size.train // settings.batch_volumes)
        assert passes.number["backward"] == passes.number["optimizer"] == steps  # or some would hide
        test_files = [file for file in files if file.split == "test"]
        test, read, test_passes = _test(network, test_files, protocol, folder)
    training = (whole_training - clock.validation - clock.save) * of_training
    validation = clock.validation * of_validation
    of_network = {
        "forward, training": passes.seconds["training"] * of_training,
        "backward": passes.seconds["backward"] * of_training,
        "optimizer": passes.seconds["optimizer"] * of_training,
        "forward, validation": passes.seconds["segmentation"] * of_validation,
        "forward, test": test_passes.seconds["segmentation"] * of_test,
    }
    in_training = sum(list(of_network.values())[:3])
    other = {
        "processes": start_s,
        "data": data + read * of_test,
        "training": training - in_training,
        "validation": validation - of_network["forward, validation"],
        "test": test * of_test - of_network["forward, test"],
        "saved states": _saving(request, clock.save, training + validation),
    }
    return {f"{NETWORK}: {part}": s for part, s in of_network.items()} | {
        f"{OTHER}: {part}": s for part, s in other.items()
    }


def _test(
    network: torch.nn.Module, files: list[Files], protocol: Protocol, folder: Path
) -> tuple[float, float, Passes]:
    """Seconds of the test but for reading, of reading, and the network's."""
    device = next(network.parameters()).device
    test = read = 0.0
    with watched(network, device) as passes:
        for file in progress(files, len(files), "overhead", "test case"):
            begin = time.perf_counter()
            image, label = file.read()
            read += time.perf_counter() - begin
            begin = time.perf_counter()
            cell_ways.score_case(network, image, label, protocol, folder / f"{file.name}.nii.gz")
            synchronise(device)
            test += time.perf_counter() - begin
    return test, read, passes


def _saving(request: Request, save_s: float, training_s: float) -> float:
    """What the saved states of a training take."""
    every_s = request.document.section(("resume",), Resume).save_every_minutes * 60
    return training_s // max(every_s, training_state.SHARE * save_s) * save_s


def overhead(request: Request, stamp: Mapping[str, object]) -> Iterator[str]:
    """Measure and write the rows of each configuration; what they say."""
    epochs = request.document.section(("tasks", request.task, "train"), TaskTraining).epochs
    for model, patch_size in request.configurations([("unet", 32)]):
        protocol = Protocol(request.training, request.window, epochs, patch_size, seed=1)
        _, whole = size_of(replace(request, epochs=epochs))
        size = whole
        if request.epochs != epochs:
            size = replace(whole, epochs=request.epochs or EPOCHS, test=-(-whole.test // REDUCED_PART))
        start_s = start_seconds(request, model, patch_size)
        found = parts(request, model, protocol, size, start_s)
        total = sum(found.values())
        common = {"network": model, "patch_size": patch_size, "device": request.device.type, **stamp}
        common["epochs_measured"] = size.epochs
        rows = [
            {**common, "part": part, "seconds": f"{s:.4g}", "share": f"{s / total:.5f}"}
            for part, s in found.items()
        ]
        table.replace(TABLE, rows)
        share = sum(s for part, s in found.items() if part.startswith(OTHER)) / total
        yield f"overhead {model} {patch_size}: {share:.1%} of {total:.0f} s are not the network's own passes"
