"""The whole of params.yaml: the grid, its tasks and networks, and what must hold between them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from context_fbr.config.analysis import Analysis, Regression
from context_fbr.config.complaints import suggestion
from context_fbr.config.document import Document, Location, Section, SectionType
from context_fbr.config.evaluation import TaskEvaluation
from context_fbr.config.grid import Grid
from context_fbr.config.preprocessing import Prepare
from context_fbr.config.raw import Raw, SpheresRaw, read_raw
from context_fbr.config.training import Network, Resume, SlidingWindow, TaskTraining, Training
from context_fbr.core.errors import UserError, raise_problems

NAME = re.compile(r"[a-z0-9_]+")


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


class _Keys(Section):
    grid: object
    tasks: dict[str, object]
    networks: dict[str, object]
    train: object
    sliding_window: object
    analysis: object
    regression: object
    resume: object


@dataclass(frozen=True)
class Study:
    """Everything that params.yaml says."""

    document: Document
    grid: Grid
    tasks: Mapping[str, Task]
    networks: Mapping[str, Network]
    train: Training
    sliding_window: SlidingWindow
    analysis: Analysis
    regression: Regression
    resume: Resume


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
        except UserError as error:  # go on: all problems are reported together
            problems.extend(error.problems)
            return None

    grid = section(("grid",), Grid)
    tasks: dict[str, Task | None] = {}
    for name in document.root["tasks"]:
        try:
            tasks[name] = _task(document, name)
        except UserError as error:
            problems.extend(error.problems)
            tasks[name] = None
    networks = {name: section(("networks", name), Network) for name in document.root["networks"]}
    train = section(("train",), Training)
    sliding_window = section(("sliding_window",), SlidingWindow)
    analysis = section(("analysis",), Analysis)
    regression = section(("regression",), Regression)
    resume = section(("resume",), Resume)
    for kind, names in (("tasks", tasks), ("networks", networks)):
        problems += [
            document.problem((kind, name), "names hold a-z, 0-9 and _ only: `-` joins a cell's key")
            for name in names
            if not NAME.fullmatch(str(name))
        ]
    if grid is not None:
        problems += _unknown(document, "tasks", grid.tasks, tasks)
        problems += _unknown(document, "models", grid.models, networks)
        problems += _too_large(document, grid, tasks)
    if train is not None:
        problems += _protocol_problems(document, train, tasks)
    raise_problems(problems)
    assert grid is not None  # none of these is, or there were problems
    assert train is not None
    assert sliding_window is not None
    assert analysis is not None
    assert regression is not None
    assert resume is not None
    return Study(
        document,
        grid,
        MappingProxyType({name: task for name, task in tasks.items() if task}),
        MappingProxyType({name: network for name, network in networks.items() if network}),
        train,
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


def _unknown(document: Document, key: str, names: tuple[str, ...], known: Mapping[str, object]) -> list[str]:
    section = {"tasks": "tasks", "models": "networks"}[key]
    return [
        document.problem(("grid", key, i), f"{name!r} stands nowhere in {section}; {suggestion(name, known)}")
        for i, name in enumerate(names)
        if name not in known
    ]


def _too_large(document: Document, grid: Grid, tasks: Mapping[str, Task | None]) -> list[str]:
    return [
        document.problem(
            ("grid", "patch_sizes", i), f"{size} is larger than tasks.{name}.raw.edge, {task.raw.edge}"
        )
        for name, task in tasks.items()
        for i, size in enumerate(grid.patch_sizes)
        if name in grid.tasks and task and isinstance(task.raw, SpheresRaw) and size > task.raw.edge
    ]


def _protocol_problems(document: Document, train: Training, tasks: Mapping[str, Task | None]) -> list[str]:
    problems = []
    for name, task in tasks.items():
        if task is None:
            continue
        if task.train.epochs < train.validate_every_epochs:
            problems.append(
                document.problem(
                    ("tasks", name, "train", "epochs"),
                    f"{task.train.epochs} is less than train.validate_every_epochs, "
                    f"{train.validate_every_epochs}",
                )
            )
        split = task.prepare.split
        parts = (split.train, split.validation, split.test)
        wanted = sum(part for part in parts if isinstance(part, int))
        if isinstance(task.raw, SpheresRaw) and wanted > task.raw.training.count:
            problems.append(
                document.problem(
                    ("tasks", name, "prepare", "split"),
                    f"asks for {wanted} volumes, but raw.training makes {task.raw.training.count}",
                )
            )
    return problems
