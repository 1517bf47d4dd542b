"""Does this device compute the gradients of convolutions? Each shape of those of a small UNet."""

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
    """Every shape of a convolution in a UNet of MONAI with four halvings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(3, 1, 2, (8, 16, 32, 64, 128), (2, 2, 2, 2), num_res_units=2, norm="batch")
    return gradient_check.layers(network, [(BATCH, 1, edge, edge, edge) for edge in EDGES])


def check(device: torch.device, tested: Sequence[Layer] | None = None) -> Iterator[Result]:
    """Gradients in float32, and in bfloat16 as far as `train.precision: bf16` would compute in it."""
    tested = layers() if tested is None else tested
    yield _result("float32", torch.float32, tested, device)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        yield Result(
            "bf16 gradients", Status.OK, f"{device} has no bfloat16: leave train.precision at float32"
        )
        return
    yield _result("bf16", torch.bfloat16, [layer for layer in tested if min(layer.shape[2:]) > SMALL], device)


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
    to_do = "leave train.precision at float32 on this device; a training in bf16 would refuse to begin"
    return Result(title, Status.DOUBTFUL, found, to_do)
