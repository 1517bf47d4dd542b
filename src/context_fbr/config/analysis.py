"""Parameters of the stages after the cells, `analysis`, and of `context-fbr diff`, `regression`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Section
from context_fbr.config.grid import StudyCells
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.raw.source import Raw, read_raw
from context_fbr.config.training import SlidingWindow
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core.errors import UserError


def _pairs_of_models(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Check that a pair has two names, and that no pair is there twice.

    Raises:
        ValueError: for the first pair that is not.
    """
    for place, (batch, instance) in enumerate(pairs):
        if batch == instance:
            raise ValueError(f"[{batch}, {instance}]: expected two different models")
        if (batch, instance) in pairs[:place]:
            raise ValueError(f"[{batch}, {instance}] is listed twice")
    return tuple(pairs)


def _different_cores(cores: Sequence[tuple[str, str, int]]) -> tuple[tuple[str, str, int], ...]:
    """Check that each has two models, and that no model with a core is there twice.

    Raises:
        ValueError: for the first that is not so.
    """
    for place, (whole, cored, edge) in enumerate(cores):
        if whole == cored:
            raise ValueError(f"[{whole}, {cored}, {edge}]: expected two different models")
        if cored in [other for _, other, _ in cores[:place]]:
            raise ValueError(f"{cored} is listed twice; a model has one core")
    if both := {whole for whole, _, _ in cores} & {cored for _, cored, _ in cores}:
        raise ValueError(f"{min(both)} is listed both as a whole patch and with a core")
    return tuple(cores)


def _ordered_groups(groups: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Check that groups ascend and share no distance.

    Raises:
        ValueError: for the first that does not.
    """
    for place, (low, high) in enumerate(groups):
        if low > high:
            raise ValueError(f"[{low}, {high}]: expected [lowest, highest]")
        if place and low <= groups[place - 1][1]:
            before = list(groups[place - 1])
            raise ValueError(f"[{low}, {high}]: expected a group above {before}, without a distance of it")
    return tuple(groups)


Pairs = Annotated[tuple[tuple[str, str], ...], AfterValidator(_pairs_of_models)]
Edge = Annotated[int, Field(ge=1)]
Cores = Annotated[tuple[tuple[str, str, Edge], ...], AfterValidator(_different_cores)]
Distances = Annotated[
    tuple[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], ...],
    AfterValidator(_ordered_groups),
]


class Analysis(Section):
    """Rules by which results are judged."""

    convergence_tolerance: Annotated[float, Field(gt=0)]
    """A cell has converged if its last two validations differ by less than this in Dice."""
    minimum_validation_dice: Annotated[float, Field(ge=0, le=1)]
    """A cell whose best validation Dice is less is flagged as `low_validation_dice`, and kept."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Level of every interval."""
    small_loss: Annotated[float, Field(gt=0)]
    """Dice: a loss, or a difference, that is called small."""
    exchanged_norms: Pairs = ()
    """[batch, instance]: models that differ in their norm alone; a pair that the grid lacks is left out."""
    modern_recipe: Pairs = ()
    """[batch, instance]: a model with batch norm, and one with instance norm and a modern recipe."""
    supervised_cores: Cores = ()
    """[whole, cored, edge]: models that differ in the core alone that the loss is computed on, its edge in
    voxels; a model that the grid lacks is left out."""
    distance_groups: Distances = ()
    """[lowest, highest] needed distance in voxels, both included, in ascending order."""


def core_problems(document: Document, analysis: Analysis) -> list[str]:
    """Return a problem for each model of `supervised_cores` whose `train.core` is another one.

    A model that params.yaml does not define has none.
    """
    problems = []
    models = document.root["models"]
    for place, (whole, cored, edge) in enumerate(analysis.supervised_cores):
        for index, name, expected in ((0, whole, "patch"), (1, cored, edge)):
            if not isinstance(models.get(name), Mapping):
                continue
            train = models[name].get("train")
            core = train.get("core", "patch") if isinstance(train, Mapping) else "patch"
            if core != expected:
                text = f"models.{name}.train.core is {core}, expected {expected}"
                problems.append(document.problem(("analysis", "supervised_cores", place, index), text))
    return problems


class Regression(Section):
    """Limits of a change; a mean is worse only if its interval, where there is one, excludes 0 too."""

    dice: Annotated[float, Field(ge=0, le=1)]
    """Mean test Dice may be lower by this."""
    hausdorff_voxels: Annotated[float, Field(ge=0)]
    """Mean Hausdorff distance may be greater by this."""
    unconverged_cells: Annotated[int, Field(ge=0)]
    """Number of cells that had converged and may no longer do so."""


@dataclass(frozen=True)
class AnalyzeConfig:
    """Everything that the stage `analyze` reads for a task: its `params` in dvc.yaml."""

    task: str
    cells: tuple[Cell, ...]
    """Cells of the task."""
    tasks: tuple[str, ...]
    """Every task of the study that has cells."""
    analysis: Analysis
    raw: Raw
    """Source of the task: the ideal observer of a generated task follows from it."""
    overlap: float
    """Overlap of neighbouring inference windows."""

    @classmethod
    def read(cls, document: Document, task: str) -> "AnalyzeConfig":
        """Validate it; errors as in `cells_of`."""
        study_cells = StudyCells.read(document)
        cells = cells_of(document, study_cells, task)
        analysis = document.section(("analysis",), Analysis)
        overlap = document.section(("sliding_window",), SlidingWindow).overlap
        return cls(task, cells, study_cells.tasks, analysis, read_raw(document, task), overlap)


@dataclass(frozen=True)
class CompareConfig:
    """Everything that the stage `compare` reads: its `params` in dvc.yaml."""

    study_cells: StudyCells
    analysis: Analysis

    @classmethod
    def read(cls, document: Document) -> "CompareConfig":
        """Validate it; errors as in `Document.section`."""
        return cls(StudyCells.read(document), document.section(("analysis",), Analysis))


def cells_of(document: Document, study_cells: StudyCells, task: str) -> tuple[Cell, ...]:
    """Return the cells of a task.

    Raises:
        UserError: if it has none.
    """
    cells = tuple(cell for cell in study_cells.cells if cell.task == task)
    if not cells:
        text = f"lacks {task!r}; {suggestion(task, study_cells.tasks)}"
        raise UserError(document.problem(("grid", "tasks"), text))
    return cells


@dataclass(frozen=True)
class OverlayConfig:
    """Everything that the stage `overlay` reads for a task: its `params` in dvc.yaml."""

    cells: tuple[Cell, ...]
    """Cells of the task."""
    window: tuple[float, float] | None
    """Intensities of the first channel that are drawn black and white; None: those of the image."""

    @classmethod
    def read(cls, document: Document, task: str) -> "OverlayConfig":
        """Validate it; errors as in `Document.section` and `cells_of`."""
        cells = cells_of(document, StudyCells.read(document), task)
        windows = document.section(("tasks", task, "prepare"), Prepare).windows
        return cls(cells, windows[0] if windows else None)
