"""Does this device compute the gradients of convolutions? Each layer of a small UNet, against float64.

A library's kernel can be wrong for one shape alone: oneDNN's bfloat16 weight gradient of 3x3x3 convolutions
on maps of 2x2x2 voxels is, on CPUs with AVX512-BF16, and nothing in a training's loss need show it.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from monai.networks.nets import UNet

from context_fbr.doctor.results import Result, Status

BATCH = 4
EDGES = (16, 32)
"""Patches whose maps at the bottom of four halvings have 1 and 2 voxels an edge."""
LIMITS = {torch.float32: 2.0**-8, torch.bfloat16: 2.0**-6}
"""Relative errors, in the Euclidean norm, above which a gradient is wrong.

bfloat16 has 8 bits of significand, so a rounding errs by 2^-8 at most, and a gradient has three: of its two
factors, and of itself. They add up to no more than 3 * 2^-8 < 2^-6; 0.003 is usual. float32 may be computed
in TF32 on a GPU, whose 11 bits make it 3 * 2^-11 < 2^-8; 0.000001 is usual without.
"""


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
    def channels(self) -> str:
        """Coming in and going out."""
        return f"{getattr(self.module, 'in_channels', '?')} to {getattr(self.module, 'out_channels', '?')}"


def layers() -> list[Layer]:
    """Every shape of a convolution in a UNet of MONAI with four halvings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(3, 1, 2, (8, 16, 32, 64, 128), (2, 2, 2, 2), num_res_units=2, norm="batch").eval()
    found: dict[str, Layer] = {}

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        layer = Layer(module, tuple(inputs[0].shape))
        found.setdefault(f"{layer} {layer.channels} {getattr(module, 'stride', '')}", layer)

    kinds = (torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        for edge in EDGES:
            network(torch.zeros(BATCH, 1, edge, edge, edge))
    for handle in handles:
        handle.remove()
    return list(found.values())


def error(layer: Layer, device: torch.device, dtype: torch.dtype) -> float:
    """The larger relative error of weight and input gradient, infinite where one is no number.

    Args:
        layer: what to differentiate.
        device: that computes it, in the memory format of this study's trainings.
        dtype: float32, or bfloat16 by autocast. The reference is float64 on the CPU.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(layer.shape, generator=generator)
    with torch.no_grad():
        outgoing = torch.randn(layer.module(inputs).shape, generator=generator)
    expected = _gradients(layer.module, inputs, outgoing, torch.device("cpu"), torch.float64)
    computed = _gradients(layer.module, inputs, outgoing, device, dtype)
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(computed, expected, strict=True)]
    return max(value if math.isfinite(value) else math.inf for value in errors)


def check(device: torch.device, tested: Sequence[Layer] | None = None) -> Iterator[Result]:
    """Gradients in float32, in which this study trains, and in bfloat16, in which it does not."""
    tested = layers() if tested is None else tested
    yield _result("float32", torch.float32, tested, device)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        yield Result("bf16 gradients", Status.OK, f"{device} has no bfloat16; this study uses float32")
        return
    yield _result("bf16", torch.bfloat16, tested, device)


def _result(name: str, dtype: torch.dtype, tested: Sequence[Layer], device: torch.device) -> Result:
    limit = LIMITS[dtype]
    errors = [(layer, error(layer, device, dtype)) for layer in tested]
    wrong: dict[str, list[Layer]] = {}
    for layer, value in errors:
        if value > limit:
            wrong.setdefault(str(layer), []).append(layer)
    largest = max(value for _, value in errors)
    title = f"{name} gradients"
    if not wrong:
        found = f"right in {len(tested)} convolutions (relative error {largest:.1g}, limit {limit:.1g})"
        return Result(title, Status.OK, found)
    shapes = "; ".join(
        f"{shape} with {', '.join(layer.channels for layer in ones)} channels"
        for shape, ones in wrong.items()
    )
    found = f"wrong at {shapes} (relative error up to {largest:.1g}, limit {limit:.1g})"
    if dtype == torch.float32:
        to_do = "train nothing here: use another device (CONTEXT_FBR_DEVICE) or version of PyTorch"
        return Result(title, Status.WRONG, found, to_do)
    to_do = "nothing for this study; in code of your own, train in float32 on this device"
    return Result(title, Status.DOUBTFUL, f"{found}; float32 is used by this study", to_do)


def _gradients(
    module: torch.nn.Module,
    inputs: torch.Tensor,
    outgoing: torch.Tensor,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, ...]:
    """Of the weights, and of the inputs; float64 on the CPU."""
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    module = copy.deepcopy(module)
    module.zero_grad()
    module.to(device, kept, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    inputs = inputs.to(device, kept, memory_format=torch.channels_last_3d).detach().requires_grad_()
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        result = module(inputs)
    result.backward(outgoing.to(device, result.dtype))
    leaves = [weight for weight in module.parameters() if weight.ndim > 1] + [inputs]
    return tuple(leaf.grad.to("cpu", torch.float64) for leaf in leaves if leaf.grad is not None)
