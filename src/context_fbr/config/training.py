"""The parameters that decide a cell: `train`, `sliding_window`, `tasks.<task>.train`, `models.<model>`.

`tasks.<task>.train.train` overrides keys of `train`, and `models.<model>.train` overrides both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, Location, Section
from context_fbr.config.sizes import Count, Size
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import PatchSize, edges_of

Positive = Annotated[float, Field(gt=0)]
Window = Literal["patch", "volume"] | Size
"""Windows of inference: as large as the patch, one that covers the volume, or of a size in voxels."""
Centre = Literal["foreground", "background", "anywhere"]
"""Voxels on which a patch is centred: foreground, background above the background value, or any."""


class TaskTraining(Section):
    """Settings of the training that belong to the task."""

    epochs: Count
    """Passes over the training volumes."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of `train` with this task's values."""


class Training(Section):
    """Optimisation of one cell: `train`, with the overrides of the cell's task and model."""

    loss: Literal["dice", "dice_ce"]
    """Soft Dice, or Dice plus cross-entropy, both as in MONAI."""
    loss_over: Literal["patch", "batch"]
    """Voxels over which a Dice is computed: those of a patch, or of all patches of a batch together."""
    optimizer: Literal["adam", "adamw", "sgd"]
    """Class of torch.optim."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Momentum of SGD, in Nesterov's form."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Weight decay of the optimizer."""
    learning_rate: Positive
    """Learning rate at the start of the cosine."""
    final_learning_rate: Annotated[float, Field(ge=0)]
    """Learning rate at the end of the cosine, stepped once an epoch."""
    warmup_epochs: Annotated[int, Field(ge=0)]
    """Epochs of a linear rise before the cosine."""
    augmentation: Literal["none", "flips", "flips_intensity"]
    """Change of training patches: none, random flips, or flips and changes of intensity."""
    batch_volumes: Count
    """Volumes in a step."""
    core: Literal["patch"] | Count = "patch"
    """Edge in voxels of the central cube of a patch that the loss is computed on; `patch`: all of it."""
    patches_per_volume: Count | dict[Size, Count]
    """Number of patches of a volume in each epoch, or numbers by the size of the core."""
    foreground_patch_probability: Annotated[float, Field(ge=0, le=1)]
    """Probability that a patch is centred on foreground."""
    centres: Annotated[tuple[Centre, ...], Field(min_length=1)] | None = None
    """Kinds of centres in turn, in place of the probability."""
    validate_every_epochs: Count
    """The weights of the best validated epoch are kept."""
    validation_window: Window = "patch"
    """Inference window of the validation: `patch`, `volume`, or a size in voxels."""
    on_nonfinite: Literal["stop", "skip"]
    """Reaction to a loss or gradient that is NaN or infinite: end the training, or skip the step."""
    precision: Literal["float32", "bf16"]
    """Number format of the passes through the network."""
    threads: Count
    """CPU threads of a training; another number may give other bits."""

    def core_size(self, patch_size: PatchSize) -> PatchSize:
        """Return the size of the core of a patch in voxels."""
        return patch_size if self.core == "patch" else self.core

    def inner_core(self, patch_size: PatchSize) -> int | None:
        """Return the edge of the core if it is less than the patch, else None: all of a window counts."""
        return None if self.core == "patch" or self.core == patch_size else self.core

    def patches_of(self, patch_size: PatchSize) -> int:
        """Return the number of patches of a volume in each epoch, if `cell_problem` finds no problem."""
        patches = self.patches_per_volume
        return patches if isinstance(patches, int) else patches[self.core_size(patch_size)]

    def cell_problem(self, patch_size: PatchSize) -> tuple[str, str] | None:
        """Return the key and the problem of a patch size that these settings do not fit; None if they do."""
        core = self.core_size(patch_size)
        if any(edge > most for edge, most in zip(edges_of(core), edges_of(patch_size), strict=True)):
            return "core", f"{core} is larger than the patch, {patch_size}"
        if isinstance(self.patches_per_volume, dict) and core not in self.patches_per_volume:
            known = ", ".join(map(str, self.patches_per_volume))
            return "patches_per_volume", f"has no number for a core of {core} voxels, only for {known}"
        return None


class SlidingWindow(Section):
    """Inference over a whole volume, whatever the size of its windows."""

    overlap: Annotated[float, Field(ge=0, lt=1)]
    """Share of a window that overlaps with the next."""
    voxels_per_batch: Count
    """Greatest number of voxels that pass the network at once."""
    precision: Literal["float32", "bf16"]
    """Number format of validation, test and `context-fbr predict`."""


class Model(Section):
    """A class of monai.networks.nets, its arguments, `norm` and `merge_norm`, and overrides of `train`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    network: str
    """Name of the class."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of `train` with this model's values."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Keyword arguments as written in params.yaml."""
        return MappingProxyType(self.model_extra or {})

    @property
    def block(self) -> dict[str, Any]:
        """Everything that the network is built from, as JSON can hold it."""
        return self.model_dump(mode="json", exclude={"train"})


def read_training(document: Document, task: str, model: str) -> Training:
    """Read `train` with the overrides of a task and of a model, which come last.

    Raises:
        UserError: as `Document.section`, with the lines of the overrides.
    """
    training = document.section(("train",), Training)
    for location, overrides in _overrides(document, task, model).items():
        if "threads" in overrides:
            text = "cannot be overridden: validation and test use train.threads too; change it there"
            raise UserError(document.problem((*location, "threads"), text))
        training = document.validate({**training.model_dump(), **overrides}, location, Training)
    return training


def location_of(document: Document, task: str, model: str, key: str) -> Location:
    """Return the place in params.yaml that decides a key of `Training` for a task and a model."""
    places = [place for place, keys in _overrides(document, task, model).items() if key in keys]
    return (*places[-1], key) if places else ("train", key)


def _overrides(document: Document, task: str, model: str) -> dict[Location, dict[str, Any]]:
    """Return the overrides of `train` by their place, the last of which counts."""
    of_task = document.section(("tasks", task, "train"), TaskTraining).train
    of_model = document.section(("models", model), Model).train
    return {("tasks", task, "train", "train"): of_task, ("models", model, "train"): of_model}


Trainings = Mapping[tuple[str, str], Training]
"""Training by (task, model)."""


def patch_problems(document: Document, cells: Iterable[Cell], trainings: Trainings) -> list[str]:
    """Return a problem for each core, or number of patches, that does not fit a patch size of its cells."""
    problems: dict[str, None] = {}
    for cell in cells:
        training = trainings.get((cell.task, cell.model))
        if training and (found := training.cell_problem(cell.patch_size)):
            key, text = found
            place = location_of(document, cell.task, cell.model, key)
            problems[document.problem(place, f"{text} (models.{cell.model}, tasks.{cell.task})")] = None
    return [*problems]


def epoch_problems(document: Document, trainings: Trainings, epochs: Mapping[str, int]) -> list[str]:
    """Return a problem for trainings that would end before they are validated, or before they are warm.

    Args:
        document: params.yaml.
        trainings: of all tasks and models.
        epochs: number by task.
    """
    problems: dict[str, None] = {}
    for (task, model), training in trainings.items():
        for key, least in (("validate_every_epochs", 0), ("warmup_epochs", 1)):
            value, place = getattr(training, key), location_of(document, task, model, key)
            if epochs[task] >= value + least:
                continue
            text = f"{value} is too many for tasks.{task}.train.epochs, {epochs[task]}"
            if place == ("train", key):  # no override: the task is the special case
                place = ("tasks", task, "train", "epochs")
                text = f"{epochs[task]} is too few for train.{key}, {value}"
            problems[document.problem(place, text)] = None
    return [*problems]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that the stage `train` reads for a cell: its `params` in dvc.yaml."""

    model: Model
    train: Training
    window: SlidingWindow
    epochs: int

    @classmethod
    def read(cls, document: Document, cell: Cell) -> "TrainConfig":
        """Validate it.

        Raises:
            UserError: as `Document.section`, and if the core or the number of patches does not fit the patch.
        """
        training = read_training(document, cell.task, cell.model)
        if problem := training.cell_problem(cell.patch_size):
            key, text = problem
            place = location_of(document, cell.task, cell.model, key)
            raise UserError(document.problem(place, f"{cell.key}: {text}"))
        return cls(
            document.section(("models", cell.model), Model),
            training,
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
