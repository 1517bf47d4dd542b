"""Time, memory and disk of a cell, from its measured parts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from context_fbr.config.cell import Cell
from context_fbr.config.study import Study
from context_fbr_tools.study.planning.forecast.measure import Parts


@dataclass(frozen=True)
class Costs:
    """Costs of a cell on a machine."""

    train_s: float
    evaluate_s: float
    memory: int
    """Bytes, at most."""
    gpu_memory: int
    """Bytes of a GPU, at most; 0 on a CPU."""
    disk: int
    """Bytes of weights and predictions."""
    overhead_s: float = 0.0
    """Seconds outside of the stages."""

    @property
    def seconds(self) -> float:
        """Seconds of the whole cell."""
        return self.train_s + self.evaluate_s + self.overhead_s


def costs(cell: Cell, study: Study, parts: Parts, overhead_s: float) -> Costs:
    """Return the costs of a cell whose parts were measured, or those of another seed.

    `overhead_s` is what a cell takes outside of its stages, see overhead.py.
    """
    epochs, every = study.tasks[cell.task].train.epochs, study.training_of(cell).validate_every_epochs
    train_s = parts.load + epochs * parts.steps * parts.step + math.ceil(epochs / every) * parts.validation
    disk = parts.weights + parts.predictions
    return Costs(train_s, parts.evaluation, parts.memory, parts.gpu_memory, disk, overhead_s)


def started(cells: Mapping[Cell, Costs], tasks: Sequence[str]) -> list[float]:
    """Return the seconds of the cells in the order of `grid run`: by task, the longest first."""
    ordered = sorted(cells, key=lambda cell: (tasks.index(cell.task), -cells[cell].seconds))
    return [cells[cell].seconds for cell in ordered]


def wall_time(seconds: Sequence[float], places: int) -> float:
    """Return the time until all are done, each started in its turn at the first place that is free."""
    free = [0.0] * max(places, 1)
    for one in seconds:
        first = min(range(len(free)), key=free.__getitem__)
        free[first] += one
    return max(free)
