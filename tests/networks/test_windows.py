"""Inference windows: which a network takes, and one that covers a volume."""

from pathlib import Path

import pytest
import torch

from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import Edges
from context_fbr.networks import factory, windows
from context_fbr.networks.sliding_window import sliding_window

SETTINGS = SlidingWindow(overlap=0.25, voxels_per_batch=4 * 16**3, precision="float32")


THICK = Edges(16, 16, 8)


class Even(torch.nn.Module):
    """Takes edges that six divides, and fails if the last axis is shorter than twelve."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if any(edge % 6 for edge in x.shape[2:]) or x.shape[-1] < 12:
            raise ValueError("odd edges")
        return torch.cat([x, self.weight - x], dim=1)


class Fixed(torch.nn.Module):
    def __init__(self, img_size: int) -> None:  # noqa: ARG002
        super().__init__()


def test_windows_are_resolved_in_order_and_once() -> None:
    assert windows.resolve(["patch", 16, 32, "volume"], 32, False) == (32, 16, "volume")
    assert windows.resolve([16, "volume", "patch"], 16, True) == (16,)
    assert windows.resolve(["volume", 32], 16, True) == ()
    assert windows.resolve(["patch", THICK, 16, "volume"], THICK, False) == (THICK, 16, "volume")
    assert windows.resolve([THICK, "patch", 16], THICK, True) == (THICK,)
    assert windows.has_fixed_size(Fixed)
    assert windows.has_fixed_size(Fixed(3))
    assert not windows.has_fixed_size(Even())


@pytest.mark.parametrize("model", ["unet", "attention_unet"])
@pytest.mark.parametrize(
    ("volume", "expected"),
    [((48, 48, 48), (48, 48, 48)), ((35, 50, 9), (40, 56, 16)), ((8, 1, 7), (8, 8, 8))],
)
def test_one_window_covers_a_volume_with_the_least_edges_that_the_strides_divide(
    params: Path, model: str, volume: tuple[int, int, int], expected: windows.Shape
) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1).train()
    assert windows.shape_of(network, "volume", volume) == expected
    assert windows.shape_of(network, 16, volume) == (16, 16, 16)
    assert windows.shapes_of(network, [16, "volume"], [volume, volume]) == {volume: ((16,) * 3, expected)}
    assert network.training


def test_any_divisor_is_found_and_a_network_that_takes_no_window_is_an_error() -> None:
    assert windows.shape_of(Even(), "volume", (7, 12, 13)) == (12, 12, 18)
    assert windows.failure_of(Even(), (6, 6, 6)) == "odd edges"
    with pytest.raises(UserError, match=r"covers a volume of 5 x 5 x 5 voxels"):
        windows.shape_of(torch.nn.Conv3d(1, 2, 3), "volume", (5, 5, 5))  # its output is smaller


@pytest.mark.parametrize("shape", [(20, 13, 9), (16, 16, 16), (3, 40, 17)])
def test_a_window_over_the_volume_is_one_pass_of_the_padded_volume(
    params: Path, shape: tuple[int, int, int]
) -> None:
    network = factory.build(Document.read(params), "unet", 16, seed=1).eval()
    image = torch.rand(shape, generator=torch.Generator().manual_seed(5))
    window = windows.shape_of(network, "volume", shape)
    padded = torch.full(window, -1.5)
    inside = tuple(slice((w - s) // 2, (w - s) // 2 + s) for w, s in zip(window, shape, strict=True))
    padded[inside] = image
    with torch.inference_mode():
        whole = network(padded[None, None].contiguous(memory_format=torch.channels_last_3d))[0]
    ours = sliding_window(network, image, window, SETTINGS, background=-1.5)
    assert torch.equal(ours, whole[(slice(None), *inside)])


def test_a_window_of_three_edges_has_their_shape() -> None:
    assert windows.shape_of(Even(), THICK, (99, 99, 99)) == (16, 16, 8)
