"""Read one file to its last byte and note what the rules need to know of it."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes

from context_fbr import nifti
from context_fbr.errors import UserError
from context_fbr.geometry import Affine

MOST_VALUES = 1000  # of a label: more are certainly no label, and are not all kept


@dataclass(frozen=True)
class Facts:
    """What a readable volume holds."""

    file: str
    """Relative to the data set's folder."""
    shape: tuple[int, ...]
    affine: Affine
    """Voxel to world in mm, four rows."""
    spacing_mm: tuple[float, ...]
    """Edges of a voxel."""
    minimum: float
    """Of the finite voxels; NaN if there are none."""
    maximum: float
    not_finite: int
    """NaN or infinite voxels."""
    foreground: int
    """Voxels that are not 0."""
    values: tuple[float, ...]
    """Of a label: the finite values in it, at most MOST_VALUES; of an image: none."""
    digest: str
    """Equal for two volumes of the same shape and voxels, however they are stored."""


@dataclass(frozen=True)
class Damage:
    """A file that cannot be read."""

    file: str
    text: str


def inspect(folder: Path, file: str, is_label: bool) -> Facts | Damage:
    """Read a volume and sum it up; a file that cannot be read gives a `Damage`, never an error."""
    path = folder / file
    try:
        with np.errstate(all="ignore"):  # float64 values too large for float32 become infinite: told below
            image = nifti.read(path)
    except UserError as error:
        return Damage(file, str(error).removeprefix(f"{path}: ").removesuffix("; replace it"))
    return facts_of(image, file, is_label)


def facts_of(image: nibabel.Nifti1Image, file: str, is_label: bool) -> Facts:
    """Sum up a volume that was read; `file` is what to call it."""
    # (z, y, x): NIfTI's order in memory, in which slices lie one after the other
    voxels = np.ascontiguousarray(image.get_fdata(dtype=np.float32).T)
    finite = np.isfinite(voxels)
    not_finite = int(finite.size - np.count_nonzero(finite))
    kept = voxels[finite] if not_finite else voxels
    digest = hashlib.sha256(str(voxels.shape).encode())
    digest.update(voxels.data)
    return Facts(
        file=file,
        shape=tuple(image.shape),
        affine=tuple(tuple(float(value) for value in row) for row in image.affine),
        spacing_mm=tuple(float(size) for size in voxel_sizes(image.affine)),
        minimum=float(kept.min()) if kept.size else float("nan"),
        maximum=float(kept.max()) if kept.size else float("nan"),
        not_finite=not_finite,
        foreground=int(np.count_nonzero(voxels)),
        values=_values(voxels) if is_label else (),
        digest=digest.hexdigest(),
    )


def _values(voxels: np.ndarray) -> tuple[float, ...]:
    values: set[float] = set()
    for part in voxels:  # slice by slice: no second copy of the volume, and an early end
        values.update(value for value in np.unique(part).tolist() if math.isfinite(value))
        if len(values) > MOST_VALUES:
            break
    return tuple(sorted(values)[:MOST_VALUES])
