"""Speed and memory of a device: steps our way and the original's, variants of a step, whole volumes."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from multiprocessing.synchronize import Barrier
from queue import Empty
from statistics import median

import numpy as np
import torch
from monai.losses import DiceLoss

from benchmarks import pairs, passes
from benchmarks.gpu_checks import Value
from benchmarks.network_parts import SEED, original_step, our_step, volume
from benchmarks.pairs import seconds, synchronise, units
from benchmarks.request import Request
from context_fbr.datasets import spheres
from context_fbr.metrics.overlap import score
from context_fbr.networks import factory, sliding_window
from context_fbr.networks.convolutions import unguard
from context_fbr.networks.device import prepare_device
from context_fbr.networks.memory_format import memory_format

REPEATS, WARM_UP = 9, 3
TOGETHER = 4
"""Cells on one device at once."""


def step(request: Request, model: str, size: int) -> Iterator[Value]:
    """Yield seconds of a training step our way and the original's, memory, and the network's share."""
    repeats = request.repeats or REPEATS
    peak_start(request.device)
    ours = our_step(request, model, size, units(repeats) + 2 * repeats)
    measured = pairs.measure(
        original_step(request, model, size), ours, repeats, request.device, f"step {model} {size}"
    )
    theirs, own, ratio, low, high = measured.summary
    yield "step, original", theirs, "s"
    yield "step, ours", own, "s"
    yield "step, original over ours", ratio, f"ratio, {low:.3g} to {high:.3g}"
    yield from peak(request.device, "memory of a step")
    yield from network_share(request, model, size)


def network_share(request: Request, model: str, size: int) -> Iterator[Value]:
    """Yield the share of a step that is not the network's own passes."""
    repeats = request.repeats or REPEATS
    built: list[torch.nn.Module] = []
    build = factory.build

    def keep(*arguments: object, **options: object) -> torch.nn.Module:
        built.append(build(*arguments, **options))  # type: ignore[arg-type]
        return built[-1]

    factory.build = keep  # type: ignore[assignment]
    try:
        ours = our_step(request, model, size, units(repeats) + WARM_UP)
    finally:
        factory.build = build
    for _ in range(WARM_UP):
        ours()
    with passes.watched(built[0], request.device) as watched:
        whole = sum(seconds(ours, request.device) for _ in range(repeats))
    yield "step, share outside of the network", 1 - sum(watched.seconds.values()) / whole, "share"


def variants(request: Request, model: str, size: int, compiled: bool) -> Iterator[Value]:
    """Yield seconds of forward, loss, backward and Adam by memory format and precision, and compiled."""
    image = torch.from_numpy(volume(request, spheres.TRAINING, 0)[0])[:size, :size, :size].to(request.device)
    count = request.training.batch_volumes * request.training.patches_of(size)
    images = image.expand(count, 1, *image.shape).contiguous()
    labels = (images > 0.5).float()
    for name, last, bf16, compile_it in (
        ("contiguous, float32", False, False, False),
        ("channels last, float32", True, False, False),
        ("contiguous, bf16", False, True, False),
        ("channels last, bf16", True, True, False),
        *((("compiled, contiguous, float32", False, False, True),) if compiled else ()),
    ):
        layout = torch.channels_last_3d if last else torch.contiguous_format
        network = unguard(factory.build(request.document, model, size, SEED)).to(request.device).train()
        network = network.to(memory_format=layout)  # type: ignore[call-overload]
        run = torch.compile(network) if compile_it else network
        own = one_step(run, network, images.contiguous(memory_format=layout), labels, bf16)
        try:
            for _ in range(WARM_UP):
                own()
            took = median(seconds(own, request.device) for _ in range(request.repeats or REPEATS))
        except Exception as error:  # a compiler, or a kernel that the device lacks
            print(
                f"{model} {size}, {name}: {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True
            )
            continue
        yield f"plain step: {name}", took, "s"


def one_step(
    run: Callable[[torch.Tensor], torch.Tensor],
    network: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    bf16: bool,
) -> Callable[[], None]:
    """Return a function that makes one plain training step on fixed patches."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    loss = DiceLoss(to_onehot_y=True, softmax=True)

    def step() -> None:
        context = torch.autocast(images.device.type, torch.bfloat16) if bf16 else nullcontext()
        with context:
            outputs = run(images)
        optimizer.zero_grad(set_to_none=True)
        loss(outputs.float(), labels).backward()
        optimizer.step()

    return step


def whole_volume(request: Request, model: str, size: int) -> Iterator[Value]:
    """Yield seconds of the sliding window over one test volume, and its memory."""
    image = torch.from_numpy(volume(request, spheres.TEST, 0)[0]).to(request.device)
    network = factory.build(request.document, model, size, SEED).to(request.device).eval()
    network.to(memory_format=memory_format(network))  # type: ignore[call-overload]
    peak_start(request.device)

    def work() -> object:
        return sliding_window.sliding_window(network, image, size, request.window)

    work()
    yield (
        "sliding window",
        median(seconds(work, request.device) for _ in range(request.repeats or REPEATS)),
        "s",
    )
    yield from peak(request.device, "memory of a sliding window")
    label = volume(request, spheres.TEST, 0)[1]
    moved = np.roll(label, 2, axis=0)  # as a trained network's; surfaces of noise would take longer
    took = median(seconds(lambda: score(moved, label), request.device) for _ in range(3))
    yield "scoring of a case", took, "s"


def several(request: Request, model: str, size: int) -> Iterator[Value]:
    """Yield how many times as many steps several cells at once make on one device, each a process of its own.

    Raises:
        RuntimeError: if one of them ends early.
    """
    context = multiprocessing.get_context("spawn")
    ready, alone = context.Barrier(TOGETHER), context.Barrier(TOGETHER)
    answers = context.Queue()
    shared = (request, model, size, ready, alone, answers)
    workers = [context.Process(target=_steps, args=(*shared, not number)) for number in range(TOGETHER)]
    for worker in workers:
        worker.start()
    taken: list[tuple[str, float]] = []
    try:
        while len(taken) < TOGETHER + 1:
            try:
                taken.append(answers.get(timeout=1))
            except Empty:
                if any(worker.exitcode for worker in workers):
                    raise RuntimeError(f"one of {TOGETHER} processes failed; see above") from None
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    single = next(seconds for name, seconds in taken if name == "alone")
    together = max(seconds for name, seconds in taken if name == "together")
    yield f"steps of {TOGETHER} cells at once over one", TOGETHER * single / together, "ratio"


def _steps(
    request: Request,
    model: str,
    size: int,
    ready: Barrier,
    alone: Barrier,
    answers: "multiprocessing.Queue[tuple[str, float]]",
    first: bool,
) -> None:
    """Time steps in a process: the first one alone, then all at once."""
    prepare_device(request.training.threads)
    steps = 4 * (request.repeats or REPEATS)
    work = our_step(request, model, size, WARM_UP + 2 * steps)

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            work()
        synchronise(request.device)
        return time.perf_counter() - start

    run(WARM_UP)
    ready.wait()
    if first:
        answers.put(("alone", run(steps)))
    alone.wait()
    answers.put(("together", run(steps)))


def peak_start(device: torch.device) -> None:
    """Forget the greatest memory so far."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device, name: str) -> Iterator[Value]:
    """Yield the greatest memory of a GPU since `peak_start`; the CPU's is not known."""
    if device.type == "cuda":
        yield name, torch.cuda.max_memory_allocated(device) / 1e9, "GB"
