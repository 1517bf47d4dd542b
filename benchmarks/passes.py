"""The seconds that pass inside of a network: forward, backward, and the optimiser's step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from benchmarks.pairs import synchronise


@dataclass
class Passes:
    """Seconds and number of passes so far; what is watched continues adding to them."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    number: dict[str, int] = field(default_factory=dict)
    begun: float = 0.0

    def begin(self) -> None:
        """Of a pass; none is within another."""
        synchronise(self.device)
        self.begun = time.perf_counter()

    def end(self, kind: str) -> None:
        """Of the same pass."""
        synchronise(self.device)
        took = time.perf_counter() - self.begun
        self.seconds[kind] = self.seconds.get(kind, 0.0) + took
        self.number[kind] = self.number.get(kind, 0) + 1


@contextmanager
def watched(network: torch.nn.Module, device: torch.device) -> Iterator[Passes]:
    """Watch a network and whatever trains it.

    Kinds of passes are `training` and `segmentation`, which are forward, `backward` and `optimizer`.
    A GPU is waited for before and after each pass, so that nothing counts for another; the whole is slower
    for it.
    """
    passes = Passes(device)
    backward = torch.Tensor.backward

    def timed(tensor: torch.Tensor, *arguments: Any, **keywords: Any) -> None:
        passes.begin()
        backward(tensor, *arguments, **keywords)
        passes.end("backward")

    def is_own(optimizer: torch.optim.Optimizer) -> bool:  # the hooks are those of all optimisers
        return optimizer.param_groups[0]["params"][0] is next(network.parameters())

    handles = [
        network.register_forward_pre_hook(lambda *_: passes.begin()),
        network.register_forward_hook(
            lambda module, *_: passes.end("training" if module.training else "segmentation")
        ),
        register_optimizer_step_pre_hook(lambda own, *_: passes.begin() if is_own(own) else None),
        register_optimizer_step_post_hook(lambda own, *_: passes.end("optimizer") if is_own(own) else None),
    ]
    try:
        with patch.object(torch.Tensor, "backward", timed):
            yield passes
    finally:
        for handle in handles:
            handle.remove()
