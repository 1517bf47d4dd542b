"""The training of one cell, from volumes in memory to the weights of the best epoch. It touches no file."""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.losses import DiceLoss

from context_fbr import sampling
from context_fbr.errors import UserError
from context_fbr.inference import segment
from context_fbr.padding import padded
from context_fbr.sampling import Candidates
from context_fbr.scoring import dice
from context_fbr.study.training import SlidingWindow, Training


@dataclass(frozen=True)
class Volume:
    """A prepared volume on the training's device, and where patches of it may be centred."""

    image: torch.Tensor
    """(x, y, z) float32."""
    label: torch.Tensor
    """(x, y, z) uint8."""
    where: Candidates
    background: float
    """Intensity of nothing, to pad with."""


@dataclass(frozen=True)
class Patches:
    """A batch: `batch_volumes` x `patches_per_volume` patches."""

    images: torch.Tensor
    """(batch, 1, p, p, p) float32, channels last in memory."""
    labels: torch.Tensor
    """(batch, 1, p, p, p) uint8."""
    names: tuple[str, ...]
    """The case of each patch."""


@dataclass(frozen=True)
class State:
    """What a training needs to go on after an epoch with the same bits.

    Random numbers are functions of seed and epoch, so no generator's state belongs to it. The
    tensors are the training's own: whoever keeps a state copies or saves it before the next epoch.
    """

    epoch: int
    best_validation_dice: float
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    number: int
    learning_rate: float
    loss: float
    """Mean over the steps."""
    validation_dice: float | None
    """Mean foreground Dice over the validation volumes, if the epoch was validated."""
    foreground_ratios: tuple[tuple[str, float], ...]
    """(case, foreground voxels / all voxels) of every patch, in the order of training."""
    weights: Mapping[str, torch.Tensor] | None
    """The state dict in main memory, if this epoch is the best so far."""
    state: Callable[[], State]
    """The complete state as of this epoch's end, until the next epoch starts."""


@dataclass(frozen=True)
class Protocol:
    """Everything besides data and network that decides a training."""

    settings: Training
    window: SlidingWindow
    epochs: int
    patch_size: int
    seed: int


def load_volume(
    name: str,
    image: np.ndarray,
    label: np.ndarray,
    device: torch.device,
    patch_size: int = 1,
    background: float = 0.0,
) -> Volume:
    """Put image (x, y, z) float32 and label (x, y, z) uint8 on the device, padded to hold a patch."""
    image, label = padded(image, patch_size, background), padded(label, patch_size, 0)
    where = sampling.candidates(name, image, label, background)
    return Volume(torch.from_numpy(image).to(device), torch.from_numpy(label).to(device), where, background)


def batches(volumes: Sequence[Volume], protocol: Protocol, epoch: int) -> Iterator[Patches]:
    """The batches of an epoch (from 1): each volume once, shuffled."""
    settings, size = protocol.settings, protocol.patch_size
    order = sampling.epoch_order(protocol.seed, epoch, len(volumes))
    for first in range(0, len(order), settings.batch_volumes):
        images, labels, names = [], [], []
        for volume in (volumes[i] for i in order[first : first + settings.batch_volumes]):
            for corner in sampling.patch_corners(
                volume.where,
                size,
                settings.patches_per_volume,
                settings.foreground_patch_probability,
                protocol.seed,
                epoch,
            ):
                place = tuple(slice(start, start + size) for start in corner)
                images.append(volume.image[place])
                labels.append(volume.label[place])
                names.append(volume.where.name)
        yield Patches(
            torch.stack(images)[:, None].contiguous(memory_format=torch.channels_last_3d),
            torch.stack(labels)[:, None],
            tuple(names),
        )


def train(
    network: torch.nn.Module,
    training: Sequence[Volume],
    validation: Sequence[Volume],
    protocol: Protocol,
    state: State | None = None,
) -> Iterator[Epoch]:
    """Train the network in place and yield each epoch as it ends; go on after `state`, if there is one.

    Adam; cosine from `learning_rate` to `final_learning_rate`, stepped per epoch; Dice loss with softmax over
    both classes. Every `validate_every_epochs` epochs, and after the last, the network is validated.

    Raises:
        UserError: if the loss is not finite, or a volume is smaller than the patch.
    """
    settings = protocol.settings
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=protocol.epochs, eta_min=settings.final_learning_rate
    )
    best, done = -1.0, 0
    if state is not None:
        network.load_state_dict(state.network)
        optimizer.load_state_dict(dict(state.optimizer))
        schedule.load_state_dict(dict(state.schedule))
        best, done = state.best_validation_dice, state.epoch
    for number in range(done + 1, protocol.epochs + 1):
        learning_rate = float(schedule.get_last_lr()[0])
        loss, ratios = _train_epoch(network, optimizer, training, protocol, number)
        schedule.step()
        validated = number % settings.validate_every_epochs == 0 or number == protocol.epochs
        score = validate(network, validation, protocol) if validated else None
        weights = None
        if score is not None and score > best:
            best = score
            weights = {name: tensor.cpu().clone() for name, tensor in network.state_dict().items()}

        def current(number: int = number, best: float = best) -> State:
            return State(number, best, network.state_dict(), optimizer.state_dict(), schedule.state_dict())

        yield Epoch(number, learning_rate, loss, score, ratios, weights, current)


def validate(network: torch.nn.Module, volumes: Sequence[Volume], protocol: Protocol) -> float:
    """Mean foreground Dice over the volumes that have foreground.

    Raises:
        UserError: if no volume has foreground.
    """
    network.eval()
    scores = []
    for volume in volumes:
        mask = segment(network, volume.image, protocol.patch_size, protocol.window, volume.background)
        shared, predicted, true = (
            int(count) for count in ((mask & volume.label).sum(), mask.sum(), volume.label.sum())
        )
        scores.append(dice(shared, predicted, true))
    defined = [score for score in scores if score is not None]
    if not defined:
        raise UserError("no validation volume has foreground: there is no Dice to choose the best epoch by")
    return math.fsum(defined) / len(defined)


def _forward(network: torch.nn.Module, batch: Patches) -> torch.Tensor:
    try:
        return network(batch.images)
    except (ValueError, torch.cuda.OutOfMemoryError) as error:
        # A norm refuses a single value per channel; a GPU has an end.
        raise UserError(
            f"the network cannot take a batch of shape {tuple(batch.images.shape)} in training "
            f"({str(error).splitlines()[0]}); change train.batch_volumes or train.patches_per_volume"
        ) from error


def _train_epoch(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    volumes: Sequence[Volume],
    protocol: Protocol,
    number: int,
) -> tuple[float, tuple[tuple[str, float], ...]]:
    loss_function = DiceLoss(to_onehot_y=True, softmax=True)
    network.train()
    losses, counts, names = [], [], []
    devices = [volumes[0].image.device] if volumes[0].image.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        # Dropout, where a network has it, is a function of (seed, epoch) too.
        torch.manual_seed(zlib.crc32(f"dropout {protocol.seed} {number}".encode()))
        for batch in batches(volumes, protocol, number):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_function(_forward(network, batch), batch.labels)
            loss.backward()
            optimizer.step()
            # Numbers stay on the device until the epoch ends: reading one would make the GPU wait.
            losses.append(loss.detach())
            counts.append(batch.labels.flatten(1).sum(dim=1, dtype=torch.int64))
            names.append(batch.names)
    values = torch.stack(losses).tolist()
    for step, value in enumerate(values):
        if not math.isfinite(value):
            raise UserError(
                f"epoch {number}, step {step + 1}: the loss is {value} on cases {sorted(set(names[step]))}; "
                "lower train.learning_rate in params.yaml"
            )
    voxels = protocol.patch_size**3
    ratios = tuple(
        (name, count / voxels)
        for name, count in zip(
            (name for group in names for name in group), torch.cat(counts).tolist(), strict=True
        )
    )
    return math.fsum(values) / len(values), ratios
