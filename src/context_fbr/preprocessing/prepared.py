"""A prepared task on disk: data/prepared/TASK with cases.json, images/*.npy and labels/*.npy."""

import json
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
from context_fbr.core.padding import Background

FORMAT = 2
MAX_REASON = 200  # characters


@dataclass(frozen=True)
class Case:
    """One prepared volume and its label."""

    name: str
    split: str
    image: str
    """File of the raw data set, relative to its folder."""
    label: str
    foreground: tuple[int, ...]
    """Values of the raw label that are not 0 in the prepared one."""
    geometry: Geometry
    background: Background
    """Intensity of nothing: a patch is centred on background above it, a small volume is padded with it."""
    foreground_voxels: int
    foreground_ratio: float
    """Foreground voxels / all voxels of the prepared volume."""
    lowest_intensity: float
    """Least intensity of the raw image."""
    design: float | None = None
    """Value of the design variable of a designed test case, as the radius; None: a random case."""
    variant: str | None = None
    """Change of another test case; None: a case as drawn."""
    distractor: tuple[int, ...] = ()
    """Values of the raw label that are background which is easily taken for foreground."""
    channels: int = 1
    """Number of channels of the image."""
    structures: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Name and raw label values of each value of the prepared label, from 1; none: there is one."""

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Raw label values of each value of the prepared label, from 1."""
        return tuple(values for _, values in self.structures) or (self.foreground,)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the structures; none if there is one class."""
        return tuple(name for name, _ in self.structures)

    @property
    def shape(self) -> Shape:
        """Shape of the prepared volume."""
        return self.geometry.shape

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the prepared image in its file."""
        return self.shape if self.channels == 1 else (self.channels, *self.shape)


@dataclass(frozen=True)
class PreparedTask:
    """Content of cases.json."""

    cases: tuple[Case, ...]
    """Cases of all splits, in their order."""
    recipe: dict[str, Any]
    """Preprocessing of the images, the JSON of recipe.py."""

    @property
    def structures(self) -> int:
        """Number of classes but the background."""
        return len(self.cases[0].groups)

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.cases[0].channels

    def split(self, name: str) -> tuple[Case, ...]:
        """Return the cases of one split."""
        return tuple(case for case in self.cases if case.split == name)


def folder(task: str) -> Path:
    """Return the folder of a prepared task."""
    return Path("data/prepared") / task


def write_volume(target: Path, case: Case, image: np.ndarray, label: np.ndarray) -> None:
    """Write image and label of a case into the folder `target`.

    The image is (x, y, z) float32, or (channels, x, y, z) of several; the label is (x, y, z) uint8.

    The label is 0 in the background, and the number of the structure, from 1, in the foreground.
    """
    for kind, voxels in (("images", image), ("labels", label)):
        buffer = BytesIO()
        np.save(buffer, np.ascontiguousarray(voxels))
        atomic.write_bytes(target / kind / f"{case.name}.npy", buffer.getbuffer())


def write_cases(target: Path, task: str, cases: Sequence[Case], recipe: dict[str, Any]) -> None:
    """Write cases.json into the folder `target`; the recipe is that of recipe.py, as JSON."""
    listed = [asdict(case) for case in cases]
    for case in listed:
        for key in ("design", "variant", "distractor", "structures"):
            if case[key] in (None, ()):  # other cases are written as before there were any
                del case[key]
        if case["channels"] == 1:
            del case["channels"]
    content = {"format": FORMAT, "task": task, "recipe": recipe, "cases": listed}
    atomic.write_text(target / "cases.json", json.dumps(content, indent=1) + "\n")


def read_task(task: str) -> PreparedTask:
    """Read cases.json.

    Raises:
        UserError: if it is missing, damaged or of another version of this program.
    """
    path = folder(task) / "cases.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise UserError(f"{path}: format {content['format']}, expected {FORMAT}; run `dvc repro prepare`")
        return PreparedTask(tuple(_case(item) for item in content["cases"]), dict(content["recipe"]))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro prepare@{task}` first") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        text = f"is damaged ({_reason(error)}); run `dvc repro -f prepare@{task}`"
        raise UserError(f"{path}: {text}") from error


def read_cases(task: str, split: str) -> tuple[Case, ...]:
    """Read the cases of one split, in their order; errors as in `read_task`."""
    return read_task(task).split(split)


def read_volume(task: str, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Read image and label of a case, as `write_volume` wrote them.

    Raises:
        UserError: if a file is missing, damaged, or not of the case's shape.
    """
    return (
        _read_array(folder(task) / "images" / f"{case.name}.npy", case.image_shape, np.float32, task),
        _read_array(folder(task) / "labels" / f"{case.name}.npy", case.shape, np.uint8, task),
    )


def _case(item: dict[str, Any]) -> Case:
    where = {key: plain(value) for key, value in item["geometry"].items()}
    values: dict[str, Any] = {key: tuple(item[key]) for key in ("foreground", "distractor") if key in item}
    structures = tuple((name, tuple(own)) for name, own in item.get("structures", ()))
    background = item["background"]
    if isinstance(background, list):
        values["background"] = tuple(background)
    return Case(**{**item, **values, "structures": structures, "geometry": Geometry(**where)})


def _read_array(path: Path, shape: tuple[int, ...], dtype: type, task: str) -> np.ndarray:
    remedy = f"bring it back with `dvc checkout` or `dvc repro prepare@{task}`"
    try:
        with path.open("rb") as file:
            voxels: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if (voxels.dtype, voxels.shape) != (dtype, shape):  # type: ignore[comparison-overlap]
            expected = f"{np.dtype(dtype)} of shape {shape}"
            raise ValueError(f"{voxels.dtype} of shape {voxels.shape}, expected {expected}")
    except FileNotFoundError:
        raise UserError(f"{path}: not found; {remedy}") from None
    except Exception as error:  # NumPy's reader can raise anything for a damaged header
        raise UserError(f"{path}: is damaged ({_reason(error)}); {remedy}") from error
    return voxels


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:MAX_REASON]
