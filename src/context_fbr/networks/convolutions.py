"""Convolutions that compute as PyTorch's own, but do not leave the choice of a kernel to it in two cases.

In bfloat16, small maps stay in float32 on every device: oneDNN's weight gradient of 3x3x3 convolutions on
maps of 2x2x2 voxels is wrong on CPUs with AVX512-BF16, and nothing in a training's loss need show it.

On a CPU, a batch of one sample goes to oneDNN as larger batches do; PyTorch takes a slower kernel for it
(`use_mkldnn` in aten/src/ATen/native/Convolution.cpp; measured: benchmarks, sliding_window at 96).
"""

from collections.abc import Mapping
from typing import Any

import torch

SMALL = 2  # voxels an edge: convolutions on such maps are never computed in bfloat16


def _is_lowered(inputs: torch.Tensor) -> bool:
    """Return true if autocast would compute this in bfloat16."""
    kind = inputs.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


class _Guarded:
    """A convolution that computes in float32 where a map is small; mixed into PyTorch's own class."""

    def forward(self, inputs: torch.Tensor, *rest: Any) -> torch.Tensor:
        forward = super().forward  # type: ignore[misc]
        if min(inputs.shape[-3:]) > SMALL or not _is_lowered(inputs):
            return forward(inputs, *rest)
        with torch.autocast(inputs.device.type, enabled=False):
            return forward(inputs.float(), *rest)


class _Conv3d(_Guarded, torch.nn.Conv3d):
    def forward(self, inputs: torch.Tensor, *rest: Any) -> torch.Tensor:
        """(batch, channels, x, y, z) or without batch, as in PyTorch's class."""
        padding = self.padding
        if (
            inputs.dim() == 5
            and len(inputs) == 1
            and inputs.device.type == "cpu"
            and inputs.dtype == self.weight.dtype == torch.float32
            and not isinstance(padding, str)
            and self.padding_mode == "zeros"
            and torch.backends.mkldnn.is_available()
            and torch.backends.mkldnn.enabled
            and not _is_lowered(inputs)
        ):
            return torch.mkldnn_convolution(
                inputs, self.weight, self.bias, padding, self.stride, self.dilation, self.groups
            )
        return super().forward(inputs, *rest)


class _ConvTranspose3d(_Guarded, torch.nn.ConvTranspose3d):
    pass


GUARDS: dict[type, type] = {torch.nn.Conv3d: _Conv3d, torch.nn.ConvTranspose3d: _ConvTranspose3d}


def guard(network: torch.nn.Module) -> torch.nn.Module:
    """Guard the convolutions of a network, in place; weights and their names do not change."""
    return _exchange(network, GUARDS)


def unguard(network: torch.nn.Module) -> torch.nn.Module:
    """Give the convolutions of a network PyTorch's classes again, in place."""
    return _exchange(network, {guarded: own for own, guarded in GUARDS.items()})


def _exchange(network: torch.nn.Module, classes: Mapping[type, type]) -> torch.nn.Module:
    for module in network.modules():
        module.__class__ = classes.get(type(module), type(module))
    return network
