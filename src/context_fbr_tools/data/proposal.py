"""Rules of the field: from the properties of a data set to its block of params.yaml.

**Spacing.** The median of the cases. If the longest edge of that is over `THICK` times the shortest, this
axis takes the 10th percentile of the cases, but no less than the next longest edge: nnU-Net's rule (Isensee
et al., Nature Methods 2021), so that the thinly sliced cases keep their slices.

**Intensities.** CT: the 0.5 and 99.5 percentile of the foreground's voxels become 0 and 1, which is nnU-Net's
idea, too, here widened to full tens of HU. Everything else: z-score of the voxels above 0.

**Epochs.** As many optimisation steps as the task of params.yaml that takes the most.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from context_fbr.config.study import Study
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.geometry import Shape, geometry
from context_fbr.core.padding import is_smaller
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr_tools.data.survey import Survey

PUBLISHED_SPLIT = (26, 5, 10)
"""Train, validation and test cases of the published spleen task."""
LOW, HIGH = 0.5, 99.5  # percentiles of the foreground that a window spans
WINDOW_STEP = 10  # HU
STEPS = 800
"""Steps of a training if the study has no task to compare with: about those of the published spleen."""
THICK, THIN_PERCENTILE = 3.0, 10.0
ZERO_BACKGROUND = 0.05
"""Share of every image that is exactly 0 with nothing below, from which the background was set to 0."""


@dataclass(frozen=True)
class Split:
    """Numbers of cases."""

    train: int
    validation: int
    test: int | Literal["imagesTs"]


@dataclass(frozen=True)
class Steps:
    """The arithmetic of a training's length."""

    epochs: int
    steps_per_epoch: int
    reference: str
    """The task of params.yaml that takes the most steps; empty if none is known."""
    reference_steps: int


@dataclass(frozen=True)
class Proposal:
    """The values of a block."""

    split: Split
    window: tuple[int, int] | None
    """None: z-score."""
    crop: bool
    spacing_mm: tuple[float, float, float]
    thick_axis: int | None
    """The one that does not take the median."""
    steps: Steps
    shapes: tuple[Shape, ...]
    """Shapes of the prepared training cases."""

    @property
    def surface_tolerance_mm(self) -> float:
        """A prepared voxel's longest edge: no surface is known better."""
        return max(self.spacing_mm)


def propose(found: Survey, study: Study) -> Proposal:
    """Decide on every value.

    Raises:
        UserError: if there is no foreground, or an image has nothing above 0 (CT: above the window).
    """
    if not any(case.foreground_voxels for case in found.cases):
        names = ", ".join(f"{value} ({found.label_names[value]})" for value in found.foreground)
        raise UserError(
            f"{found.folder}: no training case has foreground {names}; choose another --foreground"
        )
    split = propose_split(len(found.cases), bool(found.labelled_test_cases))
    window = _window(found) if found.description.is_ct else None
    crop = window is not None or has_zero_background(found)
    spacing_mm, thick_axis = propose_spacing(found.spacings_mm)
    nothing = window[0] if window else 0
    problems = [
        f"{found.folder}: {case.name}: its image has no voxel above {nothing}: there is nothing to train on; "
        "shift its intensities, or remove the case"
        for case in found.cases
        if case.box_above(nothing) is None
    ]
    raise_problems(problems)
    shapes = tuple(
        geometry(
            case.grid.original_shape,
            np.array(case.grid.original_affine),
            case.box_above(nothing) if crop else None,
            spacing_mm,
        ).shape
        for case in found.cases
    )
    return Proposal(split, window, crop, spacing_mm, thick_axis, propose_steps(split.train, study), shapes)


def fewest_cases(has_test_set: bool) -> int:
    """With fewer labelled training cases than this there is no split."""
    return 2 if has_test_set else 3


def propose_split(cases: int, has_test_set: bool) -> Split:
    """Cases in the published proportion, each part at least one."""
    train, validation, test = PUBLISHED_SPLIT
    if has_test_set:
        validating = max(round(cases * validation / (train + validation)), 1)
        return Split(cases - validating, validating, "imagesTs")
    validating, testing = (max(round(cases * part / sum(PUBLISHED_SPLIT)), 1) for part in (validation, test))
    return Split(cases - validating - testing, validating, testing)


def propose_spacing(spacings_mm: np.ndarray) -> tuple[tuple[float, float, float], int | None]:
    """Edges of a prepared voxel, and the axis that does not take the median, if there is one.

    Args:
        spacings_mm: (cases, 3).
    """
    edges = np.median(spacings_mm, axis=0)
    longest = int(edges.argmax())
    is_thick = bool(edges.max() > THICK * edges.min())
    if is_thick:
        thin = np.percentile(spacings_mm[:, longest], THIN_PERCENTILE)
        edges[longest] = max(thin, np.delete(edges, longest).max())
    x, y, z = (_two_digits(float(edge)) for edge in edges)
    return (x, y, z), longest if is_thick else None


def has_zero_background(found: Survey) -> bool:
    """Return true if all images have been set to exactly 0 outside of the body."""
    return all(case.minimum == 0 and case.zeros >= ZERO_BACKGROUND * case.voxels for case in found.cases)


def propose_steps(training_cases: int, study: Study) -> Steps:
    """Enough epochs for as many steps as the longest task of the study takes; the last one is validated."""
    batch, every = study.train.batch_volumes, study.train.validate_every_epochs
    cases = {name: task.prepare.split.training_cases for name, task in study.tasks.items()}
    steps = {
        name: study.tasks[name].train.epochs * math.ceil(count / batch)
        for name, count in cases.items()
        if count is not None
    }
    if not steps:
        steps[""] = STEPS
    reference = max(steps, key=lambda name: steps[name])
    per_epoch = math.ceil(training_cases / batch)
    epochs = math.ceil(steps[reference] / per_epoch)
    return Steps(max(math.ceil(epochs / every), 1) * every, per_epoch, reference, steps[reference])


def padded_cases(shapes: Sequence[Shape], patch_sizes: Sequence[PatchSize]) -> Mapping[PatchSize, int]:
    """Return the number of volumes that are smaller than a patch along any axis, by patch size."""
    counts = {size: sum(is_smaller(shape, edges_of(size)) for shape in shapes) for size in patch_sizes}
    return {size: count for size, count in counts.items() if count}


def _window(found: Survey) -> tuple[int, int]:
    low = math.floor(found.percentile(LOW) / WINDOW_STEP) * WINDOW_STEP
    high = math.ceil(found.percentile(HIGH) / WINDOW_STEP) * WINDOW_STEP
    return (low, high) if low < high else (low - WINDOW_STEP, high + WINDOW_STEP)


def _two_digits(edge: float) -> float:
    """Two decimals, or two digits of what is below a tenth of a millimetre."""
    return round(edge, 2) if edge >= 0.1 else float(f"{edge:.2g}")
