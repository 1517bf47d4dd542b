"""Order of a batch in memory, by network and device, and that inference hands batches over in it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow
from context_fbr.networks import factory, sliding_window
from context_fbr.networks.memory_format import memory_format


class OnGpu(nn.Parameter):
    """A weight that says it is on a GPU, where there is none."""

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True


@pytest.mark.parametrize(
    ("model", "on_gpu"),
    [("unet", torch.channels_last_3d), ("attention_unet", torch.channels_last_3d), ("unetr", torch.contiguous_format)],
)  # fmt: skip
def test_batches_are_channels_last_but_for_unetr_on_a_gpu(
    model: str, on_gpu: torch.memory_format, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1)
    assert memory_format(network) == torch.channels_last_3d
    monkeypatch.setattr(network, "parameters", lambda: iter([OnGpu(torch.zeros(1))]))
    assert memory_format(network) == on_gpu


def test_a_network_without_weights_has_channels_last() -> None:
    assert memory_format(nn.Identity()) == torch.channels_last_3d


@pytest.mark.parametrize("order", [torch.channels_last_3d, torch.contiguous_format])
def test_the_sliding_window_hands_batches_over_in_that_order(
    order: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.is_contiguous(memory_format=order)
            return x

    monkeypatch.setattr(sliding_window, "memory_format", lambda _: order)
    settings = SlidingWindow(overlap=0.25, voxels_per_batch=2 * 8**3, precision="float32")
    image = torch.rand(2, 20, 8, 11)
    torch.testing.assert_close(sliding_window.sliding_window(Seen(), image, 8, settings), image)
