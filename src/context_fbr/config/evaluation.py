"""Settings of scoring, `tasks.<task>.evaluate`, and all that the stage `evaluate` reads."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Section
from context_fbr.config.training import Model, SlidingWindow, Training, Window


class TaskEvaluation(Section):
    """Parameters of the scores that belong to the task."""

    surface_tolerance_mm: Annotated[float, Field(gt=0)]
    """Distance in mm up to which a surface counts as right in the surface Dice."""
    windows: Annotated[tuple[Window, ...], Field(min_length=1)] = ("patch",)
    """Inference windows that are scored; the first is the primary one, of predictions and results."""

    @field_validator("windows")
    @classmethod
    def _unique(cls, values: tuple[Window, ...]) -> tuple[Window, ...]:
        twice = [str(value) for value, times in Counter(values).items() if times > 1]
        if twice:
            raise ValueError(f"must hold each value once; {', '.join(twice)} occurs more than once")
        return values


def read_surface_tolerance_mm(document: Document, task: str) -> float:
    """Read all that the stage `baseline` reads of params.yaml; errors as in `Document.section`."""
    tolerance_mm: float = document.field(("tasks", task, "evaluate", "surface_tolerance_mm"), TaskEvaluation)
    return tolerance_mm


def read_windows(document: Document, task: str) -> tuple[Window, ...]:
    """Read the inference windows of a task's evaluation; errors as in `Document.section`."""
    return document.section(("tasks", task, "evaluate"), TaskEvaluation).windows


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that the stage `evaluate` reads for a cell: its `params` in dvc.yaml."""

    model: Model
    window: SlidingWindow
    threads: int
    scoring: TaskEvaluation

    @classmethod
    def read(cls, document: Document, cell: Cell) -> "EvaluateConfig":
        """Validate it; errors as in `Document.section`."""
        return cls(
            document.section(("models", cell.model), Model),
            document.section(("sliding_window",), SlidingWindow),
            document.field(("train", "threads"), Training),
            document.section(("tasks", cell.task, "evaluate"), TaskEvaluation),
        )

    def identity(self, cell: Cell) -> dict[str, object]:
        """Everything of it that decides the bits of an evaluation, as JSON can hold it."""
        return {
            "cell": cell.key,
            "network": self.model.block,
            "sliding_window": self.window.model_dump(mode="json"),
            "scoring": self.scoring.model_dump(mode="json"),
            "threads": self.threads,
        }
