"""Resampling from a case's original grid to the prepared one, and back.

Preparing crops a box of the original grid, turns it to RAS (axes towards right, anterior, superior) and
resamples it to a spacing. Orientation only swaps and flips axes and resampling keeps their directions, so all
of it is done axis by axis, for an oblique scan too, which stays oblique. This is what MONAI's CropForeground,
Orientation and Spacing do: the lowest voxel keeps its place, and the last voxel is within half a voxel of
the last one of the original.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

Shape = tuple[int, int, int]
Affine = tuple[tuple[float, ...], ...]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

SAME_PLACE = 0.1
"""Two grids are the same if their corners are no further apart than this part of a voxel's shortest edge.
Headers that were written by different programs differ by rounding, some thousandths of that."""
SHEAR = 1e-3
"""Return the greatest cosine between two axes that counts as a right angle."""
SAME_EDGE_MM = 1e-3
"""An edge of a voxel this near to the wanted one is left as it is, as MONAI does: headers are rounded."""
TIE = 1e-6  # voxels: positions that are this near to half-way between two voxels are half-way


@dataclass(frozen=True)
class Geometry:
    """Position of a prepared volume in its original one."""

    original_shape: Shape
    original_affine: Affine
    """Voxel of the original grid to world, in mm."""
    box: Box
    """Part of the original grid that was kept: first voxel and the one after the last, by axis."""
    spacing_mm: tuple[float, float, float]
    """Edges of a prepared voxel."""

    @cached_property
    def orientation(self) -> np.ndarray:
        """(3, 2) axis and flip of each original axis, as nibabel gives it."""
        return io_orientation(np.array(self.original_affine))

    @cached_property
    def cropped_shape(self) -> Shape:
        """Shape of the box after its axes are turned."""
        edges = [stop - start for start, stop in self.box]
        x, y, z = (edges[axis] for axis in np.argsort(self.orientation[:, 0]))
        return x, y, z

    @cached_property
    def _cropped_affine(self) -> np.ndarray:
        affine = np.array(self.original_affine)
        affine[:3, 3] += affine[:3, :3] @ [start for start, _ in self.box]
        return affine @ inv_ornt_aff(self.orientation, [stop - start for start, stop in self.box])

    @cached_property
    def steps(self) -> tuple[float, float, float]:
        """Prepared voxel in original ones, by axis of the prepared grid."""
        x, y, z = np.array(self.spacing_mm) / voxel_sizes(self._cropped_affine)
        return float(x), float(y), float(z)

    @cached_property
    def shape(self) -> Shape:
        """Shape of the prepared volume."""
        x, y, z = _nearest((np.array(self.cropped_shape) - 1) / self.steps + 1)
        return int(x), int(y), int(z)

    @cached_property
    def affine(self) -> Affine:
        """Voxel of the prepared grid to world, in mm."""
        affine = self._cropped_affine.copy()
        affine[:3, :3] *= self.steps
        return tuple(tuple(float(value) for value in row) for row in affine)

    @property
    def original_spacing_mm(self) -> tuple[float, float, float]:
        """Edges of an original voxel."""
        x, y, z = voxel_sizes(np.array(self.original_affine))
        return float(x), float(y), float(z)

    @property
    def is_kept(self) -> bool:
        """True if the prepared grid is the original one."""
        whole = all(
            (start, stop) == (0, n) for (start, stop), n in zip(self.box, self.original_shape, strict=True)
        )
        same = bool((self.orientation == [[0, 1], [1, 1], [2, 1]]).all())
        return whole and same and self.steps == (1.0, 1.0, 1.0)


def distance_mm(first: Affine, second: Affine, shape: Sequence[int]) -> float:
    """Return the largest distance in mm between the corners of a volume under two affines."""
    corners = np.array([[*corner, 1] for corner in product(*((0, size) for size in shape))], dtype=np.float64)
    difference = corners @ (np.array(first) - np.array(second)).T
    return float(np.linalg.norm(difference[:, :3], axis=1).max())


def shear(affine: Affine) -> float:
    """Return the greatest cosine between two axes of a grid: 0 if they are at right angles."""
    directions = np.array(affine)[:3, :3] / voxel_sizes(np.array(affine))
    return float(np.abs(directions.T @ directions - np.eye(3)).max())


def geometry(
    shape: Sequence[int],
    affine: np.ndarray,
    box: Box | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
) -> Geometry:
    """Return the geometry of a case.

    Args:
        shape: of the original volume.
        affine: (4, 4) voxel to world in mm, axes at right angles.
        box: what to keep of the original grid; None: all of it.
        spacing_mm: edges of a prepared voxel towards right, anterior and superior; None: as they are.
    """
    edges = voxel_sizes(affine)[np.argsort(io_orientation(affine)[:, 0])]
    wanted = np.array(spacing_mm or edges)
    x, y, z = (float(edge) for edge in np.where(np.abs(wanted - edges) <= SAME_EDGE_MM, edges, wanted))
    rows = tuple(tuple(float(value) for value in row) for row in affine)
    i, j, k = (int(n) for n in shape)
    return Geometry((i, j, k), rows, box or ((0, i), (0, j), (0, k)), (x, y, z))


def to_prepared(voxels: np.ndarray, where: Geometry, linear: bool) -> np.ndarray:
    """Bring an original volume to the prepared grid.

    Args:
        voxels: of the original shape.
        where: the case's geometry.
        linear: interpolate linearly (an image, float32), else take the nearest voxel (a label).

    Returns:
        Of `where.shape`, of the same type, contiguous.
    """
    box = tuple(slice(start, stop) for start, stop in where.box)
    turned = apply_orientation(voxels[box], where.orientation)
    for axis, (length, step) in enumerate(zip(where.shape, where.steps, strict=True)):
        turned = _sample(turned, axis, np.arange(length) * step, linear)
    return np.ascontiguousarray(turned)


def to_original(mask: np.ndarray, where: Geometry) -> np.ndarray:
    """Bring a mask (0 or 1) on the prepared grid to the original one; outside of the box it is 0.

    The mask is interpolated linearly and cut at one half, which gives smoother edges than the nearest voxel.

    Args:
        mask: of `where.shape`.
        where: the case's geometry.

    Returns:
        Of `where.original_shape`, uint8.
    """
    return _turned_back((_at_original_voxels(mask, where) >= 0.5).astype(np.uint8), where)


def classes_to_original(classes: np.ndarray, where: Geometry, count: int) -> np.ndarray:
    """Bring classes on the prepared grid to the original one, as `to_original` brings a mask.

    A voxel is foreground where the mask of all classes is, and of the class whose own mask has the greatest
    interpolated value there, the first of a tie.

    Args:
        classes: of `where.shape`, 0 to `count`.
        where: the case's geometry.
        count: of the classes but the background.

    Returns:
        Of `where.original_shape`, uint8.
    """
    if where.is_kept:
        return classes.astype(np.uint8, copy=False)
    shares = [
        _at_original_voxels((classes == number).astype(np.uint8), where) for number in range(1, count + 1)
    ]
    inside = _at_original_voxels((classes > 0).astype(np.uint8), where) >= 0.5
    found = (np.argmax(np.stack(shares), axis=0) + 1).astype(np.uint8)
    return _turned_back(found * inside, where)


def _at_original_voxels(mask: np.ndarray, where: Geometry) -> np.ndarray:
    """Interpolate a mask of `where.shape` linearly at the cropped original voxels, axes as prepared."""
    turned = mask
    for axis, (length, step) in enumerate(zip(where.cropped_shape, where.steps, strict=True)):
        if step != 1:
            turned = turned.astype(np.float32, copy=False)
        turned = _sample(turned, axis, np.arange(length) / step, linear=step != 1)
    return turned


def _turned_back(inside: np.ndarray, where: Geometry) -> np.ndarray:
    """Put voxels of the box, axes as prepared, into a volume of the original shape and axes."""
    original = np.zeros(where.original_shape, np.uint8)
    box = tuple(slice(start, stop) for start, stop in where.box)
    back = np.empty_like(where.orientation)
    for axis, (target, flip) in enumerate(where.orientation):
        back[int(target)] = axis, flip
    original[box] = apply_orientation(inside, back)
    return original


def _sample(voxels: np.ndarray, axis: int, positions: np.ndarray, linear: bool) -> np.ndarray:
    """Sample along one axis; positions past the last voxel take the last voxel's value."""
    last = voxels.shape[axis] - 1
    positions = positions.clip(0, last)
    nearest = np.rint(positions)
    if np.abs(positions - nearest).max(initial=0) < TIE:
        whole = nearest.astype(np.intp)
        return voxels if np.array_equal(whole, np.arange(last + 1)) else voxels.take(whole, axis)
    if not linear:
        return voxels.take(_nearest(positions), axis)
    low = np.floor(positions).astype(np.intp).clip(max=max(last - 1, 0))
    weights = (positions - low).astype(voxels.dtype)
    weights = weights.reshape([-1 if a == axis else 1 for a in range(voxels.ndim)])
    below = voxels.take(low, axis)
    above = voxels.take((low + 1).clip(max=last), axis)
    above -= below
    above *= weights
    above += below
    return above


def _nearest(positions: np.ndarray) -> np.ndarray:
    """The nearest voxel; half-way between two it is the even one, however the position was rounded."""
    halves = np.floor(positions) + 0.5
    return np.rint(np.where(np.abs(positions - halves) < TIE, halves, positions)).astype(np.intp)
