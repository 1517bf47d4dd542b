"""The parameters that decide a cell: `train`, `sliding_window`, `tasks.<task>.train`, `networks.<model>`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from context_fbr.config.document import Section

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


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
    on_bad_numbers: Literal["stop", "skip"]
    precision: Literal["float32", "bf16"]
    threads: Count


class SlidingWindow(Section):
    """Inference over a whole volume with windows of the patch size."""

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


class Resume(Section):
    """How a training saves itself."""

    save_every_minutes: Annotated[float, Field(ge=0)]
    """0: after every step."""
