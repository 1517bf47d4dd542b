"""What made a result, in metrics/provenance: git keeps it, DVC does not, because it is new every time."""

import datetime
import hashlib
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from context_fbr import atomic, software
from context_fbr.cells import Cell
from context_fbr.precision import Precision
from context_fbr.resume import Inputs

FORMAT = 1
PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel", "dvc")
DECIDE = ("src", "params.yaml")
"""What of the checkout decides a result."""


@dataclass(frozen=True)
class Origin:
    """The code as it was when a stage began; somebody may edit it while the stage runs."""

    revision: str | None
    """Commit; None outside of git."""
    changed: tuple[str, ...]
    """Files of the code and the parameters that differ from it."""
    started: str
    """Date and time, UTC."""
    clock: float


def start() -> Origin:
    """Take down the state of the checkout."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Origin(software.revision(), software.changed_files(DECIDE), now, time.monotonic())


def write(
    stage: str,
    cell: Cell,
    origin: Origin,
    inputs: Inputs,
    threads: int,
    precision: Precision,
    results: tuple[Path, ...],
    resumed: bool,
) -> None:
    """Write what made the results of a cell.

    Args:
        stage: train or evaluate.
        cell: the cell.
        origin: from `start`.
        inputs: digests of what decided the bits.
        threads: of the CPU.
        precision: that was asked for.
        results: the files that were made.
        resumed: whether the work was interrupted in between.
    """
    content = {
        "format": FORMAT,
        "stage": stage,
        "cell": cell.key,
        "revision": origin.revision,
        "changed_files": list(origin.changed),
        "inputs": asdict(inputs),
        "results": {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in results},
        "device": inputs.device,
        "threads": threads,
        "precision": described(precision, inputs.device),
        "deterministic": torch.are_deterministic_algorithms_enabled() or inputs.device.startswith("CPU"),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": software.versions(PACKAGES),
        "started": origin.started,
        "seconds": round(time.monotonic() - origin.clock, 1),
        "resumed": resumed,
    }
    atomic.write_text(cell.provenance(stage), json.dumps(content, indent=1) + "\n")


def described(precision: Precision, device: str) -> str:
    """What numbers are multiplied in on a device, by its name in `device.describe`."""
    if precision == "bf16":
        return "bfloat16, convolutions on the smallest maps in float32"
    if not device.startswith("CPU") and torch.backends.cudnn.allow_tf32:
        return "float32, convolutions in TF32"
    return "float32"
