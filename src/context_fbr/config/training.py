"""The parameters that decide a cell: `train`, `sliding_window`, `tasks.<task>.train`, `models.<model>`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Section
from context_fbr.core.errors import UserError

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Window = Literal["patch", "volume"] | Count
"""Windows of inference: as large as the patch, one that covers the volume, or cubes of an edge in voxels."""


class TaskTraining(Section):
    """Settings of the training that belong to the task."""

    epochs: Count


class Training(Section):
    """Optimisation of one cell: `train`, with the overrides of the cell's model."""

    loss: Literal["dice", "dice_ce"]
    loss_over: Literal["patch", "batch"]
    """Voxels over which a Dice is computed: those of a patch, or of all patches of a batch together."""
    optimizer: Literal["adam", "adamw", "sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Of SGD, in Nesterov's form."""
    weight_decay: Annotated[float, Field(ge=0)]
    learning_rate: Positive
    final_learning_rate: Annotated[float, Field(ge=0)]
    warmup_epochs: Annotated[int, Field(ge=0)]
    augmentation: Literal["none", "flips", "flips_intensity"]
    batch_volumes: Count
    patches_per_volume: Count
    foreground_patch_probability: Annotated[float, Field(ge=0, le=1)]
    validate_every_epochs: Count
    validation_window: Window = "patch"
    on_nonfinite: Literal["stop", "skip"]
    precision: Literal["float32", "bf16"]
    threads: Count


class SlidingWindow(Section):
    """Inference over a whole volume, whatever the size of its windows."""

    overlap: Annotated[float, Field(ge=0, lt=1)]
    voxels_per_batch: Count
    precision: Literal["float32", "bf16"]


class Model(Section):
    """A class of monai.networks.nets, its keyword arguments beside its name, and overrides of `train`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    network: str
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of `Training` with this model's values."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Keyword arguments as written in params.yaml."""
        return MappingProxyType(self.model_extra or {})

    @property
    def block(self) -> dict[str, Any]:
        """Everything that the network is built from, as JSON can hold it."""
        return self.model_dump(mode="json", exclude={"train"})


def read_training(document: Document, model: str) -> Training:
    """Read `train` with the overrides of a model.

    Raises:
        UserError: as `Document.section`, with the lines of the overrides.
    """
    common = document.section(("train",), Training)
    overrides = document.section(("models", model), Model).train
    location = ("models", model, "train")
    if "threads" in overrides:
        text = "cannot be overridden: validation and test use train.threads too; change it there"
        raise UserError(document.problem((*location, "threads"), text))
    return document.validate({**common.model_dump(), **overrides}, location, Training)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that the stage `train` reads for a cell: its `params` in dvc.yaml."""

    model: Model
    train: Training
    window: SlidingWindow
    epochs: int

    @classmethod
    def read(cls, document: Document, cell: Cell) -> "TrainConfig":
        """Validate it; errors as in `Document.section`."""
        return cls(
            document.section(("models", cell.model), Model),
            read_training(document, cell.model),
            document.section(("sliding_window",), SlidingWindow),
            document.section(("tasks", cell.task, "train"), TaskTraining).epochs,
        )

    def identity(self, cell: Cell) -> dict[str, object]:
        """Everything of it that decides the bits of a training, as JSON can hold it."""
        return {
            "cell": cell.key,
            "network": self.model.block,
            # Without `on_nonfinite`, which makes no difference up to the first step that is not finite.
            "train": self.train.model_dump(mode="json", exclude={"on_nonfinite"}),
            "sliding_window": self.window.model_dump(mode="json"),
            "epochs": self.epochs,
        }


class Resume(Section):
    """Settings of checkpoints."""

    save_every_minutes: Annotated[float, Field(ge=0)]
    """0: after every step."""


def read_save_interval_s(document: Document) -> float:
    """Return the seconds between two checkpoints. It decides no result, so no stage depends on it.

    Raises:
        UserError: as `Document.section`.
    """
    return document.section(("resume",), Resume).save_every_minutes * 60
