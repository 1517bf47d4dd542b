"""The grid of cells: `grid`."""

from collections import Counter
from itertools import product
from typing import Annotated

from pydantic import Field, field_validator

from context_fbr.config.cell import Cell
from context_fbr.config.document import Section


class Grid(Section):
    """Every combination is a cell."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    patch_sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)]

    @field_validator("*")
    @classmethod
    def _unique(cls, values: tuple[str | int, ...]) -> tuple[str | int, ...]:
        twice = sorted(value for value, times in Counter(values).items() if times > 1)
        if twice:
            raise ValueError(f"must hold each value once; {twice} stand more than once")
        return values

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells in the order of the grid, seeds fastest."""
        return tuple(
            Cell(*values) for values in product(self.tasks, self.models, self.patch_sizes, self.seeds)
        )
