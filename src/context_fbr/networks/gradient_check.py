"""Does a device compute the gradients of a network's convolutions? Each shape of them, against float64.

A library's kernel can be wrong for one shape alone: oneDNN's bfloat16 weight gradient of 3x3x3 convolutions
on maps of 2x2x2 voxels is, on CPUs with AVX512-BF16, and nothing in a training's loss need show it.
"""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

KINDS = (torch.nn.Conv3d, torch.nn.ConvTranspose3d)
LIMITS = {torch.float32: 2.0**-8, torch.bfloat16: 2.0**-6}
"""Relative errors, in the Euclidean norm, above which a gradient is wrong.

bfloat16 has 8 bits of significand, so a rounding errs by 2^-8 at most, and a gradient has three: of its two
factors, and of itself. They add up to no more than 3 * 2^-8 < 2^-6; 0.003 is usual. float32 may be computed
in TF32 on a GPU, whose 11 bits make it 3 * 2^-11 < 2^-8; 0.000001 is usual without.
"""
MOST_UNFOLDED = 2 * 10**9  # bytes, of which a gradient in float64 holds a few times as much


@dataclass(frozen=True)
class Layer:
    """A convolution and the shape of what comes in."""

    module: torch.nn.Module
    shape: tuple[int, ...]
    """(batch, channels, x, y, z)"""

    def __str__(self) -> str:
        kernel = "x".join(map(str, getattr(self.module, "kernel_size", ())))
        kind = "transposed " if isinstance(self.module, torch.nn.ConvTranspose3d) else ""
        return f"{kind}{kernel} on {'x'.join(map(str, self.shape[2:]))} maps"

    @property
    def unfolded_bytes(self) -> int:
        """Bytes of PyTorch's copies of the maps in float64: each voxel once for each of the kernel's."""
        return 8 * math.prod(self.shape) * math.prod(getattr(self.module, "kernel_size", ()))

    @property
    def channels(self) -> str:
        """Coming in and going out."""
        return f"{getattr(self.module, 'in_channels', '?')} to {getattr(self.module, 'out_channels', '?')}"


def layers(network: torch.nn.Module, shapes: Iterable[tuple[int, ...]]) -> list[Layer]:
    """Every shape of a convolution in a network when it is passed batches of some shapes, once.

    Args:
        network: on any device; it is left in the mode that it was in.
        shapes: (batch, channels, x, y, z).
    """
    found: dict[str, Layer] = {}

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        layer = Layer(module, tuple(inputs[0].shape))
        found.setdefault(f"{layer} {layer.channels} {getattr(module, 'stride', '')}", layer)

    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, KINDS)]
    training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        with torch.no_grad():
            for shape in shapes:
                network(torch.zeros(shape, device=device))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return list(found.values())


def error(
    layer: Layer,
    device: torch.device,
    dtype: torch.dtype,
    layout: torch.memory_format = torch.channels_last_3d,
) -> float:
    """Return the larger relative error of weight and input gradient, infinite for NaN.

    Args:
        layer: to differentiate.
        device: that computes it.
        dtype: float32, or bfloat16 by autocast. The reference is float64 on the same device, if it has that;
            for bfloat16 on maps that float64 would take too much memory for it is float32.
        layout: of its weights and inputs, as in the training.
    """
    inputs = torch.randn(layer.shape, generator=torch.Generator().manual_seed(0))
    reference = torch.device("cpu") if device.type == "mps" else device
    is_large = dtype != torch.float32 and layer.unfolded_bytes > MOST_UNFOLDED
    expected = _gradients(
        layer.module, inputs, reference, torch.float32 if is_large else torch.float64, layout
    )
    computed = _gradients(layer.module, inputs, device, dtype, layout)
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(computed, expected, strict=True)]
    return max(value if math.isfinite(value) else math.inf for value in errors)


def _gradients(
    module: torch.nn.Module,
    inputs: torch.Tensor,
    device: torch.device,
    dtype: torch.dtype,
    layout: torch.memory_format,
) -> tuple[torch.Tensor, ...]:
    """Return the gradients of weights and inputs; float64 on the CPU."""
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    module = copy.deepcopy(module)
    module.zero_grad()
    module.to(device, kept, memory_format=layout)  # type: ignore[call-overload]
    inputs = inputs.to(device, kept, memory_format=layout).detach().requires_grad_()
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        result = module(inputs)
    outgoing = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    result.backward(outgoing.to(device, result.dtype))
    leaves = [weight for weight in module.parameters() if weight.ndim > 1] + [inputs]
    return tuple(leaf.grad.to("cpu", torch.float64) for leaf in leaves if leaf.grad is not None)
