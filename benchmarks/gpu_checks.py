"""Checks of a device against the CPU: losses, masks, resume, two equal runs."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from benchmarks.network_parts import SEED, batch_volumes, volume
from benchmarks.request import Request
from context_fbr.datasets import spheres
from context_fbr.networks import factory
from context_fbr.networks.sliding_window import segment
from context_fbr.training import loop
from context_fbr.training.batches import Protocol
from context_fbr.training.loop import TrainingState

STEPS = 6
Value = tuple[str, float, str]
"""Name of what was measured, its value, and its unit."""


def train(
    request: Request,
    device: torch.device,
    model: str,
    size: int,
    resumed: TrainingState | None = None,
    keep_at: int | None = None,
) -> tuple[torch.nn.Module, list[float], TrainingState | None]:
    """Train for `STEPS` steps; each is an epoch of its own.

    Args:
        request: the study.
        device: where to.
        model: of its networks.
        size: of the patch in voxels.
        resumed: state to continue from.
        keep_at: number of steps after which the state is kept.

    Returns:
        The network, the loss of each step, and the state that was kept.
    """
    epochs = STEPS + 1  # the last would be validated, and is never run
    settings = request.training.model_copy(update={"validate_every_epochs": epochs})
    network = factory.build(request.document, model, size, SEED).to(device)
    volumes = batch_volumes(replace(request, device=device))
    protocol = Protocol(settings, request.window, epochs, size, SEED)
    kept: list[TrainingState] = []

    def pause(state: Callable[[], TrainingState]) -> None:
        if keep_at is not None and not kept and state().epoch == keep_at + 1:
            kept.append(copy.deepcopy(state()))

    course = loop.train(network, volumes, [], protocol, resumed, pause)
    done = len(resumed.epoch_losses) if resumed else 0
    losses = [next(course).loss for _ in range(STEPS - done)]
    return network, losses, kept[0] if kept else None


def check(request: Request, model: str, size: int) -> Iterator[Value]:
    """Yield the differences between the device and the CPU, and whether it repeats and resumes itself."""
    device = request.device
    network, losses, state = train(request, device, model, size, keep_at=STEPS // 2)
    _, on_cpu, _ = train(request, torch.device("cpu"), model, size)
    differences = [abs(own - theirs) for own, theirs in zip(losses, on_cpu, strict=True)]
    yield "loss, first step, device minus CPU", differences[0], "Dice loss"
    yield f"loss, greatest of {STEPS} steps, device minus CPU", max(differences), "Dice loss"
    if device.type == "cuda":
        with without_tf32():
            _, exact, _ = train(request, device, model, size)
        differences = [abs(own - theirs) for own, theirs in zip(exact, on_cpu, strict=True)]
        yield f"loss, greatest of {STEPS} steps, without TF32", max(differences), "Dice loss"
    again, losses_again, _ = train(request, device, model, size)
    yield "two equal runs", float(losses == losses_again and equal(network, again)), "1: the same bits"
    assert state is not None
    resumed, _, _ = train(request, device, model, size, resumed=state)
    yield "resumed run", float(equal(network, resumed)), "1: the same bits"
    image = torch.from_numpy(volume(request, spheres.TEST, 0)[0])
    own = segment(network.eval(), image.to(device), size, request.window).cpu().numpy()
    theirs = segment(network.cpu(), image, size, request.window).numpy()
    yield "masks of one volume, device and CPU", float(np.mean(own != theirs)), "share of voxels that differ"


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolve in full float32; PyTorch's default on a GPU rounds the factors to 10 bits (TF32)."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Return true if two networks have the same bits."""
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )
