"""A volume smaller than the patch: in training, in inference, and as MONAI pads it."""

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from monai.transforms import SpatialPad

from context_fbr.config.training import SlidingWindow
from context_fbr.core.padding import margins, padded
from context_fbr.networks.sliding_window import sliding_window
from context_fbr.training import batches, sampling

SHAPES = [(7, 16, 20), (15, 15, 15), (1, 40, 9), (16, 16, 16), (30, 17, 16)]
BACKGROUND = -1.375


def image_and_label(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(3).normal(0, 1, shape).astype(np.float32).clip(BACKGROUND)
    return image, (image > 1).astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_small_volume_is_padded_as_monai_pads_it(shape: tuple[int, int, int]) -> None:
    image, label = image_and_label(shape)
    theirs = SpatialPad((16, 16, 16), method="symmetric", value=BACKGROUND)(torch.from_numpy(image)[None])[0]
    ours = padded(image, 16, BACKGROUND)
    np.testing.assert_array_equal(ours, theirs.numpy())
    assert ours.dtype == np.float32
    for (before, after), edge in zip(margins(shape, (16,) * 3), shape, strict=True):
        assert 0 <= after - before <= 1
        assert before + edge + after == max(edge, 16)
    assert padded(label, 16, 0).sum() == label.sum()
    assert padded(label, 16, 0).dtype == np.uint8


def test_a_volume_that_is_large_enough_is_not_copied() -> None:
    image, _ = image_and_label((16, 17, 40))
    assert padded(image, 16, BACKGROUND) is image


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_of_a_padded_volume_fit_and_none_is_centred_on_padding(shape: tuple[int, int, int]) -> None:
    image, label = image_and_label(shape)
    volume = batches.load_volume("case", image, label, torch.device("cpu"), 16, BACKGROUND)
    before = [start for start, _ in margins(shape, (16,) * 3)]
    for kind in (volume.where.foreground, volume.where.background):
        centres = np.stack(np.unravel_index(kind, volume.where.shape), axis=1) - before
        assert ((centres >= 0) & (centres < shape)).all()
    assert volume.where.foreground.size + volume.where.background.size == (image > BACKGROUND).sum()
    corners = sampling.core_corners(volume.where, 16, 50, 0.5, seed=1, epoch=1)
    assert (corners >= 0).all()
    for corner in corners:
        place = tuple(slice(start, start + 16) for start in corner)
        assert volume.image[0][place].shape == (16, 16, 16)


class Convolved(torch.nn.Module):
    """Adds the window's mean to a convolution."""

    def __init__(self, convolution: torch.nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        mean = windows.mean(dim=(2, 3, 4), keepdim=True)
        outputs: torch.Tensor = self.convolution(windows) + mean
        return outputs


@pytest.mark.parametrize("shape", SHAPES)
def test_the_window_over_a_padded_volume_is_monai_s(shape: tuple[int, int, int]) -> None:
    """A network that sees the padding: 3x3x3 convolutions, and the window's mean."""
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(1, 2, 3, padding=1)
    network = Convolved(convolution)
    image = torch.from_numpy(image_and_label(shape)[0])
    with torch.no_grad():
        theirs = sliding_window_inference(
            image[None, None], 16, 4, network, overlap=0.25, mode="constant", cval=BACKGROUND
        )[0]
    settings = SlidingWindow(overlap=0.25, voxels_per_batch=4 * 16**3, precision="float32")
    ours = sliding_window(network, image, 16, settings, BACKGROUND)
    assert ours.shape == (2, *shape)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    if min(shape) < 16:
        assert not torch.allclose(ours, sliding_window(network, image, 16, settings, 0.0), atol=1e-2)
