"""A CT-like abdomen around a true spleen label: air, fat, organs, lungs and bones in Hounsfield units.

Not anatomy, but what makes the task a task: the spleen hugs the left wall under the left lung, and liver,
muscle and vessels are as bright as it is, so a threshold finds everything else first.

Lengths are in mm from the middle of the scanned circle, z from the spleen's centre; x points to the patient's
right, y to the front, z to the head. Slices are painted one by one (y, x), which stay in the processor's cache.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from scipy.ndimage import find_objects, gaussian_filter

AIR, LUNG, FAT, MUSCLE, SPLEEN, LIVER, KIDNEY, CORTEX, MARROW = -1000, -830, -100, 52, 56, 60, 30, 550, 220
PADDING = (-1024, -1024, -2048)  # outside of the scanned circle; one for each case
ASPECT = 1.38  # width of a body / depth
GRAIN_MM = 20.0  # of the smooth fields
BLUR_MM = 0.6  # of the scanner, in a slice: a border voxel holds some of both sides
RADIAL_STEPS = 1000  # of the table from the body's axis (0) to its skin (1)


@dataclass(frozen=True)
class Blob:
    """An ellipsoid with a soft border."""

    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    hounsfield: float
    texture: float = 0.0
    """How strongly the smooth field shows in it."""


@dataclass(frozen=True)
class Body:
    """One patient."""

    half_width: float
    half_depth: float
    cavity: float
    """Where the muscle wall begins: 0 on the axis, 1 at the skin."""
    spleen: float
    spleen_top: float
    blobs: tuple[Blob, ...]
    noise: float
    padding: int
    phase: float
    """Of the ribs and of the body's waist."""


def ct_image(label: np.ndarray, affine: np.ndarray, name: str) -> np.ndarray:
    """Paint a CT of the patient whose spleen a label shows: a pure function of its arguments.

    Args:
        label: (i, j, k), foreground where above 0, at least one voxel.
        affine: (4, 4) voxel to world in mm.
        name: of the case; seeds everything that differs between patients.

    Returns:
        (i, j, k) int16 in HU, in Fortran order as NIfTI files are.

    Raises:
        ValueError: if the label is empty.
    """
    if not (label > 0).any():
        raise ValueError(f"{name}: its label is empty: there is no spleen to paint a body around")
    generator = np.random.default_rng(crc32(name.encode()))
    turn = io_orientation(affine)
    spacing = voxel_sizes(affine)[np.argsort(turn[:, 0])]
    spleen = apply_orientation(label > 0, turn).T  # (z, y, x)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(spleen.shape, spacing[::-1], strict=True)]
    present = spleen.any(axis=(1, 2))
    axes[0] -= axes[0][present].mean()
    z, y, x = (axis.astype(np.float32) for axis in axes)
    body = patient(spleen.any(axis=0), float(z[present][-1]), x, y, generator)
    image = np.empty(spleen.shape, np.int16)
    for slice_image, painted in zip(image, slices(body, spleen, x, y, z, generator), strict=True):
        slice_image[:] = painted
    back = ornt_transform(axcodes2ornt("RAS"), turn)
    return np.asfortranarray(apply_orientation(image.T, back))


def patient(shadow: np.ndarray, top: float, x: np.ndarray, y: np.ndarray, draw: np.random.Generator) -> Body:
    """A body whose muscle wall touches the spleen's shadow (y, x) from outside."""
    rows, columns = np.nonzero(shadow)
    reach = float(np.hypot(x[columns] / ASPECT, y[rows]).max())
    cavity = draw.uniform(0.76, 0.86)
    b = max(reach / (cavity - 0.02), 85.0)
    a = ASPECT * b
    liver, kidney = LIVER + draw.normal(0, 4), KIDNEY + draw.normal(0, 3)
    low = -45 + draw.normal(0, 6)
    blobs = (
        Blob((-0.3 * a, 0.42 * b, 8), (0.27 * a, 0.3 * b, 45), 14),  # stomach
        Blob((-0.3 * a, 0.57 * b, 8), (0.19 * a, 0.15 * b, 34), -900),  # its gas
        Blob((0.46 * a, 0.08 * b, 0), (0.5 * a, 0.82 * b, 88), liver, 5),
        Blob((0.06 * a, 0.45 * b, 15), (0.46 * a, 0.36 * b, 42), liver, 5),
        Blob((-0.34 * a, -0.36 * b, low), (26, 24, 52), kidney, 3),
        Blob((0.34 * a, -0.36 * b, low - 8), (26, 24, 52), kidney, 3),
        Blob((-0.29 * a, -0.31 * b, low), (11, 9, 28), FAT + 20),  # the kidneys' hollows
        Blob((0.29 * a, -0.31 * b, low - 8), (11, 9, 28), FAT + 20),
        Blob((-0.1 * a, 0.26 * b, top + 68), (0.36 * a, 0.44 * b, 62), 48, 3),  # heart
        Blob((-9, -0.3 * b, 0), (11, 11, 1e4), 130),  # aorta
        Blob((17, -0.24 * b, 0), (11, 9, 1e4), 100),  # vena cava
    )
    return Body(
        a,
        b,
        cavity,
        SPLEEN + float(np.clip(draw.normal(0, 5), -12, 12)),
        top,
        blobs,
        draw.uniform(15, 20),
        int(draw.choice(PADDING)),
        draw.uniform(0, 2 * np.pi),
    )


def slices(
    body: Body, spleen: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """Paint slice after slice, feet first, each (y, x) float32 of whole numbers."""
    bowels, texture = (smooth_field(draw, z, y, x) for _ in range(2))
    radius = np.hypot(x / body.half_width, y[:, None] / body.half_depth)
    outside = np.hypot(x, y[:, None]) > min(-x[0], -y[0])
    couch = (np.abs(y + 1.04 * body.half_depth + 4) < 1.5)[:, None] & (np.abs(x) < 190)
    floor = diaphragm(body, x, y)
    skeleton = Skeleton.of(body, radius, x, y)
    box = find_objects(spleen.astype(np.uint8))[0]
    box = tuple(slice(max(part.start - 3, 0), part.stop + 3) for part in box)
    blur = (0.35, BLUR_MM / (y[1] - y[0]), BLUR_MM / (x[1] - x[0]))  # voxels
    share = gaussian_filter(spleen[box].astype(np.float32), blur, truncate=3)
    profile = radial_profile(body)
    for k, height in enumerate(z):
        waist = np.float32(1 + 0.03 * np.sin(height / 80 + body.phase))
        rho = radius / waist
        image = profile[(rho * RADIAL_STEPS).clip(max=RADIAL_STEPS * 1.25).astype(np.intp)]
        image[couch & (rho > 1)] = -20
        cavity = rho < body.cavity
        field = texture(k)
        gut = bowels(k)
        image[cavity] = np.where(gut > 2.1, -700, (gut * 250 - 60).clip(FAT, 38))[cavity]
        for blob in body.blobs:
            paint(image, blob, x, y, height, field, cavity)
        if height > floor.min() - 3:
            lung = cavity * ((height - floor) / 5 + 0.5).clip(0, 1)
            vessels = np.float32(500) * (np.abs(gut) < 0.03)
            image += lung * (LUNG + 30 * field + vessels - image)
        skeleton.paint(image, body, waist, height)
        if box[0].start <= k < box[0].stop:
            window = box[1:]
            here = share[k - box[0].start]
            image[window] += here * (body.spleen + 5 * field[window] - image[window])
        image += draw.standard_normal(image.shape, np.float32) * np.float32(body.noise)
        np.rint(image, out=image)
        image.clip(-1024, 3071, out=image)
        image[outside] = body.padding
        yield image


def radial_profile(body: Body) -> np.ndarray:
    """HU by distance from the body's axis: muscle wall, fat, skin, air."""
    muscle_mm, skin_mm = 14.0, 2.5
    muscle = body.cavity + muscle_mm / body.half_depth
    skin = 1 - skin_mm / body.half_depth
    edges = [0, muscle, muscle + 0.01, skin, skin + 0.005, 1, 1.01]
    values = [MUSCLE, MUSCLE, FAT, FAT, 20, 20, AIR]
    steps = np.arange(int(RADIAL_STEPS * 1.25) + 1) / RADIAL_STEPS
    return np.interp(steps, edges, values).astype(np.float32)


def smooth_field(draw: np.random.Generator, *axes: np.ndarray) -> Callable[[int], np.ndarray]:
    """Noise of mean 0 and deviation 1, smooth over GRAIN_MM; give it a slice's number for its values (y, x)."""
    steps = [1, *(max(round(1.5 / (axis[1] - axis[0])), 1) for axis in axes[1:])]  # voxels with one value
    weights = []
    for axis, step in zip(axes, steps, strict=True):
        knots = np.arange(axis[0] - GRAIN_MM, axis[-1] + 2 * GRAIN_MM, GRAIN_MM)
        bells = np.exp(-0.5 * ((axis[::step, None] - knots) / (0.6 * GRAIN_MM)) ** 2)
        weights.append((bells / np.linalg.norm(bells, axis=1, keepdims=True)).astype(np.float32))
    knots = draw.standard_normal([part.shape[1] for part in weights], np.float32)

    def values(k: int) -> np.ndarray:
        # einsum, not @: BLAS starts threads, which wait for each other when slices are painted side by side
        across = np.einsum("a,abc->bc", weights[0][k], knots)
        coarse = np.einsum("yb,bx->yx", weights[1], np.einsum("bc,xc->bx", across, weights[2]))
        fine = coarse.repeat(steps[1], axis=0).repeat(steps[2], axis=1)
        return fine[: len(axes[1]), : len(axes[2])]

    return values


def diaphragm(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The height (y, x) above which there is lung: a dome for each lung, nowhere between them."""
    a, b = body.half_width, body.half_depth
    sides = ((-1, body.spleen_top + 5), (1, body.spleen_top + 18))
    domes = []
    for side, top in sides:
        distance = ((x - side * 0.42 * a) / (0.42 * a)) ** 2 + ((y[:, None] + 0.02 * b) / (0.84 * b)) ** 2
        domes.append(np.where((distance < 1) & (side * x > 22), top - 55 * distance, np.inf))
    return np.minimum(*domes).astype(np.float32)


def paint(
    image: np.ndarray,
    blob: Blob,
    x: np.ndarray,
    y: np.ndarray,
    z: float,
    field: np.ndarray,
    inside: np.ndarray,
) -> None:
    """Blend the cut through a blob into a slice, where it is inside of the body's cavity."""
    height = ((z - blob.centre[2]) / blob.semi_axes[2]) ** 2
    if height >= 1:
        return
    qx, qy = (((axis - blob.centre[n]) / blob.semi_axes[n]) ** 2 for n, axis in enumerate((x, y)))
    used = [np.flatnonzero(q < 1) for q in (qy, qx)]
    if not all(part.size for part in used):
        return
    window = tuple(slice(part[0], part[-1] + 1) for part in used)
    distance = qx[window[1]] + qy[window[0], None] + np.float32(height)
    steep = min(blob.semi_axes) / 3  # so that the border is about 1.5 mm wide
    share = ((1 - distance) * steep).clip(0, 1) * inside[window]
    image[window] += share * (blob.hounsfield + blob.texture * field[window] - image[window])


@dataclass(frozen=True)
class Skeleton:
    """The places in a slice where bones can be, found once for a body: most of a slice has none."""

    ribs: tuple[np.ndarray, ...]
    """Indices, across (x, mm), along the rib's fall (mm), and radius of the voxels around the muscle wall."""
    hips: tuple[np.ndarray, np.ndarray]
    """Masks (y, x) of cortex and marrow."""
    vertebra: tuple[np.ndarray, np.ndarray]
    arch: np.ndarray
    canal: np.ndarray

    @classmethod
    def of(cls, body: Body, radius: np.ndarray, x: np.ndarray, y: np.ndarray) -> "Skeleton":
        """For a body, the distances (y, x) from its axis, 0 to 1 at the skin, and the axes."""
        column = np.broadcast_to(y[:, None] + 0.56 * body.half_depth, radius.shape)  # from the vertebrae
        across = np.broadcast_to(np.abs(x), radius.shape)
        wall = body.cavity + 6 / body.half_depth
        ribs = np.nonzero((np.abs(radius - wall) < 0.05 + 5 / body.half_depth) & (across > 25))
        side = (across - 0.42 * body.half_width) / (0.3 * body.half_width)
        ring = np.abs(np.hypot(side, (column - 30) / (0.5 * body.half_depth)) - 1)
        hip = (side > 0.1) & (radius < body.cavity)
        vertebra = np.hypot(across, column * 1.2)
        arch = np.hypot(across, column + 29)
        spine = (across < 3.5) & (column < -29) & (column > -58)
        return cls(
            (*ribs, column[ribs], radius[ribs]),
            (hip & (ring < 0.13), hip & (ring < 0.07)),
            (vertebra < 21, vertebra < 18),
            (arch < 14) | spine,
            arch < 9,
        )

    def paint(self, image: np.ndarray, body: Body, waist: float, z: float) -> None:
        """Paint what is at a height into a slice."""
        if z > -75:
            rows, columns, column, radius = self.ribs
            rib = (z - 0.4 * column + 30 * body.phase) / 26 % 1 < 0.4  # ribs fall towards the front
            depth = np.abs(radius / waist - body.cavity - 6 / body.half_depth) * body.half_depth
            for thickness, hounsfield in ((4.5, CORTEX), (2, MARROW)):
                bone = rib & (depth < thickness)
                image[rows[bone], columns[bone]] = hounsfield
        elif z < -150:
            image[self.hips[0]] = CORTEX
            image[self.hips[1]] = MARROW
        disc = (z / 32 + body.phase) % 1 < 0.2
        image[self.vertebra[0]] = 95 if disc else CORTEX
        image[self.vertebra[1]] = 90 if disc else MARROW
        image[self.arch] = CORTEX
        image[self.canal] = 22
