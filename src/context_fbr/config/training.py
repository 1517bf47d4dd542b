"""The parameters that decide a cell: `train`, `sliding_window`, `tasks.<task>.train`, `models.<model>`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Section

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Window = Literal["patch", "volume"] | Count
"""Windows of inference: as large as the patch, one that covers the volume, or cubes of an edge in voxels."""


class TaskTraining(Section):
    """What of the training belongs to the task."""

    epochs: Count


class Training(Section):
    """Optimisation of one cell, the same for all tasks and networks."""

    learning_rate: Positive
    final_learning_rate: Annotated[float, Field(ge=0)]
    batch_volumes: Count
    patches_per_volume: Count
    foreground_patch_probability: Annotated[float, Field(ge=0, le=1)]
    validate_every_epochs: Count
    validation_window: Window = "patch"
    on_bad_numbers: Literal["stop", "skip"]
    precision: Literal["float32", "bf16"]
    threads: Count


class SlidingWindow(Section):
    """Inference over a whole volume, whatever the size of its windows."""

    overlap: Annotated[float, Field(ge=0, lt=1)]
    voxels_per_batch: Count
    precision: Literal["float32", "bf16"]


class Network(Section):
    """A class of monai.networks.nets and its keyword arguments, which stand beside its name."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    network: str

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Keyword arguments as written in params.yaml."""
        return MappingProxyType(self.model_extra or {})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that the stage `train` reads for a cell: its `params` in dvc.yaml."""

    network: Network
    train: Training
    window: SlidingWindow
    epochs: int

    @classmethod
    def read(cls, document: Document, cell: Cell) -> "TrainConfig":
        """Validate it; errors as in `Document.section`."""
        return cls(
            document.section(("models", cell.model), Network),
            document.section(("train",), Training),
            document.section(("sliding_window",), SlidingWindow),
            document.section(("tasks", cell.task, "train"), TaskTraining).epochs,
        )

    def identity(self, cell: Cell) -> dict[str, object]:
        """Everything of it that decides the bits of a training, as JSON can hold it."""
        return {
            "cell": cell.key,
            "network": self.network.model_dump(mode="json"),
            # Without `on_bad_numbers`: up to the first of them it makes no difference.
            "train": self.train.model_dump(mode="json", exclude={"on_bad_numbers"}),
            "sliding_window": self.window.model_dump(mode="json"),
            "epochs": self.epochs,
        }


class Resume(Section):
    """How a training saves itself."""

    save_every_minutes: Annotated[float, Field(ge=0)]
    """0: after every step."""


def read_save_interval_s(document: Document) -> float:
    """Seconds between two checkpoints. It decides no result, so no stage depends on it.

    Raises:
        UserError: as `Document.section`.
    """
    return document.section(("resume",), Resume).save_every_minutes * 60
