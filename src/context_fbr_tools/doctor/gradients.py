"""Gradients of convolutions on this device: each shape of those of a small UNet, against float64."""

from collections.abc import Iterator, Sequence

import torch
from monai.networks.nets import UNet

from context_fbr.networks import gradient_check
from context_fbr.networks.convolutions import SMALL
from context_fbr.networks.gradient_check import LIMITS, Layer, error
from context_fbr_tools.doctor.check_result import Result, Status

BATCH = 4
EDGES = (16, 32)
"""Patches whose maps at the bottom of four halvings have 1 and 2 voxels an edge."""


def layers() -> list[Layer]:
    """Return every shape of a convolution in a UNet of MONAI with four halvings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(3, 1, 2, (8, 16, 32, 64, 128), (2, 2, 2, 2), num_res_units=2, norm="batch")
    return gradient_check.layers(network, [(BATCH, 1, edge, edge, edge) for edge in EDGES])


def check(device: torch.device, tested: Sequence[Layer] | None = None) -> Iterator[Result]:
    """Check gradients in float32, and in bfloat16 those that `train.precision: bf16` would compute in it."""
    tested = layers() if tested is None else tested
    fix = "train nothing here: use another device (CONTEXT_FBR_DEVICE) or version of PyTorch"
    yield _result("float32", torch.float32, tested, device, Status.ERROR, fix)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        yield Result("bf16 gradients", Status.OK, f"{device} has no bfloat16: keep train.precision: float32")
        return
    large = [layer for layer in tested if min(layer.shape[2:]) > SMALL]
    fix = "keep train.precision: float32 on this device; a training in bf16 would refuse to begin"
    yield _result("bf16", torch.bfloat16, large, device, Status.WARNING, fix)


def _result(
    name: str, dtype: torch.dtype, tested: Sequence[Layer], device: torch.device, bad: Status, fix: str
) -> Result:
    errors = [(layer, error(layer, device, dtype)) for layer in tested]
    wrong = [f"{layer} with {layer.channels} channels" for layer, value in errors if value > LIMITS[dtype]]
    size = f"relative error up to {max(value for _, value in errors):.1g}, limit {LIMITS[dtype]:.1g}"
    if wrong:
        return Result(f"{name} gradients", bad, f"wrong at {'; '.join(wrong)} ({size})", fix)
    return Result(f"{name} gradients", Status.OK, f"right in {len(tested)} convolutions ({size})")
