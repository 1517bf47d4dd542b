"""What passes through a network, or comes out of it: steps, whole volumes, scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceLoss
from scipy.ndimage import gaussian_filter

from benchmarks import pairs
from benchmarks.original import evaluation, training
from benchmarks.pairs import Pairs, units
from benchmarks.request import Configuration, Measurement, Request
from context_fbr.config.document import Document
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.datasets import spheres
from context_fbr.metrics.overlap import score as score_masks
from context_fbr.networks import factory, precision
from context_fbr.networks import sliding_window as inference
from context_fbr.networks.convolutions import unguard
from context_fbr.networks.memory_format import memory_format
from context_fbr.training import batches, loop
from context_fbr.training.batches import Protocol, Volume
from context_fbr.training.history import Epoch

STEPS: Sequence[Configuration] = (("unet", 32), ("attention_unet", 32), ("unetr", 32), ("unet", 64))
WINDOWS: Sequence[Configuration] = (("unet", 32), ("unet", 64), ("unet", 96))
WHOLE: Sequence[Configuration] = (("unet", 96),)
WHOLE_DESK: Sequence[Configuration] = (("unet", 48), ("attention_unet", 48), ("unetr", 48))
"""Patches as large as the volumes of the paper profile, and of the desk profile."""
DESK = Path("profiles/desk.yaml")
SEED = 1
SPHERES = 5
SCAN = (250, 250, 100)
"""Voxels, of a spleen's CT as it is prepared."""
SPECKLES = 1e-4
"""Of all voxels: few, but anywhere, so that surfaces are far apart."""


def volume(request: Request, stream: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """A volume of the task: image (x, y, z) float32 and label (x, y, z) uint8; as in `spheres.generate`."""
    raw = request.document.section(("tasks", request.task, "raw"), SpheresRaw)
    return spheres.generate(raw, stream, index)


def batch_volumes(request: Request) -> list[Volume]:
    """As many training volumes as one batch has, on the device."""
    return [
        batches.load_volume(f"{request.task}_{i:03d}", *volume(request, spheres.TRAINING, i), request.device)
        for i in range(request.training.batch_volumes)
    ]


def our_step(request: Request, model: str, size: int, steps: int, merges: bool = True) -> Callable[[], Epoch]:
    """A function that runs the next step of a real training, and can do so `steps` times.

    The step is an epoch of its own: cutting its patches and reading its loss are part of it.
    """
    epochs = steps + 1  # the last would be validated, and is never run
    settings = request.training.model_copy(update={"validate_every_epochs": epochs})
    network = factory.build(request.document, model, size, SEED).to(request.device)
    batch = settings.batch_volumes * settings.patches_of(size)
    precision.check(network, f"models.{model}", settings.precision, batch, size)
    protocol = Protocol(settings, request.window, epochs, size, SEED, merges)
    course = loop.train(network, batch_volumes(request), [], protocol)
    return lambda: next(course)


def original_step(request: Request, model: str, size: int) -> Callable[[], float]:
    """A function that runs a step on always the same patches, which were cut before; its loss."""
    network = unguard(factory.build(request.document, model, size, SEED)).to(request.device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=request.training.learning_rate)
    loss_function = DiceLoss(to_onehot_y=True, softmax=True)
    protocol = Protocol(request.training, request.window, epochs=1, patch_size=size, seed=SEED)
    (batch,) = islice(batches.batches(batch_volumes(request), protocol, epoch=1, merged=False), 1)
    images, labels = batch.images.contiguous(), batch.labels.float()
    return lambda: training.step(network, optimizer, loss_function, images, labels)


def step(request: Request) -> Iterator[Measurement]:
    """One step of a training."""
    repeats = request.repeats or 5
    for model, size in request.configurations(STEPS):
        yield Measurement(
            "step",
            model,
            size,
            pairs.measure(
                original_step(request, model, size),
                our_step(request, model, size, units(repeats)),
                repeats,
                request.device,
                f"step {model} {size}",
            ),
        )


def equal_patches(request: Request) -> Iterator[Measurement]:
    """One step where the patch is the volume: every patch, against one of several equal ones."""
    desk = replace(request, document=Document.read(DESK))
    for part, of, default in (
        ("equal_patches", request, WHOLE),
        ("equal_patches_desk", desk, WHOLE_DESK),
    ):
        repeats = request.repeats or 5
        for model, size in of.configurations(default):
            every, one = (our_step(of, model, size, units(repeats), merges) for merges in (False, True))
            what = f"{part} {model} {size}"
            yield Measurement(part, model, size, pairs.measure(every, one, repeats, request.device, what))


def sliding_window(request: Request) -> Iterator[Measurement]:
    """Logits of one test volume."""
    image = torch.from_numpy(volume(request, spheres.TEST, 0)[0]).to(request.device)
    for model, size in request.configurations(WINDOWS):
        theirs, own = (
            factory.build(request.document, model, size, SEED).to(request.device).eval() for _ in range(2)
        )
        unguard(theirs)
        own.to(memory_format=memory_format(own))  # type: ignore[call-overload]  # as after a training

        def original(network: torch.nn.Module = theirs, window: int = size) -> torch.Tensor:
            return evaluation.logits(network, image[None, None], window, request.window)

        def ours(network: torch.nn.Module = own, window: int = size) -> torch.Tensor:
            return inference.sliding_window(network, image, window, request.window)

        what = f"sliding_window {model} {size}"
        measured = pairs.measure(original, ours, request.repeats or 9, request.device, what)
        yield Measurement("sliding_window", model, size, measured)


def logits_of(foreground: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
    """Logits (2, x, y, z) float32, none of them 0, whose greatest say a mask (x, y, z)."""
    sizes = generator.uniform(0.5, 1.5, foreground.shape).astype(np.float32)
    evidence = np.where(foreground, sizes, -sizes)
    return torch.from_numpy(np.stack([-evidence, evidence]))


def speckled(label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A label (x, y, z) with some voxels flipped, as of a network at its beginning."""
    flipped: np.ndarray = (label > 0) ^ (generator.random(label.shape) < SPECKLES)
    return flipped


def rough(label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A label (x, y, z) with another surface, a voxel or two off, as of a trained network."""
    noise = generator.normal(0, 1.5, label.shape)
    moved: np.ndarray = gaussian_filter(label.astype(np.float32) + noise, sigma=2) > 0.5
    return moved


def score_cases(request: Request) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """Logits and label of each case: generated spheres, and an organ in a scan of 250 x 250 x 100 voxels."""
    generator = np.random.default_rng(SEED)
    labels = [volume(request, spheres.TEST, index)[1] for index in range(SPHERES)]
    grid = np.indices(SCAN, sparse=True)
    squares = sum(((g - edge * 0.4) / (edge * 0.15)) ** 2 for g, edge in zip(grid, SCAN, strict=True))
    labels.append((np.asarray(squares) <= 1).astype(np.uint8))
    for label in labels:
        for predict in (rough, speckled):
            yield logits_of(predict(label, generator), generator).to(request.device), label


def score(request: Request) -> Iterator[Measurement]:
    """From the logits of a volume to its scores: over all cases, each as often as the others."""
    cases = list(score_cases(request))
    repeats = -(-(request.repeats or 2 * len(cases)) // len(cases))
    found = []
    for number, (outputs, label) in enumerate(cases, start=1):
        batch = outputs[None], torch.from_numpy(label).to(request.device)[None, None].float()

        def original(batch: tuple[torch.Tensor, torch.Tensor] = batch) -> object:
            return evaluation.scores(*batch)

        def ours(outputs: torch.Tensor = outputs, label: np.ndarray = label) -> object:
            return score_masks(inference.mask(outputs).cpu().numpy(), label)

        what = f"scoring {number}/{len(cases)}"
        found.append(pairs.measure(original, ours, repeats, request.device, what))
    yield Measurement("scoring", "", None, Pairs.joined(found))
