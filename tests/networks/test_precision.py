"""bfloat16: what it computes, what it is kept from, and that nothing of float32 changes."""

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow
from context_fbr.core.errors import UserError
from context_fbr.networks import convolutions, factory, gradient_check, precision
from context_fbr.networks.sliding_window import sliding_window

CPU = torch.device("cpu")
MODELS = ("unet", "attention_unet", "unetr")


class Dtypes:
    """Notes in what the convolutions of a network compute."""

    def __init__(self, network: nn.Module) -> None:
        self.of_edge: dict[int, set[torch.dtype]] = {}
        for module in network.modules():
            if isinstance(module, gradient_check.KINDS):
                module.register_forward_hook(self.note)

    def note(self, _: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        self.of_edge.setdefault(min(inputs[0].shape[2:]), set()).add(output.dtype)


@pytest.mark.parametrize("model", MODELS)
def test_in_bf16_every_convolution_but_those_on_maps_of_two_voxels_computes_in_bf16(
    params: Path, model: str
) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1)
    seen = Dtypes(network)
    with precision.autocast(CPU, "bf16"):
        network(torch.rand(2, 1, 16, 16, 16)).float().sum().backward()
    assert {edge for edge in seen.of_edge if edge <= 2}
    assert seen.of_edge == {edge: {torch.float32 if edge <= 2 else torch.bfloat16} for edge in seen.of_edge}
    learnt = [weight for weight in network.parameters() if weight.grad is not None]
    assert all(weight.grad.dtype == weight.dtype == torch.float32 for weight in learnt)


def test_the_guard_changes_no_bit_of_a_batch_in_float32_and_no_name_of_a_weight(params: Path) -> None:
    guarded = factory.build(Document.read(params), "unet", 16, seed=1).eval()
    plain = convolutions.unguard(copy.deepcopy(guarded))
    kinds = set(convolutions.GUARDS.values())
    assert any(type(module) in kinds for module in guarded.modules())
    assert not any(type(module) in kinds for module in plain.modules())
    assert list(plain.state_dict()) == list(guarded.state_dict())
    assert guarded.to("meta")(torch.empty(2, 1, 16, 16, 16, device="meta")).shape == (2, 2, 16, 16, 16)
    guarded = factory.build(Document.read(params), "unet", 16, seed=1).eval()
    patch = torch.rand(
        2, 1, 16, 16, 16
    )  # a single sample has other kernels: tests/networks/test_convolutions.py
    with precision.autocast(CPU, "float32"):
        assert torch.equal(guarded(patch), plain(patch))


@pytest.mark.parametrize("model", MODELS)
def test_the_gradients_of_every_guarded_convolution_are_right_by_pytorchs_own_kernels(
    params: Path, model: str
) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1)
    # Not by oneDNN, whose kernels depend on the CPU. (Setting its flags warns of flags of Intel's GPUs.)
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        precision.check(network, "models.it", "bf16", 2, 16)


def test_where_float64_would_take_too_much_memory_float32_is_the_reference_of_bf16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    layer = gradient_check.Layer(nn.Conv3d(2, 4, 3), (1, 2, 8, 8, 8))
    assert layer.unfolded_bytes == 8 * 2 * 8**3 * 27
    before = [gradient_check.error(layer, CPU, dtype) for dtype in (torch.bfloat16, torch.float32)]
    monkeypatch.setattr(gradient_check, "MOST_UNFOLDED", layer.unfolded_bytes - 1)
    seen: list[torch.dtype] = []
    compute = gradient_check._gradients

    def note(*arguments: Any) -> tuple[torch.Tensor, ...]:
        seen.append(arguments[3])
        return compute(*arguments)

    monkeypatch.setattr(gradient_check, "_gradients", note)
    after = [gradient_check.error(layer, CPU, dtype) for dtype in (torch.bfloat16, torch.float32)]
    assert seen == [torch.float32, torch.bfloat16, torch.float64, torch.float32]
    assert after[0] == pytest.approx(before[0], rel=1e-3)
    assert after[1] == before[1] > 0


class Wrong(nn.Conv3d):
    """Its weight gradient is twice what it should be where autocast is on."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        output = super().forward(inputs)
        if torch.is_autocast_enabled("cpu"):
            output.register_hook(lambda gradient: 2 * gradient)
        return output


def test_a_device_with_a_wrong_gradient_is_refused_for_bf16_and_only_for_it() -> None:
    network = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), Wrong(3, 4, 3, padding=1))
    with pytest.raises(
        UserError, match=re.escape("precision: this device computes gradients of models.x")
    ) as e:
        precision.check(network, "models.x", "bf16", 2, 5)
    assert "wrongly in bf16: 3x3x3 on 5x5x5 maps with 3 to 4 channels; set it to float32" in str(e.value)
    precision.check(network, "models.x", "float32", 2, 5)


def test_of_large_maps_two_samples_are_tested() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 3, stride=2, padding=1), nn.Conv3d(2, 2, 1))
    first, second = precision.layers_of(network, 8, 64)
    assert (first.shape, second.shape) == ((2, 1, 64, 64, 64), (8, 2, 32, 32, 32))
    flat = nn.Sequential(nn.Conv3d(1, 2, 3, stride=(1, 2, 4), padding=1), nn.Conv3d(2, 2, 1))
    _, second = precision.layers_of(flat, 8, 64)
    assert second.shape == (2, 2, 64, 32, 16)  # one long edge is enough


def test_a_map_is_large_by_its_longest_edge_from_33_voxels_on() -> None:
    flat = nn.Sequential(nn.Conv3d(1, 2, 3, stride=(1, 4, 4), padding=1), nn.Conv3d(2, 2, 1))
    assert [layer.shape for layer in precision.layers_of(flat, 8, 48)] == [
        (2, 1, 48, 48, 48), (2, 2, 48, 12, 12),
    ]  # fmt: skip
    for edge, samples in ((31, 8), (32, 8), (33, 2)):
        (layer,) = precision.layers_of(nn.Conv3d(1, 2, 3), 8, edge)
        assert layer.shape == (samples, 1, edge, edge, edge)
    (layer,) = precision.layers_of(nn.Conv3d(1, 2, 3), 1, 33)
    assert layer.shape[0] == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_sliding_window_in_bf16_is_that_in_float32_to_bf16_s_rounding(params: Path, model: str) -> None:
    network = factory.build(Document.read(params), model, 16, seed=1).eval()
    image = torch.rand(24, 20, 16, generator=torch.Generator().manual_seed(1))
    whole = SlidingWindow(overlap=0.25, voxels_per_batch=4 * 16**3, precision="float32")
    exact = sliding_window(network, image, 16, whole)
    rounded = sliding_window(network, image, 16, whole.model_copy(update={"precision": "bf16"}))
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()
