"""Preprocessing of one case: window, crop, orientation, spacing.

In this order, as published: ScaleIntensityRange, CropForeground, Orientation and Spacing of MONAI, to whose
results these are equal (images to 1e-6; labels everywhere but half-way between two voxels, where MONAI's
choice depends on how a position was rounded, and ours is the even voxel; this holds for the shape too).
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.nifti1 import Nifti1Image

from context_fbr.config.prepare.preprocessing import Preparation, Window
from context_fbr.core.errors import UserError
from context_fbr.core.geometry import (
    SAME_PLACE,
    SHEAR,
    Box,
    Geometry,
    distance_mm,
    geometry,
    shear,
    to_prepared,
)
from context_fbr.core.padding import Background

MOST_GROWTH = 1000
"""Greatest factor of voxels by resampling; scans with gaps reach some dozens."""


def prepare_image(
    image: Nifti1Image, path: Path, settings: Preparation
) -> tuple[np.ndarray, Geometry, Background]:
    """Prepare an image, each of its channels by itself; all have the grid of the first.

    Args:
        image: as read.
        path: of its file, for messages.
        settings: of the task.

    Returns:
        Voxels (x, y, z) float32 on the prepared grid, or (channels, x, y, z) of several channels; the
        geometry; the background value, above which a patch may be centred on background, and with which a
        small volume is padded.

    Raises:
        UserError: if voxels are not finite, the axes are not at right angles, windows are not one for each
            channel, or a crop or z-score finds nothing above 0 or no two intensities.
    """
    check_grid(image, path)
    voxels = image.get_fdata(dtype=np.float32)
    if not np.isfinite(voxels).all():
        raise UserError(f"{path}: {int((~np.isfinite(voxels)).sum())} voxels are NaN or infinite")
    if settings.windows:
        voxels = _windowed(voxels, settings.windows, path)
    shape = image.shape[:3]
    channels = [voxels] if voxels.ndim == 3 else [voxels[..., number] for number in range(voxels.shape[3])]
    where = geometry(shape, image.affine, spacing_mm=settings.spacing_mm)
    if settings.crop:
        box = box_above_zero(voxels if len(channels) == 1 else voxels.max(axis=3))
        if box is None:
            lowest = ", ".join(f"{low:g}" for low, _ in settings.windows)
            what = f"the low end of the window, {lowest}" if lowest else "0"
            raise UserError(f"{path}: no voxel is above {what}: there is nothing to crop to")
        where = geometry(shape, image.affine, box, settings.spacing_mm)
    _check_growth(where, path)
    backgrounds = [0.0] * len(channels)
    if settings.z_score:
        for number, own in enumerate(channels):
            name = path if len(channels) == 1 else f"{path}: channel {number}"
            channels[number], backgrounds[number] = _z_score(own, where, name)
    prepared = [to_prepared(own, where, linear=True) for own in channels]
    if len(prepared) == 1:
        return prepared[0], where, backgrounds[0]
    return np.stack(prepared), where, tuple(backgrounds)


def _windowed(voxels: np.ndarray, windows: Sequence[Window], path: Path) -> np.ndarray:
    """Return voxels (i, j, k) or (i, j, k, channels) with the low end of a window at 0 and its high end at 1.

    Raises:
        UserError: if there are several windows, but not one for each channel.
    """
    channels = voxels.shape[3] if voxels.ndim == 4 else 1
    if len(windows) not in (1, channels):
        raise UserError(
            f"{path}: {channels} channel{'s' * (channels > 1)}, but prepare.window of params.yaml has "
            f"{len(windows)} of [low, high]; give one for all channels, or one for each"
        )
    low, width = (np.array(ends, np.float32) for ends in zip(*((a, b - a) for a, b in windows), strict=True))
    if len(windows) == 1:
        low, width = low[0], width[0]
    return np.clip((voxels - low) / width, 0, 1)


def _z_score(voxels: np.ndarray, where: Geometry, name: Path | str) -> tuple[np.ndarray, float]:
    """Return voxels (i, j, k) with mean 0 and deviation 1 of those above 0 in the box, and what 0 becomes.

    Raises:
        UserError: if no voxel is above 0, or all are equal.
    """
    box_voxels = voxels[tuple(slice(start, stop) for start, stop in where.box)]
    tissue = box_voxels[box_voxels > 0].astype(np.float64)
    if not tissue.size:
        raise UserError(f"{name}: no voxel is above 0: there is nothing to take a z-score of")
    deviation = float(tissue.std())
    if not deviation:
        raise UserError(f"{name}: the voxels above 0 are equal, so they have no z-score")
    mean, scale = np.float32(tissue.mean()), np.float32(deviation)
    background = float((np.float32(0) - mean) / scale)  # to the last bit what a voxel of 0 becomes
    return (voxels - mean) / scale, background


def read_label(
    label: Nifti1Image, path: Path, classes: set[int], groups: Sequence[Iterable[int]]
) -> np.ndarray:
    """Return the classes (i, j, k) uint8 of a label on its own grid, see `class_map`.

    Raises:
        UserError: if it holds a value that is not in `classes`.
    """
    values = label.get_fdata(dtype=np.float32)
    found = np.unique(values.ravel(order="K"))  # the order in memory: another one would be copied
    unknown = sorted(set(found.tolist()) - {float(c) for c in classes})
    if unknown:
        raise UserError(
            f"{path}: labels {unknown[:5]}, expected {sorted(classes)} as in dataset.json; "
            "correct the label, or name the value there"
        )
    return class_map(values, groups)


def check_grid(image: Nifti1Image, path: Path) -> None:
    """Check that a volume's axes span space at right angles.

    Raises:
        UserError: if they do not.
    """
    if not np.isfinite(image.affine).all() or not voxel_sizes(image.affine).all():
        raise UserError(
            f"{path}: its affine gives voxels with no edge or an edge that is no number "
            f"({image.affine[:3, :3].tolist()}); write the right one into its header"
        )
    cosine = shear(image.affine)
    if cosine > SHEAR:
        degrees = math.degrees(math.asin(min(cosine, 1.0)))
        raise UserError(
            f"{path}: its axes are sheared by {degrees:.1f} degrees; resample it to axes at right angles"
        )


def _check_growth(where: Geometry, path: Path) -> None:
    """Refuse a header in metres, or a damaged one, for which resampling would need too many voxels."""
    edges = zip(where.cropped_shape, where.steps, strict=True)
    times = math.prod((length - 1) / step + 1 for length, step in edges) / math.prod(where.original_shape)
    if not times <= MOST_GROWTH:
        spacing = " x ".join(f"{edge:.4g}" for edge in where.original_spacing_mm)
        raise UserError(
            f"{path}: at the wanted spacing its voxels of {spacing} mm become {times:.3g} times as many; "
            "write the right spacing into its header, or change spacing_mm in params.yaml"
        )


def check_pair(image: Nifti1Image, label: Nifti1Image, image_path: Path, label_path: Path) -> None:
    """Check that an image and a label have the same grid, and one that can be prepared.

    Raises:
        UserError: if they have not.
    """
    check_grid(image, image_path)
    shape = image.shape[:3]
    if shape != label.shape:
        raise UserError(f"{label_path}: shape {label.shape}, but its image has {shape}")
    shortest = min(geometry(shape, image.affine).original_spacing_mm)
    if not distance_mm(image.affine, label.affine, shape) <= SAME_PLACE * shortest:
        raise UserError(f"{label_path}: its affine is not that of its image {image_path}")


def box_above_zero(voxels: np.ndarray) -> Box | None:
    """Return the box of the voxels above 0; None if there are none."""
    above = voxels > 0
    box = []
    for axis in range(3):
        used = np.flatnonzero(above.any(axis=tuple(a for a in range(3) if a != axis)))
        if not used.size:
            return None
        box.append((int(used[0]), int(used[-1]) + 1))
    return box[0], box[1], box[2]


def class_map(values: np.ndarray, groups: Sequence[Iterable[int]]) -> np.ndarray:
    """Return the number, from 1, of the group that each value is in, else 0 (uint8, in memory as they are).

    Args:
        values: of a label.
        groups: label values of each class; no value is in two of them.
    """
    classes = np.zeros_like(values, dtype=np.uint8)
    for number, group in enumerate(groups, start=1):
        classes += foreground_mask(values, group) * np.uint8(number)
    return classes


def label_values(classes: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the first label value of each class in its place, the inverse of `class_map`: uint8."""
    return np.array([0, *(group[0] for group in groups)], np.uint8)[classes]


def foreground_mask(values: np.ndarray, foreground: Iterable[int]) -> np.ndarray:
    """Return a mask (uint8, in memory as the values are): 1 where the value is one of `foreground`.

    numpy.isin takes ten times as long, and copies arrays in NIfTI's order.
    """
    mask = np.zeros_like(values, dtype=np.uint8)
    for value in foreground:
        mask |= values == value
    return mask
