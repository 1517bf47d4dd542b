"""Provenance of a result, in metrics/provenance: kept by git, not by DVC: it differs in every run."""

import datetime
import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from context_fbr.config.cell import Cell
from context_fbr.core import atomic, bounded
from context_fbr.networks.precision import Precision
from context_fbr.runtime import cost, git
from context_fbr.runtime.resume import Inputs
from context_fbr.runtime.stage_inputs import StageInputs

FORMAT = 2
PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel", "dvc")
DECIDE = ("src", "params.yaml")
"""Files of the checkout that decide a result."""
SAME = ("format", "parameters", "code", "results")
"""Entries that are equal in two runs with the same inputs and results."""


@dataclass(frozen=True)
class Origin:
    """The code as it was when a stage began; it may change while the stage runs."""

    revision: str | None
    """Commit; None outside of git."""
    changed: tuple[str, ...]
    """Files of the code and the parameters that differ from it."""
    started: str
    """Date and time, UTC."""
    meter: cost.Meter


def start() -> Origin:
    """Return the state of the checkout."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Origin(git.revision(), git.changed_files(DECIDE), now, cost.start())


def write(
    stage: StageInputs,
    cell: Cell,
    origin: Origin,
    inputs: Inputs,
    threads: int,
    precision: Precision,
    results: tuple[Path, ...],
    resumed: bool,
) -> None:
    """Write the provenance of a cell's results, unless a record of the same results is there.

    A study that is reproduced keeps its records: of the first computation of its results.

    Args:
        stage: train or evaluate, with the inputs that it read.
        cell: the cell.
        origin: from `start`.
        inputs: digests of everything that decides the bits.
        threads: of the CPU.
        precision: that was asked for.
        results: the files that were made.
        resumed: whether the work was interrupted in between.
    """
    content = {
        "format": FORMAT,
        "stage": stage.stage,
        "cell": cell.key,
        "revision": origin.revision,
        "changed_files": list(origin.changed),
        "parameters": dict(stage.parameters),
        "code": stage.code_md5,
        "inputs": asdict(inputs),
        "results": {str(path): _digests(path) for path in results},
        "device": inputs.device.partition(";")[0],
        "threads": threads,
        "precision": described(precision, inputs.device),
        "deterministic": torch.are_deterministic_algorithms_enabled() or inputs.device.startswith("CPU"),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": git.versions(PACKAGES),
        "started": origin.started,
        **cost.read(origin.meter),
        "resumed": resumed,
    }
    path = cell.provenance(stage.stage)
    content = json.loads(json.dumps(content))
    before = read(path)
    same = all(before.get(name) == content[name] for name in SAME)
    if not same or before.get("inputs", {}).get("data") != inputs.data:
        atomic.write_text(path, json.dumps(content, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Return a record; an empty one if there is none that can be read."""
    try:
        content = bounded.read_json(path)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a file, and its MD5, as in dvc.lock."""
    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False)
    return {"sha256": hashlib.sha256(content).hexdigest(), "md5": md5.hexdigest()}


def described(precision: Precision, device: str) -> str:
    """Return the precision of products on a device, by its name in `device.describe`."""
    if precision == "bf16":
        return "bfloat16, convolutions on the smallest maps in float32"
    if not device.startswith("CPU") and torch.backends.cudnn.allow_tf32:
        return "float32, convolutions in TF32"
    return "float32"
