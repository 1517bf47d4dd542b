"""The whole of params.yaml: the grid, its tasks and networks, and what must hold between them."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from context_fbr.config.analysis import Analysis, Regression, core_problems
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Location, Section, SectionType
from context_fbr.config.evaluation import TaskEvaluation
from context_fbr.config.grid import Grid, Product, StudyCells
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.raw.source import GeneratedRaw, Raw, read_raw
from context_fbr.config.training import (
    Model,
    Resume,
    SlidingWindow,
    TaskTraining,
    Training,
    epoch_problems,
    patch_problems,
    read_training,
)
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.patch_size import edges_of

NAME = re.compile(r"[a-z0-9_]+")
RESERVED = frozenset(
    (
        "baselines",
        "compare",
        "foreground_ratios",
        "headline",
        "overlays",
        "provenance",
        "published",
        "test",
        "train",
    )
)
"""Folders of metrics/ and plots/ other than those of the tasks."""


@dataclass(frozen=True)
class Task:
    """A data set with its protocol."""

    raw: Raw
    prepare: Prepare
    train: TaskTraining
    evaluate: TaskEvaluation


class _TaskKeys(Section):
    raw: object
    prepare: Prepare
    train: TaskTraining
    evaluate: TaskEvaluation


class _StudyKeys(Section):
    tasks: tuple[str, ...]


class _Keys(Section):
    study: object
    grid: object
    arms: object = None
    tasks: dict[str, object]
    models: dict[str, object]
    train: object
    sliding_window: object
    analysis: object
    regression: object
    resume: object


@dataclass(frozen=True)
class Study:
    """Everything that params.yaml holds."""

    document: Document
    study_cells: StudyCells
    tasks: Mapping[str, Task]
    models: Mapping[str, Model]
    train: Training
    trainings: Mapping[tuple[str, str], Training]
    """`train` with the overrides of each (task, model)."""
    sliding_window: SlidingWindow
    analysis: Analysis
    regression: Regression
    resume: Resume

    def training_of(self, cell: Cell) -> Training:
        """Return the settings of a cell's training."""
        return self.trainings[cell.task, cell.model]

    @property
    def grid(self) -> Grid:
        """The first product of cells."""
        return self.study_cells.grid

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, of the grid and of the arms."""
        return self.study_cells.cells


def read_study(document: Document) -> Study:
    """Validate the whole document.

    Raises:
        UserError: with every problem of the document.
    """
    document.validate(document.root, (), _Keys)
    problems: list[str] = []

    def section(location: Location, model: type[SectionType]) -> SectionType | None:
        try:
            return document.section(location, model)
        except UserError as error:  # continue: all problems are reported together
            problems.extend(error.problems)
            return None

    try:
        study_cells = StudyCells.read(document)
    except UserError as error:
        problems.extend(error.problems)
        study_cells = None
    listed = section(("study",), _StudyKeys)
    tasks: dict[str, Task | None] = {}
    for name in document.root["tasks"]:
        try:
            tasks[name] = _task(document, name)
        except UserError as error:
            problems.extend(error.problems)
            tasks[name] = None
    models = {name: section(("models", name), Model) for name in document.root["models"]}
    train = section(("train",), Training)
    trainings: dict[tuple[str, str], Training] = {}
    defined = [[name for name, value in own.items() if value] for own in (tasks, models)]
    for task, model in itertools.product(*defined) if train else ():
        try:
            trainings[task, model] = read_training(document, task, model)
        except UserError as error:
            problems.extend(problem for problem in error.problems if problem not in problems)
    sliding_window = section(("sliding_window",), SlidingWindow)
    analysis = section(("analysis",), Analysis)
    problems += core_problems(document, analysis) if analysis else []
    regression = section(("regression",), Regression)
    resume = section(("resume",), Resume)
    arms = study_cells.arms if study_cells else {}
    for kind, names in (("tasks", tasks), ("models", models), ("arms", arms)):
        problems += [
            document.problem((kind, name), "names hold a-z, 0-9 and _ only: `-` joins a cell's key")
            for name in names
            if not NAME.fullmatch(str(name))
        ]
    problems += [
        document.problem(("tasks", name), f"metrics/{name} and plots/{name} hold other results; rename it")
        for name in RESERVED.intersection(tasks)
    ]
    if study_cells is not None:
        problems += study_cells.name_problems(document, listed.tasks if listed else None, tasks, models)
        for location, product in study_cells.products.items():
            problems += _too_large(document, (*location, "patch_sizes"), product, tasks)
        problems += patch_problems(document, study_cells.cells, trainings)
    epochs = {name: task.train.epochs for name, task in tasks.items() if task}
    problems += epoch_problems(document, trainings, epochs)
    problems += _split_problems(document, tasks)
    raise_problems(problems)
    assert study_cells is not None  # none of these is, or there were problems
    assert train is not None
    assert sliding_window is not None
    assert analysis is not None
    assert regression is not None
    assert resume is not None
    return Study(
        document,
        study_cells,
        MappingProxyType({name: task for name, task in tasks.items() if task}),
        MappingProxyType({name: model for name, model in models.items() if model}),
        train,
        MappingProxyType(trainings),
        sliding_window,
        analysis,
        regression,
        resume,
    )


def _task(document: Document, name: str) -> Task:
    """Validate a task; errors are those of all its parts."""
    location: Location = ("tasks", name)
    problems: list[str] = []
    keys, raw = None, None
    try:
        keys = document.section(location, _TaskKeys)
    except UserError as error:
        problems.extend(error.problems)
    try:
        raw = read_raw(document, name)
    except UserError as error:
        problems.extend(problem for problem in error.problems if problem not in problems)
    raise_problems(problems)
    assert keys is not None  # neither is, or there were problems
    assert raw is not None
    return Task(raw, keys.prepare, keys.train, keys.evaluate)


def _too_large(
    document: Document, location: Location, product: Product, tasks: Mapping[str, Task | None]
) -> list[str]:
    return [
        document.problem((*location, i), f"{size} is larger than tasks.{name}.raw.edge, {task.raw.edge}")
        for name, task in tasks.items()
        for i, size in enumerate(product.patch_sizes)
        if name in product.tasks and task and isinstance(task.raw, GeneratedRaw)
        if max(edges_of(size)) > task.raw.edge
    ]


def _split_problems(document: Document, tasks: Mapping[str, Task | None]) -> list[str]:
    problems = []
    for name, task in tasks.items():
        if task is None:
            continue
        split = task.prepare.split
        parts = (split.train, split.validation, split.test)
        wanted = sum(part for part in parts if isinstance(part, int))
        if isinstance(task.raw, GeneratedRaw) and wanted > task.raw.training.count:
            problems.append(
                document.problem(
                    ("tasks", name, "prepare", "split"),
                    f"asks for {wanted} volumes, but raw.training makes {task.raw.training.count}",
                )
            )
    return problems
