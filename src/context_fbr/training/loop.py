"""The training of one cell, from volumes in memory to the weights of the best epoch. It touches no file."""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import voxels as voxels_of
from context_fbr.metrics.overlap import dice
from context_fbr.networks import windows
from context_fbr.networks.memory_format import memory_format
from context_fbr.networks.precision import Precision, autocast
from context_fbr.networks.sliding_window import segment
from context_fbr.training import steps
from context_fbr.training.batches import Patches, Protocol, Volume, batches
from context_fbr.training.history import Epoch
from context_fbr.training.recipe.loss import loss
from context_fbr.training.recipe.optimizer import learning_rates, optimizer
from context_fbr.training.steps import PendingStep, Step


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training resumes from with the same bits, after any of its steps.

    Random numbers are functions of seed, epoch and step, and the learning rate is a function of the epoch, so
    neither a generator's state nor a schedule's belongs to it. The tensors are the training's own: copy or
    save a state before the next step.
    """

    epoch: int
    """Epoch in progress, from 1."""
    steps: tuple[Step, ...]
    """Finished steps of this epoch."""
    epoch_losses: tuple[float, ...]
    """Mean losses of the epochs before."""
    best_validation_dice: float
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]


Pause = Callable[[Callable[[], TrainingState]], object]
"""Called where a training can stop, with a function that gives its state."""


@dataclass
class _Course:
    """Progress of a training: the only mutable object here."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 1
    known: list[Step] = field(default_factory=list)
    unread: list[PendingStep] = field(default_factory=list)
    epoch_losses: list[float] = field(default_factory=list)
    best: float = -1.0

    def read(self) -> list[Step]:
        """Return the steps of the epoch so far; errors as in `steps.check`."""
        self.known += steps.read(self.unread)
        self.unread.clear()
        steps.check(self.known, self.epoch, self.epoch_losses)
        return self.known

    def state(self) -> TrainingState:
        """Return the complete state, with finite losses; errors as in `read`."""
        done, losses = tuple(self.read()), tuple(self.epoch_losses)
        return TrainingState(
            self.epoch, done, losses, self.best, self.network.state_dict(), self.optimizer.state_dict()
        )

    def restore(self, state: TrainingState) -> None:
        """Go back to a state."""
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(dict(state.optimizer))
        self.epoch, self.known, self.best = state.epoch, list(state.steps), state.best_validation_dice
        self.epoch_losses = list(state.epoch_losses)


def _go_on(_: Callable[[], TrainingState]) -> None:
    pass


def train(
    network: torch.nn.Module,
    training: Sequence[Volume],
    validation: Sequence[Volume],
    protocol: Protocol,
    state: TrainingState | None = None,
    pause: Pause = _go_on,
) -> Iterator[Epoch]:
    """Train the network in place and yield each epoch as it ends; resume from `state`, if there is one.

    Loss, optimizer, learning rates and augmentation are those of the settings. Every
    `validate_every_epochs` epochs, and after the last, the network is validated.

    `pause` is called before the first step, after each step and after each volume of a validation; what it
    raises ends the training.

    Raises:
        UserError: if loss or gradient is not finite and `on_nonfinite` is stop, or a volume is smaller than
            the patch.
    """
    settings = protocol.settings
    network.to(memory_format=memory_format(network))  # type: ignore[call-overload]
    rates = learning_rates(settings, protocol.epochs)
    course = _Course(network, optimizer(network.parameters(), settings))
    if state is not None:
        course.restore(state)
        del state
    while course.epoch <= protocol.epochs:
        number = course.epoch
        for group in course.optimizer.param_groups:
            group["lr"] = rates[number - 1]
        _train_epoch(course, training, protocol, pause)
        done = course.read()
        validated = number % settings.validate_every_epochs == 0 or number == protocol.epochs
        score = validate(network, validation, protocol, lambda: pause(course.state)) if validated else None
        weights = None
        if score is not None and score > course.best:
            course.best = score
            weights = {name: tensor.cpu().clone() for name, tensor in network.state_dict().items()}
        mean_loss = steps.mean_loss(done, number)
        ratios = tuple(
            (case, voxels / voxels_of(protocol.core))
            for step in done
            for case, voxels in zip(step.cases, step.foreground_voxels, strict=True)
        )
        course.epoch, course.known = number + 1, []
        course.epoch_losses.append(mean_loss)
        losses, skipped = tuple(step.loss for step in done), sum(step.skipped for step in done)
        yield Epoch(number, rates[number - 1], mean_loss, losses, score, ratios, skipped, weights)


def validate(
    network: torch.nn.Module,
    volumes: Sequence[Volume],
    protocol: Protocol,
    pause: Callable[[], object] = lambda: None,
) -> float:
    """Return the mean Dice of a structure over the volumes that have it; `pause` is called after each.

    Of several structures it is the mean of theirs; one that no volume has does not count.

    Raises:
        UserError: if no volume has foreground.
    """
    network.eval()
    size = protocol.patch_size
    resolved = windows.resolve([protocol.settings.validation_window], size, windows.has_fixed_size(network))
    shapes = windows.shapes_of(network, resolved or (size,), [volume.label.shape for volume in volumes])
    scores: list[list[float]] = [[] for _ in range(protocol.structures)]
    for volume in volumes:
        (window,) = shapes[volume.label.shape]
        found = segment(
            network, volume.image, window, protocol.window, volume.background, protocol.inner_core
        )
        for number, own in enumerate(scores, start=1):
            mask, label = found == number, volume.label == number
            shared, predicted, true = (
                int(count) for count in ((mask & label).sum(), mask.sum(), label.sum())
            )
            score = dice(shared, predicted, true)
            own += [] if score is None else [score]
        pause()
    means = [math.fsum(own) / len(own) for own in scores if own]
    if not means:
        raise UserError("no validation volume has foreground: there is no Dice to choose the best epoch by")
    return math.fsum(means) / len(means)


def _forward(network: torch.nn.Module, batch: Patches, precision: Precision) -> torch.Tensor:
    try:
        with autocast(batch.images.device, precision):
            images = batch.images.contiguous(memory_format=memory_format(network))
            outputs: torch.Tensor = network(images)
        return outputs.float()
    except (ValueError, torch.cuda.OutOfMemoryError) as error:
        # A norm refuses a single value per channel; the memory of a GPU is limited.
        raise UserError(
            f"the network cannot take a batch of shape {tuple(batch.images.shape)} in training "
            f"({str(error).splitlines()[0]}); change train.batch_volumes or train.patches_per_volume"
        ) from error


def _drops(network: torch.nn.Module) -> bool:
    """Return whether a layer draws random numbers in training, so that equal patches have other outputs."""
    return any(
        type(layer).__name__.startswith("Drop") and (getattr(layer, "p", 0) or getattr(layer, "drop_prob", 0))
        for layer in network.modules()
    )


def _train_epoch(course: _Course, volumes: Sequence[Volume], protocol: Protocol, pause: Pause) -> None:
    """Run the steps of the epoch that are not done yet."""
    network, settings = course.network, protocol.settings
    skips, merged = settings.on_nonfinite == "skip", protocol.merges and not _drops(network)
    network.train()
    pause(course.state)
    devices = [volumes[0].image.device] if volumes[0].image.is_cuda else []
    done = len(course.known)
    for number, batch in enumerate(batches(volumes, protocol, course.epoch, done, merged), start=done + 1):
        before = [buffer.clone() for buffer in network.buffers()] if skips else []
        course.optimizer.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=devices):
            # Dropout, where a network has it, is a function of (seed, epoch, step) too.
            torch.manual_seed(zlib.crc32(f"dropout {protocol.seed} {course.epoch} {number}".encode()))
            outputs = batch.supervised(_forward(network, batch, settings.precision))
            value = loss(settings.loss, settings.loss_over, batch.copies)(outputs, batch.labels)
        value.backward()
        norm = steps.gradient_norm(network)
        skipped = skips and not bool(torch.isfinite(value) & torch.isfinite(norm))
        if skipped:  # undo the step, also in the running statistics of batch norm
            for buffer, old in zip(network.buffers(), before, strict=True):
                buffer.copy_(old)
        else:
            course.optimizer.step()
        pending = (batch.names, batch.labels, value.detach(), norm, skipped, batch.copies)
        course.unread.append(PendingStep.of(*pending))
        pause(course.state)
