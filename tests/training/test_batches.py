"""Batches: equal patches are computed once, with the loss and gradients of all of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from context_fbr.config.document import Document
from context_fbr.config.training import SlidingWindow, Training
from context_fbr.networks import factory
from context_fbr.training import batches, loop
from context_fbr.training.batches import Patches, Protocol, Volume
from context_fbr.training.recipe.loss import loss

MODELS = ["unet", "attention_unet", "unetr"]


@pytest.fixture
def protocol(params: Path) -> Protocol:
    torch.set_num_threads(1)
    document = Document.read(params)
    window = document.section(("sliding_window",), SlidingWindow)
    return Protocol(document.section(("train",), Training), window, 2, 16, 1)


def changed(protocol: Protocol, **changes: Any) -> Protocol:
    return replace(protocol, settings=protocol.settings.model_copy(update=changes))


def volumes(edges: Sequence[int]) -> list[Volume]:
    generator = np.random.default_rng(3)
    made = []
    for index, edge in enumerate(edges):
        image = generator.random((edge, edge, edge), dtype=np.float32)
        label = np.zeros(image.shape, np.uint8)
        label[4:10, 3 + index % 3 : 9, 5:12] = 1
        made.append(batches.load_volume(f"case {index}", image + label, label, torch.device("cpu")))
    return made


def expanded(batch: Patches) -> Patches:
    """All patches that a batch represents."""
    images, labels = (x.repeat_interleave(batch.copies, dim=0) for x in (batch.images, batch.labels))
    return Patches(images, labels, tuple(name for name in batch.names for _ in range(batch.copies)))


@pytest.mark.parametrize(
    ("edges", "changes", "copies"),
    [
        ((16, 16, 16, 16), {}, 2),
        ((16, 16, 16, 16), {"patches_per_volume": 4}, 4),
        ((17, 17, 17, 17), {"patches_per_volume": 4}, 1),
        ((16, 17, 17, 16), {"patches_per_volume": 4, "batch_volumes": 4}, 1),
        ((16, 16), {"batch_volumes": 1}, 1),
        ((16, 16), {"augmentation": "flips"}, 1),
    ],
)
def test_patches_are_merged_where_all_of_each_volume_are_equal(
    protocol: Protocol, edges: tuple[int, ...], changes: dict[str, Any], copies: int
) -> None:
    plan, data = changed(protocol, **changes), volumes(edges)
    merged = list(batches.batches(data, plan, 1))
    assert {batch.copies for batch in merged} == {copies}
    for ours, plain in zip(merged, batches.batches(data, plan, 1, merged=False), strict=True):
        assert plain.copies == 1
        assert expanded(ours).names == plain.names
        assert torch.equal(expanded(ours).images, plain.images)
        assert torch.equal(expanded(ours).labels, plain.labels)


@pytest.mark.parametrize("over", ["patch", "batch"])
@pytest.mark.parametrize("model", MODELS)
def test_the_gradients_of_a_merged_batch_are_those_of_the_whole_batch(
    params: Path, protocol: Protocol, model: str, over: Any
) -> None:
    """In float64; a norm's running variance differs by PyTorch's n / (n - 1), where n is a channel's values."""
    merged = next(iter(batches.batches(volumes((16, 16)), changed(protocol, patches_per_volume=3), 1)))
    assert merged.copies == 3
    networks = [factory.build(Document.read(params), model, 16, 1).double().train() for _ in range(2)]
    for network, batch in zip(networks, (merged, expanded(merged)), strict=True):
        loss("dice", over, batch.copies)(network(batch.images.double()), batch.labels).backward()
    for ours, plain in zip(*(network.parameters() for network in networks), strict=True):
        if plain.grad is None:
            assert ours.grad is None
            continue
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad, plain.grad, rtol=0, atol=1e-12)
    buffers = [{name: value.clone() for name, value in network.named_buffers()} for network in networks]
    for name, plain in buffers[1].items():
        ours = buffers[0][name]
        if name.endswith("running_mean"):
            torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
        elif name.endswith("running_var"):
            n = _values(networks[0], name, merged)
            momentum = 0.1
            biased = (plain - (1 - momentum)) / momentum * (3 * n - 1) / (3 * n)
            torch.testing.assert_close(
                ours, (1 - momentum) + momentum * biased * n / (n - 1), rtol=0, atol=1e-12
            )


def _values(network: torch.nn.Module, name: str, batch: Patches) -> int:
    """Number of values of a channel that a norm of the network sees."""
    seen: list[int] = []
    layer = network.get_submodule(name.rpartition(".")[0])
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 0].numel()))
    with torch.no_grad():
        network(batch.images.double())
    hook.remove()
    return seen[0]


def test_a_network_that_drops_values_sees_every_patch(params: Path, protocol: Protocol) -> None:
    sizes: list[int] = []

    def count(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))

    for rate, expected in ((0.0, 2), (0.3, 4)):
        network = torch.nn.Sequential(
            factory.build(Document.read(params), "unet", 16, 1), torch.nn.Dropout(rate)
        )
        network[0].register_forward_pre_hook(count)
        sizes.clear()
        list(loop.train(network, volumes((16, 16)), volumes((16,)), replace(protocol, epochs=1)))
        assert sizes[0] == expected


def test_the_recorded_foreground_ratios_count_every_patch(params: Path, protocol: Protocol) -> None:
    network = factory.build(Document.read(params), "unet", 16, 1)
    data = volumes((16, 16, 16, 16))
    epochs = list(loop.train(network, data, data[:1], replace(protocol, epochs=1)))
    expected = sorted((f"case {i}", int(v.label.sum()) / 16**3) for i, v in enumerate(data) for _ in range(2))
    assert sorted(epochs[0].foreground_ratios) == expected
