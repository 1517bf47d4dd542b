"""Inputs of a training from data/prepared/TASK: volumes in memory, and facts for its record."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.padding import is_smaller
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.preprocessing import prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr.runtime import resume
from context_fbr.training import batches
from context_fbr.training.batches import Volume


@dataclass(frozen=True, eq=False)
class TrainingInputs:
    """The training and validation cases of a cell."""

    training: tuple[Volume, ...]
    validation: tuple[Volume, ...]
    digest: str
    """SHA-256 of the content of the volumes of both splits, names and order included."""
    padded: tuple[str, ...]
    """Cases that are smaller than the patch."""
    spacing_mm: Mapping[str, list[float]]
    """`least` and `greatest` edge of a voxel of the training cases, in mm, for each axis (x, y, z)."""
    recipe: Mapping[str, Any]
    """Preprocessing of the task, as JSON."""


def load_inputs(cell: Cell, device: torch.device, core: PatchSize | None = None) -> TrainingInputs:
    """Load the training and validation cases of a cell; arguments and errors as in `load_volumes`."""
    task = prepared.read_task(cell.task)
    cases = task.split("train"), task.split("validation")
    loaded = (load_volumes(cell, own, device, core) for own in cases)
    (training, training_digest), (validation, digest) = loaded
    edges = np.array([case.geometry.spacing_mm for case in cases[0]])
    return TrainingInputs(
        training,
        validation,
        digest=training_digest + digest,
        padded=tuple(
            case.name for own in cases for case in own if is_smaller(case.shape, edges_of(cell.patch_size))
        ),
        spacing_mm={"least": edges.min(axis=0).tolist(), "greatest": edges.max(axis=0).tolist()},
        recipe=task.recipe,
    )


def load_volumes(
    cell: Cell, cases: Sequence[Case], device: torch.device, core: PatchSize | None = None
) -> tuple[tuple[Volume, ...], str]:
    """Load cases to the device; those smaller than the cell's patch are padded.

    `core` is the size of the cores that are drawn; None: they are the patches.

    Returns:
        The volumes, and the SHA-256 of their content, names and order included.

    Raises:
        UserError: with every file that cannot be read.
    """
    volumes: list[Volume] = []
    problems: list[str] = []
    total = hashlib.sha256()
    for case in cases:
        try:
            image, label = prepared.read_volume(cell.task, case)
            total.update(resume.volume_digest(case.name, image, label, case.background))
            volumes.append(
                batches.load_volume(case.name, image, label, device, cell.patch_size, case.background, core)
            )
        except UserError as error:
            problems.extend(error.problems)
    raise_problems(problems)
    return tuple(volumes), total.hexdigest()
