"""Checkpoint folder of a cell, keyed by a digest of everything that determines its results.

The folder is `ROOT/CELL/STAGE-DIGEST.N`, outside of DVC's outputs. ROOT is .dvc/tmp/resume of the repository,
also for an experiment that DVC runs in a folder of its own, or the environment variable CONTEXT_FBR_RESUME. N
is 0 unless two experiments run the same thing at the same time: then each has its own.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path

import numpy as np
import torch

from context_fbr.config.cell import Cell
from context_fbr.core import atomic, bounded
from context_fbr.core.errors import UserError
from context_fbr.core.padding import Background
from context_fbr.networks.device import identify
from context_fbr.runtime import locks
from context_fbr.runtime.code_digest import code_of

ROOT_VARIABLE = "CONTEXT_FBR_RESUME"
INPUTS = "inputs.json"
"""File in each folder: digests of everything that determines the results."""
PLACE = re.compile(r"([a-z]+)-[0-9a-f]{16}\.\d+")
LIBRARIES = ("torch", "monai", "einops", "numpy", "scipy", "nibabel")


@dataclass(frozen=True)
class Inputs:
    """Digests of everything that decides the bits of a stage's results."""

    parameters: str
    data: str
    code: str
    libraries: str
    device: str

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return _sha256(json.dumps(asdict(self), sort_keys=True).encode())


@dataclass(frozen=True)
class CheckpointDir:
    """A folder that belongs to this process while it works."""

    folder: Path
    digest: str
    """Digest of the inputs; part of every file in the folder."""


def inputs_of(parameters: Mapping[str, object], data: str, device: torch.device, code: str) -> Inputs:
    """Return the digests of a stage that is about to compute.

    Args:
        parameters: everything of params.yaml that it reads, as JSON can hold it.
        data: digest of its data.
        device: on which it computes.
        code: from `code_digest`, taken before the data was loaded: an edit may come in between.
    """
    versions = [f"{name} {sys.modules[name].__version__}" for name in LIBRARIES if name in sys.modules]
    return Inputs(
        _sha256(json.dumps(parameters, sort_keys=True).encode()),
        data,
        code,
        " ".join([f"python {platform.python_version()}", *versions]),
        identify(device),
    )


def code_digest() -> str:
    """Return the SHA-256 of all imported modules of the package and of the program that was started."""
    files = {
        name: Path(file)
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] in ("context_fbr", "__main__")
        and (file := getattr(module, "__file__", None))
    }
    return _sha256(b"".join(f"{name} ".encode() + _code(path) for name, path in files.items()))


def _code(path: Path) -> bytes:
    return code_of(path.read_bytes()) if path.suffix == ".py" else path.read_bytes()


def volume_digest(name: str, image: np.ndarray, label: np.ndarray, background: Background) -> bytes:
    """Return the SHA-256 of a volume, as `prepared.read_volume` reads it."""
    total = hashlib.sha256(f"{name} {image.shape} {image.dtype} {label.dtype} {background!r} ".encode())
    total.update(np.ascontiguousarray(image).data)
    total.update(np.ascontiguousarray(label).data)
    return total.digest()


@contextmanager
def checkpoint_dir(
    stage: str, cell: Cell, inputs: Inputs, folder: Path | None = None
) -> Iterator[CheckpointDir]:
    """Give the checkpoint folder of a stage, which is removed when the block ends without an error.

    Args:
        stage: that works.
        cell: it works on.
        inputs: that decide its results.
        folder: of all checkpoints; None is `root`.

    Raises:
        UserError: if the folder cannot be used.
    """
    home = (folder or root()) / cell.key
    name = f"{stage}-{inputs.digest[:16]}"
    with ExitStack() as stack:
        there = sorted(path.name for path in home.glob(f"{name}.*[0-9]"))  # an interrupted run comes first
        for own in (home / found for found in chain(there, (f"{name}.{n}" for n in count()))):
            try:
                stack.enter_context(locks.hold(lock_of(own)))
                break
            except locks.HeldError:
                continue
        if not own.exists():
            _report_others(home, stage, cell, inputs)
        atomic.write_text(own / INPUTS, json.dumps(asdict(inputs), indent=1) + "\n")
        yield CheckpointDir(own, inputs.digest)
        shutil.rmtree(own, ignore_errors=True)  # the results are written: what is left is for prune
    with suppress(OSError):  # others may work there
        home.rmdir()


def _report_others(home: Path, stage: str, cell: Cell, inputs: Inputs) -> None:
    """Print why other checkpoints of the stage are not used."""
    for path in sorted(home.glob(f"{stage}-*/{INPUTS}")):
        try:
            other = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:  # its process has finished just now
            continue
        differs = [name for name, value in asdict(inputs).items() if other.get(name) != value]
        if differs:
            print(
                f"{cell.key}: the checkpoint in {path.parent} is not used, it differs in "
                f"{', '.join(differs)}; `context-fbr prune` removes it",
                flush=True,
            )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def root() -> Path:
    """Return the folder of all checkpoints."""
    return Path(os.environ.get(ROOT_VARIABLE) or Path(os.environ.get("DVC_ROOT") or ".") / ".dvc/tmp/resume")


def lock_of(place: Path) -> Path:
    """Return the lock of a checkpoint folder, held by the process that uses it."""
    return place.with_name(f"{place.name}.lock")


def stale_checkpoints(keys: Collection[str]) -> list[Path]:
    """Return checkpoint folders that no process uses and no run will resume from.

    These are those of cells outside of `keys`. Of a stage of the other cells they are all but the newest, or
    all if the stage has finished since: parameters, data or code have changed.
    """
    newest: dict[tuple[str, str], Path] = {}
    found: list[Path] = []
    for place in sorted(root().glob("*/*"), key=lambda path: path.stat().st_mtime_ns):
        matched = PLACE.fullmatch(place.name)
        if not matched or not place.is_dir():
            continue
        cell, stage = place.parent.name, matched[1]
        if not locks.is_held(lock_of(place)):
            found.append(place)
        if place.stat().st_mtime > _begun(cell, stage):
            newest[cell, stage] = place
    return [place for place in found if place.parent.name not in keys or place not in newest.values()]


def _begun(key: str, stage: str) -> float:
    """Return the start of the run that made the results of a cell's stage, in seconds; 0 if unknown."""
    try:
        path = Cell.from_key(key).provenance(stage)
        return datetime.fromisoformat(bounded.read_json(path)["started"]).timestamp()
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return 0.0
