"""Cells of the study: the product `grid`, and further products, `arms`."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated

from pydantic import ConfigDict, Field, field_validator

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Location, Section, SectionType
from context_fbr.config.sizes import Size
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.patch_size import PatchSize


class Product(Section):
    """Every combination is a cell; an empty list makes none."""

    tasks: tuple[str, ...]
    """Names under `tasks`."""
    models: tuple[str, ...]
    """Names under `models`."""
    patch_sizes: tuple[Size, ...]
    """Edges of cubic patches in voxels; `32x32x16` for three edges, of thick slices."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...]
    """Seeds of the weights and of the sampling of patches."""

    @field_validator("*")
    @classmethod
    def _unique(cls, values: tuple[str | PatchSize, ...]) -> tuple[str | PatchSize, ...]:
        twice = [str(value) for value, times in Counter(values).items() if times > 1]
        if twice:
            raise ValueError(f"must hold each value once; {', '.join(twice)} occurs more than once")
        return values

    def cells_of(self, arm: str) -> tuple[Cell, ...]:
        """Return the cells in the order of the lists, seeds fastest."""
        values = product(self.tasks, self.models, self.patch_sizes, self.seeds)
        return tuple(Cell(*cell, arm=arm) for cell in values)


class Grid(Product):
    """The first product, which has cells."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names under `tasks`."""
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names under `models`."""
    patch_sizes: Annotated[tuple[Size, ...], Field(min_length=1)]
    """Edges of cubic patches in voxels; `32x32x16` for three edges, of thick slices."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)]
    """Seeds of the weights and of the sampling of patches."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells in the order of the grid, seeds fastest."""
        return self.cells_of("")


class _Arms(Section):
    """Products by name, each validated by itself."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class StudyCells:
    """Every cell of the study."""

    grid: Grid
    arms: Mapping[str, Product]
    """Arms by name."""

    @classmethod
    def read(cls, document: Document) -> "StudyCells":
        """Validate `grid` and `arms`.

        Raises:
            UserError: as `Document.section`, and if a cell is in two of them.
        """
        problems: list[str] = []

        def section(location: Location, model: type[SectionType]) -> SectionType | None:
            try:
                return document.section(location, model)
            except UserError as error:  # all problems are reported together
                problems.extend(error.problems)
                return None

        grid = section(("grid",), Grid)
        named = section(("arms",), _Arms) if "arms" in document.root else None
        arms: dict[str, Product] = {}
        for name in (named and named.model_extra) or ():
            try:
                arms[name] = document.validate(document.root["arms"][name], ("arms", name), Product)
            except UserError as error:
                problems.extend(error.problems)
        raise_problems(problems)
        assert grid is not None  # or there were problems
        study_cells = cls(grid, arms)
        raise_problems(study_cells._repeated(document))
        return study_cells

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the grid, then those of each arm."""
        arms = (cell for name, arm in self.arms.items() for cell in arm.cells_of(name))
        return (*self.grid.cells, *arms)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that have cells."""
        return tuple(dict.fromkeys(cell.task for cell in self.cells))

    @property
    def products(self) -> dict[Location, Product]:
        """The grid and the arms, by their place in params.yaml."""
        return {("grid",): self.grid} | {("arms", name): arm for name, arm in self.arms.items()}

    def name_problems(
        self,
        document: Document,
        listed: tuple[str, ...] | None,
        tasks: Collection[str],
        models: Collection[str],
    ) -> list[str]:
        """Return a problem for each name of a product that is not defined, or not in `study.tasks`.

        Args:
            document: that the products were read from.
            listed: `study.tasks`; None if it is not valid.
            tasks: names that are defined.
            models: names that are defined.
        """
        problems: list[str] = []
        unlisted = {name for name in tasks if listed is not None and name not in listed}
        for location, group in self.products.items():
            problems += _unknown(document, (*location, "tasks"), group.tasks, tasks)
            problems += _unknown(document, (*location, "models"), group.models, models)
            problems += _unlisted(document, (*location, "tasks"), group.tasks, unlisted)
        return problems + _unused(document, listed or (), self.tasks)

    def _repeated(self, document: Document) -> list[str]:
        """Return a problem for each arm with cells of the grid or of an arm before it."""
        problems, owners = [], dict.fromkeys(self.grid.cells, "grid")
        for name, arm in self.arms.items():
            repeated = [cell for cell in arm.cells_of(name) if cell in owners]
            if repeated:
                first = repeated[0]
                more = f" and {len(repeated) - 1} others" if len(repeated) > 1 else ""
                text = f"{first.key}{more}: in {owners[first]} as well; a cell belongs to one of them"
                problems.append(document.problem(("arms", name), text))
            owners |= {cell: f"arms.{name}" for cell in arm.cells_of(name) if cell not in owners}
        return problems


def _unknown(
    document: Document, location: Location, names: tuple[str, ...], known: Collection[str]
) -> list[str]:
    return [
        document.problem((*location, i), f"{name!r} is not in {location[-1]}; {suggestion(name, known)}")
        for i, name in enumerate(names)
        if name not in known
    ]


def _unlisted(
    document: Document, location: Location, names: tuple[str, ...], unlisted: Collection[str]
) -> list[str]:
    """Return a problem for each task that `study.tasks` lacks: no stage would make its data."""
    line = document.line(("study", "tasks"))
    return [
        document.problem((*location, i), f"{name!r} is not in study.tasks; add it there, line {line}")
        for i, name in enumerate(names)
        if name in unlisted
    ]


def _unused(document: Document, listed: tuple[str, ...], used: tuple[str, ...]) -> list[str]:
    return [
        document.problem(
            ("study", "tasks", i), f"{name!r} has no cells; remove it, or add it to grid.tasks or to an arm"
        )
        for i, name in enumerate(listed)
        if name not in used
    ] + [
        document.problem(("study", "tasks", i), f"{name!r} occurs more than once")
        for i, name in enumerate(listed)
        if name in listed[:i]
    ]
