"""Inference of networks that were trained on cores: each core is read from the window around it."""

import itertools

import numpy as np
import pytest
import torch

from context_fbr.config.training import SlidingWindow
from context_fbr.core.padding import window_corners
from context_fbr.networks.sliding_window import sliding_window

SETTINGS = SlidingWindow(overlap=0.25, voxels_per_batch=16**3 * 3, precision="float32")


class Positions(torch.nn.Module):
    """Adds to each voxel its place in the window, and counts the windows."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.windows += len(images)
        x, y, z = (torch.arange(edge, dtype=torch.float32) for edge in images.shape[2:])
        places = x[:, None, None] * 10000 + y[:, None] * 100 + z
        return torch.cat([images, images + places], dim=1)


def brute_force(image: np.ndarray, window: int, core: int) -> tuple[np.ndarray, int]:
    """Mean over the cores that hold a voxel of image + place in the core's window; and how many windows."""
    total, count, passed = np.zeros(image.shape), np.zeros(image.shape), set()
    starts = [window_corners(edge, core, SETTINGS.overlap) for edge in image.shape]
    for corner in itertools.product(*starts):
        lowest = [
            min(max(start - (window - core) // 2, 0), edge - window)
            for start, edge in zip(corner, image.shape, strict=True)
        ]
        passed.add(tuple(lowest))
        for place in itertools.product(*(range(start, start + core) for start in corner)):
            x, y, z = (p - low for p, low in zip(place, lowest, strict=True))
            total[place] += image[place] + x * 10000 + y * 100 + z
            count[place] += 1
    return total / count, len(passed)


@pytest.mark.parametrize(
    ("shape", "window", "core"),
    [((13, 11, 12), 8, 4), ((13, 11, 12), 8, 5), ((12, 12, 12), 12, 4), ((9, 17, 10), 9, 1)],
)
def test_each_core_is_read_from_the_window_around_it(
    shape: tuple[int, int, int], window: int, core: int
) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    network = Positions()
    ours = sliding_window(network, image, window, SETTINGS, core=core)
    expected, passed = brute_force(image.numpy().astype(np.float64), window, core)
    np.testing.assert_allclose(ours[1].numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(ours[0].numpy(), image.numpy(), rtol=1e-6)
    assert network.windows == passed


def test_a_window_that_has_several_cores_is_passed_once() -> None:
    network = Positions()
    sliding_window(network, torch.zeros((16, 16, 16)), 16, SETTINGS, core=4)
    assert network.windows == 1


@pytest.mark.parametrize("core", [None, 8, 9])
def test_a_core_of_the_whole_window_changes_no_bit(core: int | None) -> None:
    generator = torch.Generator().manual_seed(2)
    layer = torch.nn.Conv3d(1, 2, 3, padding=1)
    image = torch.rand((20, 9, 13), generator=generator)
    plain = sliding_window(layer, image, 8, SETTINGS)
    assert torch.equal(sliding_window(layer, image, 8, SETTINGS, core=core), plain)


def test_a_volume_that_is_smaller_than_the_window_is_padded_around_all_of_its_cores() -> None:
    network = Positions()
    image = torch.rand((5, 9, 7), generator=torch.Generator().manual_seed(3))
    ours = sliding_window(network, image, 8, SETTINGS, background=-1.0, core=4)
    assert ours.shape == (2, 5, 9, 7)
    torch.testing.assert_close(ours[0], image)
