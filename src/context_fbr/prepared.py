"""A prepared task on disk: data/prepared/TASK with cases.json, images/*.npy and labels/*.npy."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from context_fbr import atomic
from context_fbr.errors import UserError

FORMAT = 1
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Case:
    """One prepared volume and its label."""

    name: str
    split: str
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    """Voxel of the prepared grid to world, in mm."""
    foreground_voxels: int
    foreground_ratio: float
    """Foreground voxels / all voxels."""


def folder(task: str) -> Path:
    """Where a task lies."""
    return Path("data/prepared") / task


def write_volume(target: Path, case: Case, image: np.ndarray, label: np.ndarray) -> None:
    """Write image (x, y, z) float32 and label (x, y, z) uint8 of a case into the folder `target`."""
    for kind, voxels in (("images", image), ("labels", label)):
        buffer = BytesIO()
        np.save(buffer, np.ascontiguousarray(voxels))
        atomic.write_bytes(target / kind / f"{case.name}.npy", buffer.getvalue())


def write_cases(target: Path, task: str, cases: Sequence[Case]) -> None:
    """Write cases.json into the folder `target`."""
    content = {"format": FORMAT, "task": task, "cases": [asdict(case) for case in cases]}
    atomic.write_text(target / "cases.json", json.dumps(content, indent=1) + "\n")


def read_cases(task: str, split: str) -> tuple[Case, ...]:
    """Read the cases of one split, in the order of the split.

    Raises:
        UserError: if the task was not prepared, or by another version of this program.
    """
    path = folder(task) / "cases.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise UserError(f"{path}: format {content['format']}, expected {FORMAT}; run `dvc repro prepare`")
        cases = tuple(_case(item) for item in content["cases"])
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro prepare@{task}` first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is damaged ({error!r}); run `dvc repro -f prepare@{task}`") from error
    return tuple(case for case in cases if case.split == split)


def read_volume(task: str, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Read image (x, y, z) float32 and label (x, y, z) uint8 of a case.

    Raises:
        UserError: if a file is missing, damaged, or not of the case's shape.
    """
    return (
        _read_array(folder(task) / "images" / f"{case.name}.npy", case, np.float32, task),
        _read_array(folder(task) / "labels" / f"{case.name}.npy", case, np.uint8, task),
    )


def _case(item: dict[str, Any]) -> Case:
    affine = tuple(tuple(row) for row in item["affine"])
    return Case(**{**item, "shape": tuple(item["shape"]), "affine": affine})


def _read_array(path: Path, case: Case, dtype: type, task: str) -> np.ndarray:
    remedy = f"bring it back with `dvc checkout` or `dvc repro prepare@{task}`"
    try:
        voxels = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; {remedy}") from None
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); {remedy}") from error
    if voxels.shape != case.shape or voxels.dtype != dtype:
        raise UserError(
            f"{path}: expected {np.dtype(dtype)} of shape {case.shape}, "
            f"got {voxels.dtype} of shape {voxels.shape}; {remedy}"
        )
    return voxels
