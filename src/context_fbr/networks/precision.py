"""Arithmetic in bfloat16: an option, behind a guard and a self-test, because kernels of it can be wrong.

The guard is that of convolutions.py, which keeps small maps in float32; the self-test compares, before a
training, the gradients of every convolution with those of float64.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Literal

import torch

from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.networks import gradient_check
from context_fbr.networks.gradient_check import Layer
from context_fbr.networks.memory_format import memory_format
from context_fbr.networks.windows import CHANNELS

Precision = Literal["float32", "bf16"]
LARGE = 32  # voxels an edge


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context for the passes of a network; float32 needs none."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def check(
    network: torch.nn.Module, name: str, precision: Precision, batch: int, patch_size: PatchSize
) -> None:
    """Check that this device computes the gradients of a network in a precision; float32 is not doubted.

    Args:
        network: on its device, guarded.
        name: what to call it, `models.unet`.
        precision: of the training.
        batch: patches in it.
        patch_size: size of a patch in voxels.

    Raises:
        UserError: naming every shape of a convolution with a wrong gradient.
    """
    if precision == "float32":
        return
    device, layout = next(network.parameters()).device, memory_format(network)
    limit = gradient_check.LIMITS[torch.bfloat16]
    wrong = [
        layer
        for layer in layers_of(network, batch, patch_size)
        if gradient_check.error(layer, device, torch.bfloat16, layout) > limit
    ]
    if wrong:
        raise UserError(
            f"params.yaml: train.precision: this device computes gradients of {name} wrongly in bf16: "
            f"{'; '.join(f'{layer} with {layer.channels} channels' for layer in wrong)}; set it to float32"
        )


def layers_of(network: torch.nn.Module, batch: int, patch_size: PatchSize) -> list[Layer]:
    """The convolutions to test, of a large map two samples only: their gradients in float64 take memory."""
    channels = getattr(network, CHANNELS, 1)
    found = gradient_check.layers(network, [(batch, channels, *edges_of(patch_size))])
    return [
        replace(layer, shape=(min(batch, 2), *layer.shape[1:])) if max(layer.shape[2:]) > LARGE else layer
        for layer in found
    ]
