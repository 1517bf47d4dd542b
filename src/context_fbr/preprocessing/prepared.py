"""A prepared task on disk: data/prepared/TASK with cases.json, images/*.npy and labels/*.npy."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from context_fbr.config.document import plain
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.core.geometry import Geometry, Shape

FORMAT = 2
LONGEST_REASON = 200  # characters


@dataclass(frozen=True)
class Case:
    """One prepared volume and its label."""

    name: str
    split: str
    image: str
    """File of the raw data set, relative to its folder."""
    label: str
    foreground: tuple[int, ...]
    """Values of the raw label that are 1 in the prepared one."""
    geometry: Geometry
    background: float
    """Intensity of nothing: a patch is centred on background above it, a small volume is padded with it."""
    foreground_voxels: int
    foreground_ratio: float
    """Foreground voxels / all voxels of the prepared volume."""
    lowest_intensity: float
    """Of the raw image."""
    design: float | None = None
    """Value of the design variable of a designed test case, as the radius; None: a random case."""

    @property
    def shape(self) -> Shape:
        """Of the prepared volume."""
        return self.geometry.shape


@dataclass(frozen=True)
class PreparedTask:
    """What cases.json says."""

    cases: tuple[Case, ...]
    """Of all splits, in their order."""
    recipe: dict[str, Any]
    """Preprocessing of the images, as recipe.py has it in JSON."""

    def split(self, name: str) -> tuple[Case, ...]:
        """Return the cases of one split."""
        return tuple(case for case in self.cases if case.split == name)


def folder(task: str) -> Path:
    """Return the folder of a prepared task."""
    return Path("data/prepared") / task


def write_volume(target: Path, case: Case, image: np.ndarray, label: np.ndarray) -> None:
    """Write image (x, y, z) float32 and label (x, y, z) uint8 of a case into the folder `target`."""
    for kind, voxels in (("images", image), ("labels", label)):
        buffer = BytesIO()
        np.save(buffer, np.ascontiguousarray(voxels))
        atomic.write_bytes(target / kind / f"{case.name}.npy", buffer.getbuffer())


def write_cases(target: Path, task: str, cases: Sequence[Case], recipe: dict[str, Any]) -> None:
    """Write cases.json into the folder `target`; the recipe is that of recipe.py, as JSON."""
    listed = [asdict(case) for case in cases]
    for case in listed:
        if case["design"] is None:  # random cases are written as before there were designs
            del case["design"]
    content = {"format": FORMAT, "task": task, "recipe": recipe, "cases": listed}
    atomic.write_text(target / "cases.json", json.dumps(content, indent=1) + "\n")


def read_task(task: str) -> PreparedTask:
    """Read cases.json.

    Raises:
        UserError: if the task was not prepared, or by another version of this program.
    """
    path = folder(task) / "cases.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise UserError(f"{path}: format {content['format']}, expected {FORMAT}; run `dvc repro prepare`")
        return PreparedTask(tuple(_case(item) for item in content["cases"]), dict(content["recipe"]))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro prepare@{task}` first") from None
    except UserError:
        raise
    except Exception as error:  # the JSON may hold anything
        text = " ".join(repr(error).split())[:LONGEST_REASON]
        raise UserError(f"{path}: is damaged ({text}); run `dvc repro -f prepare@{task}`") from error


def read_cases(task: str, split: str) -> tuple[Case, ...]:
    """Read the cases of one split, in their order; errors as in `read_task`."""
    return read_task(task).split(split)


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
    where = {key: plain(value) for key, value in item["geometry"].items()}
    case = Case(**{**item, "foreground": tuple(item["foreground"]), "geometry": Geometry(**where)})
    names = (case.name, case.split, case.image, case.label)
    if not all(isinstance(name, str) for name in names) or Path(case.name).name != case.name:
        raise ValueError(f"the names of a case are {names}")
    if not isinstance(case.foreground_voxels, int) or not all(isinstance(v, int) for v in case.foreground):
        raise ValueError(f"{case.name}: foreground {case.foreground}, {case.foreground_voxels} voxels")
    numbers = [case.background, case.foreground_ratio, case.lowest_intensity, *case.geometry.spacing_mm]
    numbers += [] if case.design is None else [case.design]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{case.name}: holds a number that is none among {numbers}")
    with np.errstate(all="raise"):
        if min(case.shape) < 1 or min(case.geometry.original_shape) < 1:
            raise ValueError(f"{case.name}: its shape is {case.shape}")
    return case


def _read_array(path: Path, case: Case, dtype: type, task: str) -> np.ndarray:
    remedy = f"bring it back with `dvc checkout` or `dvc repro prepare@{task}`"
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
            if shape == case.shape and kind == dtype:  # or a damaged header could ask for all memory
                file.seek(0)
                voxels: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
                return voxels
    except FileNotFoundError:
        raise UserError(f"{path}: not found; {remedy}") from None
    except Exception as error:  # the header is Python, and there is no end of what may be wrong with it
        text = " ".join(str(error).split())[:LONGEST_REASON]
        raise UserError(f"{path}: is damaged ({text or type(error).__name__}); {remedy}") from error
    raise UserError(
        f"{path}: expected {np.dtype(dtype)} of shape {case.shape}, got {kind} of shape {shape}; {remedy}"
    )
