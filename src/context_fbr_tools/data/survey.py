"""Facts of the training cases of a verified data set, on which a proposal is based.

Grids and the range of intensities are known from `verify`; this reads each image and label again, several
at once by threads, and keeps the maxima of planes and a sample of the foreground of each case.
"""

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from context_fbr.core import bounded, nifti
from context_fbr.core.geometry import Box, Geometry, geometry
from context_fbr.core.progress import progress
from context_fbr.core.resources import usable_workers
from context_fbr.datasets.dataset_json import NAME, Description
from context_fbr.datasets.verify import Report
from context_fbr.datasets.volume_facts import Facts
from context_fbr.preprocessing.transforms import foreground_mask

BYTES_PER_VOXEL = 24
"""Peak memory of a case, image and label; of 13 to 24 that were measured, int16 to float64."""
SAMPLE = 100_000
"""Foreground voxels of a case that are kept for percentiles: large cases count equally, as in nnU-Net."""


@dataclass(frozen=True)
class CaseSurvey:
    """A case, its axes as they are stored."""

    name: str
    grid: Geometry
    """Grid of the whole volume."""
    foreground_voxels: int
    foreground: np.ndarray
    """(n <= SAMPLE,) float32, intensities of foreground voxels."""
    maxima: tuple[np.ndarray, np.ndarray, np.ndarray]
    """The greatest intensity of each plane, by axis: enough to crop to what is above any intensity."""
    minimum: float
    zeros: int
    """Voxels of the image that are exactly 0."""

    @property
    def voxels(self) -> int:
        """Return the number of voxels of the whole volume."""
        return int(np.prod(self.grid.original_shape, dtype=np.int64))

    def box_above(self, intensity: float) -> Box | None:
        """Return the box of the voxels above an intensity; None if there are none."""
        above = [np.flatnonzero(plane > np.float32(intensity)) for plane in self.maxima]
        if not all(planes.size for planes in above):
            return None
        x, y, z = ((int(planes[0]), int(planes[-1]) + 1) for planes in above)
        return x, y, z


@dataclass(frozen=True)
class Survey:
    """A data set."""

    folder: Path
    description: Description
    label_names: Mapping[int, str]
    """Label values of dataset.json, background included."""
    foreground: tuple[int, ...]
    """Label values that are segmented, together as one class."""
    cases: tuple[CaseSurvey, ...]
    """Cases of imagesTr, in the order of their names."""
    labelled_test_cases: int
    """Number of labelled cases of imagesTs."""

    @cached_property
    def spacings_mm(self) -> np.ndarray:
        """(cases, 3) edges of a voxel towards right, anterior, superior."""
        return np.array([case.grid.spacing_mm for case in self.cases])

    def percentile(self, percent: float) -> float:
        """Return a percentile of the foreground's intensities; ValueError without any foreground."""
        sample = np.concatenate([case.foreground for case in self.cases])
        if not sample.size:
            raise ValueError("no foreground, no percentile")
        return float(np.percentile(sample, percent))


def training_pairs(report: Report) -> tuple[tuple[str, Facts, Facts], ...]:
    """Return name, image and label of the cases of imagesTr."""
    return tuple(
        (case.name, case.image, case.label)
        for case in report.cases
        if case.image and case.label and case.image.file.startswith("imagesTr/")
    )


def survey(report: Report, foreground: tuple[int, ...], workers: int | None = None) -> Survey:
    """Read every training case.

    Args:
        report: without errors, of a data set that has training cases.
        foreground: label values that are segmented, together as one class.
        workers: number of cases at once; by default as many as cores and free memory allow.

    Raises:
        UserError: if a file can no longer be read.
    """
    assert report.description  # there were no errors
    return Survey(
        report.folder,
        report.description,
        label_names(report.folder),
        foreground,
        tuple(_cases(report, foreground, workers)),
        sum(bool(case.label and case.label.file.startswith("labelsTs/")) for case in report.cases),
    )


def label_names(folder: Path) -> dict[int, str]:
    """Return label values, in their order, and their names in a valid dataset.json."""
    labels = bounded.parse_json(bounded.read_text(folder / NAME, encoding="utf-8-sig"))["labels"]
    names = {int(value): on_one_line(name) or "?" for value, name in labels.items()}
    return dict(sorted(names.items()))


def on_one_line(text: str) -> str:
    """Return the text without characters that would end a comment, or are not allowed in one."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def sampled(voxels: np.ndarray) -> np.ndarray:
    """Return at most `SAMPLE` values of a (n,) array: all, or a random choice that is always the same."""
    if voxels.size <= SAMPLE:
        return voxels
    return voxels[np.random.default_rng(0).integers(voxels.size, size=SAMPLE)]


def _cases(report: Report, foreground: tuple[int, ...], workers: int | None) -> Iterator[CaseSurvey]:
    pairs = training_pairs(report)
    largest = BYTES_PER_VOXEL * max(math.prod(image.shape) for _, image, _ in pairs)
    pool = ThreadPoolExecutor(workers or usable_workers(len(pairs), largest))
    try:
        names, images, labels = zip(*pairs, strict=True)
        cases = pool.map(partial(_case, report.folder, foreground), names, images, labels)
        yield from progress(cases, len(pairs), f"survey {report.folder.name}", "case")
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt, only the cases in hand are read to their end


def _case(folder: Path, foreground: tuple[int, ...], name: str, image: Facts, label: Facts) -> CaseSurvey:
    channels = nifti.read(folder / image.file, channels=True).get_fdata(dtype=np.float32)
    intensities = (
        channels if channels.ndim == 3 else channels.max(axis=3)
    )  # a crop keeps what any channel has
    labels = nifti.read(folder / label.file).get_fdata(dtype=np.float32)
    first = channels if channels.ndim == 3 else channels[..., 0]
    inside = first[foreground_mask(labels, foreground) > 0]
    return CaseSurvey(
        name=name,
        grid=geometry(image.shape, np.array(image.affine)),
        foreground_voxels=inside.size,
        foreground=sampled(inside),
        maxima=(
            intensities.max(axis=(1, 2)),
            intensities.max(axis=(0, 2)),
            intensities.max(axis=(0, 1)),
        ),
        minimum=image.minimum,
        zeros=int(intensities.size - np.count_nonzero(intensities)),
    )
