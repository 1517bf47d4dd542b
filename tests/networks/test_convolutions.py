"""A batch of one sample on a CPU: the kernels of larger batches, and their results."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from context_fbr.config.document import Document
from context_fbr.networks import convolutions, factory

SLOW = "aten::slow_conv3d_forward"

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN here")


def kernels(network: nn.Module, inputs: torch.Tensor) -> set[str]:
    with profile(activities=[ProfilerActivity.CPU]) as seen, torch.inference_mode():
        network(inputs)
    return {event.key for event in seen.key_averages()}


@pytest.mark.parametrize("model", ["unet", "attention_unet"])
def test_one_sample_takes_the_kernels_of_two_where_pytorch_takes_others(params: Path, model: str) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1).eval()
    patches = torch.rand(2, 1, 16, 16, 16)
    one, two = kernels(network, patches[:1]), kernels(network, patches)
    assert "aten::mkldnn_convolution" in one
    assert "aten::mkldnn_convolution" in two
    assert SLOW not in one
    assert SLOW in kernels(convolutions.unguard(network), patches[:1])


@pytest.mark.parametrize("model", ["unet", "attention_unet", "unetr"])
def test_one_sample_has_the_result_that_it_has_among_others(params: Path, model: str) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1).eval()
    network.to(memory_format=torch.channels_last_3d)
    patches = torch.rand(3, 1, 16, 16, 16)
    with torch.inference_mode():
        together = network(patches)
        for number in range(3):
            alone = network(patches[number : number + 1])
            torch.testing.assert_close(alone[0], together[number], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1, "stride": 2},
        {"padding": 2, "dilation": 2},
        {"padding": 1, "groups": 2, "bias": False},
        {"padding": "same"},
        {"padding": 1, "padding_mode": "circular"},
    ],
    ids=str,
)
def test_one_sample_has_pytorch_s_own_result_and_gradients(options: dict[str, object]) -> None:
    own = nn.Conv3d(2, 4, 3, **options)  # type: ignore[arg-type]
    inputs = torch.rand(1, 2, 9, 8, 7, requires_grad=True)
    leaves = [inputs, *own.parameters()]
    found = []
    for exchange in (convolutions.unguard, convolutions.guard):
        output = exchange(own)(inputs)
        found.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    assert type(own) is convolutions.GUARDS[nn.Conv3d]
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_in_float64_one_sample_is_left_to_pytorch() -> None:
    convolution = convolutions.guard(nn.Sequential(nn.Conv3d(1, 2, 3)))
    exact = kernels(convolution.double(), torch.rand(1, 1, 8, 8, 8, dtype=torch.float64))
    assert "aten::mkldnn_convolution" not in exact


def test_with_onednn_switched_off_one_sample_is_left_to_pytorch() -> None:
    convolution = convolutions.guard(nn.Sequential(nn.Conv3d(1, 2, 3)))
    inputs = torch.rand(1, 1, 8, 8, 8)
    assert "aten::mkldnn_convolution" in kernels(convolution, inputs)
    # Setting its flags warns of flags of Intel's GPUs.
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        assert "aten::mkldnn_convolution" not in kernels(convolution, inputs)


def test_a_volume_without_a_batch_is_no_batch_of_one() -> None:
    own = convolutions.guard(nn.Conv3d(1, 2, 3))
    volume = torch.rand(1, 8, 8, 8)  # one channel
    torch.testing.assert_close(own(volume), own(volume[None])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [nn.Conv3d, nn.ConvTranspose3d])
@pytest.mark.parametrize(
    ("edges", "dtype"),
    [
        ((2, 8, 8), torch.float32),
        ((8, 2, 8), torch.float32),
        ((8, 8, 1), torch.float32),
        ((2, 2, 2), torch.float32),
        ((3, 8, 8), torch.bfloat16),
        ((3, 3, 3), torch.bfloat16),
    ],
)
def test_in_bf16_a_map_with_one_edge_of_two_voxels_computes_in_float32(
    kind: type[nn.Module], edges: tuple[int, int, int], dtype: torch.dtype
) -> None:
    """The shortest edge decides: a flat map has the kernel that is wrong, too."""
    layer = convolutions.guard(kind(2, 3, 3, padding=1))
    inputs = torch.rand(2, 2, *edges)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(inputs)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), layer(inputs), rtol=0.05, atol=0.05)
