"""What must hold between the settings of a training and its cells: cores, numbers of patches, epochs."""

from collections.abc import Iterable, Mapping

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.training import Training, location_of

Trainings = Mapping[tuple[str, str], Training]
"""By (task, model)."""


def of_patches(document: Document, cells: Iterable[Cell], trainings: Trainings) -> list[str]:
    """Return a problem for each core, or number of patches, that does not fit a patch size of its cells."""
    problems: dict[str, None] = {}
    for cell in cells:
        training = trainings.get((cell.task, cell.model))
        if training and (found := training.cell_problem(cell.patch_size)):
            key, text = found
            place = location_of(document, cell.task, cell.model, key)
            problems[document.problem(place, f"{text} (models.{cell.model}, tasks.{cell.task})")] = None
    return [*problems]


def of_epochs(document: Document, trainings: Trainings, epochs: Mapping[str, int]) -> list[str]:
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
