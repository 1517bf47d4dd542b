"""A training step as a GPU sees it: nothing is read back before the end of the epoch."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow, Training
from context_fbr.networks import factory
from context_fbr.training import batches, loop
from context_fbr.training.batches import Protocol, Volume

WAITS = ("item", "cpu", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "nonzero")
"""Methods of a tensor for which a GPU has to finish all that was asked of it."""
ON_THE_CPU = {("torch/optim/optimizer.py", "_get_value"), ("monai/losses/dice.py", "forward")}
"""Functions that read tensors which are on the CPU with a GPU, too: Adam's counts of steps, a list of axes."""
CPU = torch.device("cpu")


@contextmanager
def recorded(names: tuple[str, ...], into: list[str]) -> Iterator[None]:
    """Record the calls of methods of a tensor, by name."""
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            original: Callable[..., object] = getattr(torch.Tensor, name)

            def call(
                self: torch.Tensor,
                *arguments: object,
                _name: str = name,
                _original: Callable[..., object] = original,
                **options: object,
            ) -> object:
                code = sys._getframe(1).f_code
                known = any(
                    code.co_filename.endswith(file) and code.co_name == name for file, name in ON_THE_CPU
                )
                if not known:
                    into.append(_name)
                return _original(self, *arguments, **options)

            patch.setattr(torch.Tensor, name, call)
        yield


def data(size: int) -> list[Volume]:
    generator = np.random.default_rng(3)
    made = []
    for number in range(4):
        image = generator.random((24, 24, 24), dtype=np.float32) + 0.1
        label = np.zeros(image.shape, np.uint8)
        label[4:12, 5:13, 6:15] = 1
        made.append(batches.load_volume(f"case {number}", image, label, CPU, size))
    return made


@pytest.mark.parametrize("model", ["unet", "attention_unet", "unetr"])
@pytest.mark.parametrize("augmentation", ["none", "flips_intensity"])
def test_nothing_is_read_from_the_device_within_an_epoch_s_steps(
    params: Path, model: str, augmentation: str
) -> None:
    torch.set_num_threads(1)
    document = Document.read(params)
    settings = document.section(("train",), Training).model_copy(
        update={"augmentation": augmentation, "validate_every_epochs": 2}
    )
    plan = Protocol(settings, document.section(("sliding_window",), SlidingWindow), 2, 16, 1)
    network = factory.build(document, model, 16, seed=1)
    volumes = data(16)
    waits: list[str] = []
    pauses: list[int] = []
    epochs = loop.train(network, volumes, volumes[:1], plan, None, lambda _: pauses.append(len(waits)))
    with recorded(WAITS, waits):
        next(epochs)
    assert len(pauses) == 1 + len(volumes) // settings.batch_volumes  # before the first step and after each
    during = waits[pauses[0] : pauses[-1]]
    assert during == []
    assert waits[pauses[-1] :].count("tolist") == 3  # losses, norms and counts of all steps together


def test_the_recorder_sees_a_wait(params: Path) -> None:
    """The control: with `on_nonfinite: skip` every step has to know its loss."""
    document = Document.read(params)
    settings = document.section(("train",), Training).model_copy(update={"on_nonfinite": "skip"})
    plan = Protocol(settings, document.section(("sliding_window",), SlidingWindow), 1, 16, 1)
    waits: list[str] = []
    with recorded(WAITS, waits):
        next(loop.train(factory.build(document, "unet", 16, seed=1), data(16), data(16)[:1], plan))
    assert waits.count("__bool__") >= 2
