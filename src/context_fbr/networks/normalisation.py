"""Normalisation layers of any network, chosen by `norm` in params.yaml.

Some classes of MONAI take the layer as `norm`, some as `norm_name`, and some fix it. Where it is fixed, the
layers are replaced after the network is built; this draws no random number, so the other weights are those
of the original. AttentionUnet fixes batch norm everywhere but in `AttentionLayer.merge`, which takes
MONAI's default, instance norm: `merge_norm` names that layer.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.layers.utils import get_norm_layer
from monai.networks.nets.attentionunet import AttentionLayer, AttentionUnet

NORM, MERGE_NORM = "norm", "merge_norm"
LAYERS = (torch.nn.BatchNorm3d, torch.nn.InstanceNorm3d, torch.nn.GroupNorm)


def own_keys(constructor: type) -> set[str]:
    """Keys of a model that choose a normalisation layer and are not arguments of its class."""
    keys = set() if NORM in inspect.signature(constructor).parameters else {NORM}
    return keys | {MERGE_NORM} if issubclass(constructor, AttentionUnet) else keys


def build(constructor: type[torch.nn.Module], arguments: Mapping[str, Any]) -> torch.nn.Module:
    """Build a network with the normalisation that its arguments name.

    Raises:
        ValueError: if `norm` and `norm_name` are both given, or there is no layer to replace.
        Exception: as the class and MONAI raise them for other arguments.
    """
    given = dict(arguments)
    chosen = {key: given.pop(key) for key in own_keys(constructor) if key in given}
    if NORM in chosen and "norm_name" in inspect.signature(constructor).parameters:
        if "norm_name" in given:
            raise ValueError("norm and norm_name are the same; give one of them")
        given["norm_name"] = chosen.pop(NORM)
    network = constructor(**given)
    if NORM in chosen:
        _replace(network, chosen[NORM])
    if MERGE_NORM in chosen:
        for layer in [module for module in network.modules() if isinstance(module, AttentionLayer)]:
            _replace(layer.merge, chosen[MERGE_NORM])
    return network


def _replace(network: torch.nn.Module, norm: str | tuple[str, Mapping[str, Any]]) -> None:
    """Replace each normalisation layer of a network in place; ValueError if there is none."""
    found = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, LAYERS)
    ]
    if not found:
        raise ValueError("it has no normalisation layer that can be replaced: take norm out")
    for parent, name, layer in found:
        channels = layer.num_channels if isinstance(layer, torch.nn.GroupNorm) else layer.num_features
        setattr(parent, name, get_norm_layer(name=norm, spatial_dims=3, channels=channels))
