"""How far a training step is above what this machine could do at best -> benchmarks/floor.csv.

The floor is the step's work (forward, loss, backward; counted by PyTorch) at the rate of the fastest
convolution that was found here. The step is ours.
"""

import statistics
from collections.abc import Iterator, Mapping

import torch
from monai.losses import DiceLoss
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import table
from benchmarks.network_parts import STEPS, our_step
from benchmarks.pairs import seconds
from benchmarks.request import Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.core.progress import progress
from context_fbr.networks import factory
from context_fbr.networks.precision import autocast

SHAPES = ((8, 32, 32), (8, 64, 16), (8, 128, 16), (4, 128, 32), (2, 64, 48), (1, 32, 96), (8, 256, 8))
"""Batch, channels in and out, edge: of convolutions that may be fast, 7 to 116 GFLOP each."""
KERNEL = 3
REPEATS = 5
KEY = ("network", "patch_size", "device", "precision")
TABLE = Table(
    FOLDER / "floor.csv",
    (
        *KEY, "batch", "gflop", "best_gflop_per_s", "floor_s", "step_median_s", "step_over_floor", "repeats",
        *STAMP,
    ),
    KEY,
)  # fmt: skip


def step_gflop(request: Request, model: str, size: int, batch: int) -> float:
    """Work of one step in 10^9 floating point operations, a multiplication and an addition being two.

    Counted on the meta device, where nothing is computed.
    """
    network = factory.build(request.document, model, size, seed=1).to("meta").train()
    shape = (batch, 1, size, size, size)
    loss_function = DiceLoss(to_onehot_y=True, softmax=True)
    with FlopCounterMode(display=False) as counter:
        images, labels = (torch.empty(shape, device="meta") for _ in range(2))
        loss_function(network(images), labels).backward()
    return counter.get_total_flops() / 1e9


def convolution_rate(request: Request, shape: tuple[int, int, int], layout: torch.memory_format) -> float:
    """Median GFLOP/s of a convolution of (batch, channels, edge), forward only."""
    batch, channels, edge = shape
    device = request.device
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(batch, channels, edge, edge, edge, generator=generator)
    weight = torch.randn(channels, channels, KERNEL, KERNEL, KERNEL, generator=generator)
    images, weight = (tensor.to(device).contiguous(memory_format=layout) for tensor in (images, weight))
    with torch.inference_mode(), autocast(device, request.precision):

        def work() -> torch.Tensor:
            return torch.nn.functional.conv3d(images, weight, padding=KERNEL // 2)

        work()
        median = statistics.median(seconds(work, device) for _ in range(request.repeats or REPEATS))
    return 2 * batch * edge**3 * channels**2 * KERNEL**3 / median / 1e9


def best_rate(request: Request) -> float:
    """GFLOP/s of the fastest convolution that was found."""
    layouts = (torch.contiguous_format, torch.channels_last_3d)
    tried = [(shape, layout) for shape in SHAPES for layout in layouts]
    return max(
        convolution_rate(request, shape, layout)
        for shape, layout in progress(tried, len(tried), "convolutions", "shape")
    )


def floor(request: Request, stamp: Mapping[str, object]) -> Iterator[str]:
    """Measure and write a row for each configuration; what it says."""
    repeats, device = request.repeats or REPEATS, request.device
    rate = best_rate(request)
    for model, size in request.configurations(STEPS):
        batch = request.training.batch_volumes * request.training.patches_of(size)
        gflop = step_gflop(request, model, size, batch)
        step = our_step(request, model, size, repeats + 1)
        step()
        times = [
            seconds(step, device) for _ in progress(range(repeats), repeats, f"floor {model} {size}", "step")
        ]
        median, least = statistics.median(times), gflop / rate
        numbers = {
            "gflop": gflop,
            "best_gflop_per_s": rate,
            "floor_s": least,
            "step_median_s": median,
            "step_over_floor": median / least,
        }
        row = {
            "network": model,
            "patch_size": size,
            "device": device.type,
            "precision": request.precision,
            "batch": batch,
            **{name: f"{value:.4g}" for name, value in numbers.items()},
            "repeats": repeats,
            **stamp,
        }
        table.replace(TABLE, [row])
        yield f"floor {model} {size}: {median:.3g} s a step, {median / least:.1f} times the floor"
