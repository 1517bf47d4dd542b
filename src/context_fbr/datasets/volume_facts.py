"""Facts of one file, read to its last byte, that the rules need."""

import hashlib
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes

from context_fbr.core import nifti, nifti_header
from context_fbr.core.errors import UserError
from context_fbr.core.geometry import Affine, distance_mm
from context_fbr.datasets.overlaps import Blocks, blocks_of

MOST_VALUES = 1000  # of a label: more are certainly no label, and are not all kept


@dataclass(frozen=True)
class Facts:
    """Facts of a readable volume."""

    file: str
    """Relative to the data set's folder."""
    shape: tuple[int, ...]
    """Three axes, without that of the channels."""
    affine: Affine
    """Voxel to world in mm, four rows."""
    spacing_mm: tuple[float, ...]
    """Edges of a voxel."""
    minimum: float
    """Range of the finite voxels; NaN if there are none."""
    maximum: float
    not_finite: int
    """NaN or infinite voxels."""
    foreground: int
    """Voxels that are not 0."""
    values: tuple[float, ...]
    """Finite values of a label, at most MOST_VALUES; none of an image."""
    digest: str
    """Equal for two volumes of the same shape and voxels, however they are stored."""
    forms_apart_mm: float = 0.0
    """Distance of the corners between sform and qform; 0 unless both are set, inf if one is damaged."""
    has_form: bool = True
    """True if the header has the place of the volume: sform or qform is set."""
    pixdim_mm: tuple[float, ...] = ()
    """Edges of a voxel as pixdim gives them, from which some programs take them."""
    repairs: tuple[str, ...] = ()
    """Fields of the header that are read as something else than they hold."""
    packed: bool = True
    """True if the file is a gzip file, whatever its name."""
    channels: int = 1
    blocks: Blocks | None = field(default=None, repr=False, compare=False)
    """Blocks of an image, by which it is found in other ones."""


@dataclass(frozen=True)
class Damage:
    """A file that cannot be read."""

    file: str
    text: str
    remedy: str


def memory_to_read(path: Path) -> int:
    """Bytes that `inspect` takes at its peak, from the header alone; 0 if that cannot be read.

    Measured: the stored voxels, float32 of them and masks; scaled ones and float64 go through float64.
    """
    try:
        header = nifti.read_header(path)
    except (OSError, UserError):
        return 0
    stored = int(header["bitpix"]) // 8
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    is_scaled = math.isfinite(slope) and slope != 0 and (slope, inter) != (1, 0)
    return math.prod(nifti_header.shape(header)) * (stored + (16 if is_scaled or stored >= 8 else 9))


def inspect(folder: Path, file: str, is_label: bool) -> Facts | Damage:
    """Read a volume and sum it up; a file that cannot be read gives a `Damage`, never an error."""
    try:
        volume = nifti.read_volume(folder / file, channels=not is_label)
    except nifti.UnreadableError as error:
        return Damage(file, error.text, error.remedy)
    except UserError:
        return Damage(file, "was there, and is not any more", "bring it back")
    facts = facts_of(volume, file, is_label)
    if is_label:
        return facts
    first = nifti.channel(volume.image, 0)
    return replace(facts, blocks=blocks_of(first.get_fdata(dtype=np.float32), facts.affine))


def facts_of(volume: nifti.Volume, file: str, is_label: bool) -> Facts:
    """Sum up a volume that was read; `file` is its path for messages."""
    image = volume.image
    # (z, y, x): NIfTI's order in memory, slice after slice
    voxels = np.ascontiguousarray(image.get_fdata(dtype=np.float32).T)
    finite = np.isfinite(voxels)
    not_finite = int(finite.size - np.count_nonzero(finite))
    kept = voxels[finite] if not_finite else voxels
    digest = hashlib.sha256(str(voxels.shape).encode())
    digest.update(voxels.data)
    return Facts(
        file=file,
        shape=tuple(image.shape[:3]),
        affine=tuple(tuple(float(value) for value in row) for row in image.affine),
        spacing_mm=tuple(float(size) for size in voxel_sizes(image.affine)),
        minimum=float(kept.min()) if kept.size else float("nan"),
        maximum=float(kept.max()) if kept.size else float("nan"),
        not_finite=not_finite,
        foreground=int(np.count_nonzero(voxels)),
        values=_values(voxels) if is_label else (),
        digest=digest.hexdigest(),
        forms_apart_mm=_forms_apart_mm(image),
        has_form=bool(image.header["sform_code"] > 0 or image.header["qform_code"] > 0),
        pixdim_mm=tuple(float(edge) for edge in image.header["pixdim"][1:4]),
        repairs=volume.repairs,
        packed=volume.packed,
        channels=math.prod(image.shape[3:]),
    )


def _values(voxels: np.ndarray) -> tuple[float, ...]:
    values: set[float] = set()
    for part in voxels:  # slice by slice: no second copy of the volume, and an early end
        values.update(value for value in np.unique(part).tolist() if math.isfinite(value))
        if len(values) > MOST_VALUES:
            break
    return tuple(sorted(values)[:MOST_VALUES])


def _forms_apart_mm(image: nibabel.Nifti1Image) -> float:
    header = image.header
    if not (header["sform_code"] > 0 and header["qform_code"] > 0):
        return 0.0
    try:
        with np.errstate(all="ignore"):
            distance = distance_mm(header.get_sform(), header.get_qform(), image.shape[:3])
    except (ValueError, nibabel.spatialimages.HeaderDataError):  # the quaternion is not a rotation
        return math.inf
    return distance if math.isfinite(distance) else math.inf
