"""Settings of scoring, `tasks.<task>.evaluate`, and all that the stage `evaluate` reads."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Section
from context_fbr.config.training import Model, SlidingWindow, Training


class TaskEvaluation(Section):
    """Parameters of the scores that belong to the task."""

    surface_tolerance_mm: Annotated[float, Field(gt=0)]
    """Distance in mm up to which a surface counts as right in the surface Dice."""


def read_surface_tolerance_mm(document: Document, task: str) -> float:
    """Read all that the stage `baseline` reads of params.yaml; errors as in `Document.section`."""
    return document.section(("tasks", task, "evaluate"), TaskEvaluation).surface_tolerance_mm


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that the stage `evaluate` reads for a cell: its `params` in dvc.yaml."""

    model: Model
    window: SlidingWindow
    threads: int
    surface_tolerance_mm: float

    @classmethod
    def read(cls, document: Document, cell: Cell) -> "EvaluateConfig":
        """Validate it; errors as in `Document.section`."""
        return cls(
            document.section(("models", cell.model), Model),
            document.section(("sliding_window",), SlidingWindow),
            document.field(("train", "threads"), Training),
            read_surface_tolerance_mm(document, cell.task),
        )

    def identity(self, cell: Cell) -> dict[str, object]:
        """Everything of it that decides the bits of an evaluation, as JSON can hold it."""
        return {
            "cell": cell.key,
            "network": self.model.block,
            "sliding_window": self.window.model_dump(mode="json"),
            "surface_tolerance_mm": self.surface_tolerance_mm,
            "threads": self.threads,
        }
