from pathlib import Path

import pytest
import torch
from monai.inferers import sliding_window_inference

from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow
from context_fbr.core.padding import window_corners
from context_fbr.core.patch_size import Edges
from context_fbr.networks import factory
from context_fbr.networks import sliding_window as inference
from context_fbr.networks.sliding_window import segment, sliding_window

SETTINGS = SlidingWindow(overlap=0.25, voxels_per_batch=4 * 16**3, precision="float32")


def random_image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("model", ["unet", "attention_unet", "unetr"])
@pytest.mark.parametrize("shape", [(16, 16, 16), (40, 16, 21), (40, 12, 9), (10, 16, 33)])
def test_the_sliding_window_is_monai_s(params: Path, model: str, shape: tuple[int, int, int]) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1).eval()
    image = random_image(*shape)
    with torch.no_grad():
        theirs = sliding_window_inference(image[None, None], 16, 4, network, overlap=0.25, mode="constant")[0]
    ours = sliding_window(network, image, 16, SETTINGS)
    assert ours.shape == (2, *shape)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [Edges(16, 16, 8), Edges(8, 24, 16)])
@pytest.mark.parametrize("shape", [(16, 16, 16), (40, 16, 21), (10, 30, 5)])
def test_a_window_of_three_edges_is_monai_s(params: Path, size: Edges, shape: tuple[int, int, int]) -> None:
    network = factory.build(Document.read(params), "unet", size, seed=1).eval()
    image, edges = random_image(*shape), (size.x, size.y, size.z)
    with torch.no_grad():
        theirs = sliding_window_inference(
            image[None, None], edges, 4, network, overlap=0.25, mode="constant"
        )[0]
    torch.testing.assert_close(sliding_window(network, image, size, SETTINGS), theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(sliding_window(network, image, edges, SETTINGS), theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("edge", [16, 17, 31, 48, 96])
def test_windows_cover_every_voxel_and_stay_inside(edge: int, overlap: float) -> None:
    corners = window_corners(edge, 16, overlap)
    covered = {voxel for corner in corners for voxel in range(corner, corner + 16)}
    assert covered == set(range(edge))
    assert len(corners) == len(set(corners))


def test_a_mask_is_the_class_with_the_greater_logit() -> None:
    class Bright(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([torch.full_like(x, 0.5), x], dim=1)

    image = random_image(20, 20, 20)
    mask = segment(Bright(), image, 16, SETTINGS)
    assert mask.dtype == torch.uint8
    assert torch.equal(mask, (image > 0.5).to(torch.uint8))


def test_a_mask_is_where_argmax_says_and_ties_are_background() -> None:
    logits = torch.randint(-2, 3, (2, 9, 8, 7), generator=torch.Generator().manual_seed(1)).float()
    assert (logits[0] == logits[1]).any()
    assert torch.equal(inference.mask(logits), logits.argmax(dim=0).to(torch.uint8))
