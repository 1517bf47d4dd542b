"""What the training cases of a verified data set are like: numbers, no opinions.

Grids and the range of intensities are known from `verify`; this reads each image and label once more, several
at once by threads, and keeps of a case a few thousand numbers.
"""

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from context_fbr.core import bounded, nifti
from context_fbr.core.geometry import Box, Geometry, Shape, geometry
from context_fbr.core.progress import progress
from context_fbr.core.resources import usable_workers
from context_fbr.datasets.dataset_json import NAME, Description
from context_fbr.datasets.verify import Report
from context_fbr.datasets.volume_facts import Facts
from context_fbr.preprocessing.transforms import foreground_mask
from context_fbr_tools.data.histogram import Histogram, empty, histogram

BYTES_PER_VOXEL = 24
"""That a case takes at its peak, image and label; of 10 to 24 that were measured, int16 to float64."""


@dataclass(frozen=True)
class CaseSurvey:
    """A case, its axes as they are stored unless said otherwise."""

    name: str
    grid: Geometry
    """Of the whole volume."""
    label_voxels: Mapping[int, int]
    """By label value, those that occur."""
    foreground_voxels: int
    maxima: tuple[np.ndarray, np.ndarray, np.ndarray]
    """The greatest intensity of each plane, by axis: enough to crop to what is above any intensity."""
    minimum: float
    maximum: float
    zeros: int
    """Voxels of the image that are exactly 0."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edges of a voxel towards right, anterior, superior."""
        return self.grid.spacing_mm

    @property
    def size(self) -> Shape:
        """In voxels towards right, anterior, superior."""
        return self.grid.cropped_shape

    @property
    def voxels(self) -> int:
        """Of the whole volume."""
        return int(np.prod(self.grid.original_shape, dtype=np.int64))

    @property
    def foreground_ratio(self) -> float:
        """Of the original volume."""
        return self.foreground_voxels / self.voxels

    def box_above(self, intensity: float) -> Box | None:
        """The box of the voxels above an intensity; None if there are none."""
        above = [np.flatnonzero(plane > np.float32(intensity)) for plane in self.maxima]
        if not all(found.size for found in above):
            return None
        x, y, z = ((int(found[0]), int(found[-1]) + 1) for found in above)
        return x, y, z


@dataclass(frozen=True)
class Survey:
    """A data set."""

    folder: Path
    description: Description
    label_names: Mapping[int, str]
    """Of dataset.json, background included."""
    foreground: tuple[int, ...]
    """Label values that are segmented, together as one class."""
    cases: tuple[CaseSurvey, ...]
    """Of imagesTr, in the order of their names."""
    labelled_test_cases: int
    """Of imagesTs."""
    inside: Histogram
    """Intensities of the foreground of all cases."""
    whole: Histogram
    """Intensities of all voxels of all cases."""

    @cached_property
    def spacings_mm(self) -> np.ndarray:
        """(cases, 3) towards right, anterior, superior."""
        return np.array([case.spacing_mm for case in self.cases])

    @cached_property
    def sizes(self) -> np.ndarray:
        """(cases, 3) voxels towards right, anterior, superior."""
        return np.array([case.size for case in self.cases])


def training_pairs(report: Report) -> tuple[tuple[str, Facts, Facts], ...]:
    """Name, image and label of the cases of imagesTr."""
    return tuple(
        (case.name, case.image, case.label)
        for case in report.cases
        if case.image and case.label and case.image.file.startswith("imagesTr/")
    )


def survey(report: Report, foreground: tuple[int, ...], workers: int | None = None) -> Survey:
    """Look at every training case.

    Args:
        report: without errors, of a data set that has training cases.
        foreground: label values that are segmented, together as one class.
        workers: how many cases at once; by default as many as cores and free memory allow.

    Raises:
        UserError: if a file can no longer be read.
    """
    assert report.description  # there were no errors
    cases: list[CaseSurvey] = []
    inside, whole = empty(), empty()
    for case, case_inside, case_whole in _looked_at(report, foreground, workers):
        cases.append(case)
        inside += case_inside
        whole += case_whole
    return Survey(
        report.folder,
        report.description,
        label_names(report.folder),
        foreground,
        tuple(cases),
        sum(bool(case.label and case.label.file.startswith("labelsTs/")) for case in report.cases),
        inside,
        whole,
    )


def label_names(folder: Path) -> dict[int, str]:
    """Label values, in their order, and their names in a valid dataset.json."""
    labels = bounded.parse_json(bounded.read_text(folder / NAME, encoding="utf-8-sig"))["labels"]
    names = {int(value): on_one_line(name) or "?" for value, name in labels.items()}
    return dict(sorted(names.items()))


def on_one_line(text: str) -> str:
    """Without what would end a comment, or may not stand in one."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _looked_at(
    report: Report, foreground: tuple[int, ...], workers: int | None
) -> Iterator[tuple[CaseSurvey, Histogram, Histogram]]:
    pairs = training_pairs(report)
    low = min(image.minimum for _, image, _ in pairs)
    high = max(image.maximum for _, image, _ in pairs)

    def look(pair: tuple[str, Facts, Facts]) -> tuple[CaseSurvey, Histogram, Histogram]:
        return _look(report.folder, *pair, foreground, (low, high))

    largest = BYTES_PER_VOXEL * max(math.prod(image.shape) for _, image, _ in pairs)
    pool = ThreadPoolExecutor(workers or usable_workers(len(pairs), largest))
    try:
        yield from progress(pool.map(look, pairs), len(pairs), f"survey {report.folder.name}", "case")
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt, only the cases in hand are read to their end


def _look(
    folder: Path,
    name: str,
    image: Facts,
    label: Facts,
    foreground: tuple[int, ...],
    limits: tuple[float, float],
) -> tuple[CaseSurvey, Histogram, Histogram]:
    intensities = nifti.read(folder / image.file).get_fdata(dtype=np.float32)
    whole = histogram(intensities.T, *limits)  # transposed, which is NIfTI's order in memory: no copy
    maxima = (
        intensities.max(axis=(1, 2)),
        intensities.max(axis=(0, 2)),
        intensities.max(axis=(0, 1)),
    )
    labels = nifti.read(folder / label.file).get_fdata(dtype=np.float32)
    counts = {int(value): int(np.count_nonzero(labels == np.float32(value))) for value in label.values}
    mask = foreground_mask(labels, foreground) > 0
    case = CaseSurvey(
        name=name,
        grid=geometry(image.shape, np.array(image.affine)),
        label_voxels=counts,
        foreground_voxels=int(np.count_nonzero(mask)),
        maxima=maxima,
        minimum=image.minimum,
        maximum=image.maximum,
        zeros=int(intensities.size - np.count_nonzero(intensities)),
    )
    return case, histogram(intensities[mask], *limits), whole
