"""`norm` and `merge_norm` of params.yaml, compared with MONAI's own arguments and with its layers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import UNETR, AttentionUnet, UNet
from torch.nn import BatchNorm3d, GroupNorm, InstanceNorm3d

from context_fbr.config.document import Document
from context_fbr.core.errors import UserError
from context_fbr.networks import factory

ATTENTION = {"channels": (4, 8, 16), "strides": (2, 2)}
SHAPE = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
UNETR_ARGUMENTS = {
    "feature_size": 2,
    "hidden_size": 12,
    "mlp_dim": 12,
    "num_heads": 2,
    "proj_type": "perceptron",
}
NORMS = (BatchNorm3d, InstanceNorm3d, GroupNorm)


def built(folder: Path, network: str, arguments: dict[str, Any]) -> torch.nn.Module:
    path = folder / "params.yaml"
    lines = [
        f"    {name}: {list(value) if isinstance(value, tuple) else value}"
        for name, value in arguments.items()
    ]
    path.write_text("\n".join(["models:", "  net:", f"    network: {network}", *lines, ""]))
    return factory.build(Document.read(path), "net", 16, 1)


def reference(constructor: type[torch.nn.Module], **arguments: Any) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return constructor(**SHAPE, **arguments)


def layers(network: torch.nn.Module) -> dict[str, type]:
    return {name: type(layer) for name, layer in network.named_modules() if isinstance(layer, NORMS)}


def same(ours: torch.nn.Module, theirs: torch.nn.Module) -> bool:
    states = ours.state_dict(), theirs.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][name]) for name, value in states[0].items()
    )


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_norm_is_the_argument_of_a_class_that_takes_it_under_either_name(tmp_path: Path, norm: str) -> None:
    ours = built(tmp_path, "UNet", ATTENTION | {"norm": norm})
    theirs = reference(UNet, **ATTENTION, norm=norm)
    assert layers(ours) == layers(theirs)
    assert same(ours, theirs)
    ours = built(tmp_path, "UNETR", UNETR_ARGUMENTS | {"norm": norm})
    theirs = reference(UNETR, **UNETR_ARGUMENTS, img_size=(16, 16, 16), norm_name=norm)
    assert layers(ours) == layers(theirs)
    assert same(ours, theirs)


def test_the_published_attention_unet_is_monai_s_with_its_hidden_norm_written_down(tmp_path: Path) -> None:
    ours = built(tmp_path, "AttentionUnet", ATTENTION | {"norm": "batch", "merge_norm": "instance"})
    theirs = reference(AttentionUnet, **ATTENTION)
    assert layers(ours) == layers(theirs)
    assert same(ours, theirs)
    inputs = torch.rand(2, 1, 16, 16, 16)
    assert torch.equal(ours.train()(inputs), theirs.train()(inputs))


@pytest.mark.parametrize(
    ("chosen", "merge", "elsewhere"),
    [
        ({"norm": "batch"}, BatchNorm3d, BatchNorm3d),
        ({"norm": "instance"}, InstanceNorm3d, InstanceNorm3d),
        ({"merge_norm": "batch"}, BatchNorm3d, BatchNorm3d),
        ({"norm": "batch", "merge_norm": "instance"}, InstanceNorm3d, BatchNorm3d),
        ({"norm": ("group", {"num_groups": 1})}, GroupNorm, GroupNorm),
    ],
)
def test_the_norm_of_the_merging_layers_is_chosen_alone_or_with_all_others(
    tmp_path: Path, chosen: dict[str, Any], merge: type, elsewhere: type
) -> None:
    found = layers(built(tmp_path, "AttentionUnet", ATTENTION | chosen))
    original = layers(reference(AttentionUnet, **ATTENTION))
    assert found.keys() == original.keys()
    merging = {name for name, kind in original.items() if kind is InstanceNorm3d}
    assert all(".merge." in name for name in merging)
    assert len(merging) == 2
    assert {found[name] for name in merging} == {merge}
    assert {found[name] for name in found.keys() - merging} == {elsewhere}


def test_a_replaced_norm_leaves_all_other_weights_as_they_were(tmp_path: Path) -> None:
    batch, instance = (
        built(tmp_path, "AttentionUnet", ATTENTION | {"norm": "batch", "merge_norm": norm}).state_dict()
        for norm in ("batch", "instance")
    )
    assert batch.keys() > instance.keys()
    assert all(torch.equal(batch[name], value) for name, value in instance.items())


@pytest.mark.parametrize(
    ("network", "arguments", "key"),
    [
        ("UNet", ATTENTION | {"merge_norm": "batch"}, "models.net.merge_norm"),
        ("UNETR", UNETR_ARGUMENTS | {"norm": "batch", "norm_name": "batch"}, "models.net"),
        ("UNet", ATTENTION | {"norm": "bath"}, "models.net"),
        ("AttentionUnet", ATTENTION | {"merge_norm": "bath"}, "models.net"),
        ("AutoEncoder", ATTENTION | {"norm": "nothing"}, "models.net"),
    ],
)
def test_a_norm_that_a_network_cannot_have_is_an_error_with_its_line(
    tmp_path: Path, network: str, arguments: dict[str, Any], key: str
) -> None:
    with pytest.raises(UserError) as raised:
        built(tmp_path, network, arguments)
    assert f": {key}: " in raised.value.problems[0]
