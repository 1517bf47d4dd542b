"""Measure the parts of a cell, in a process of its own: one line of JSON.

python -m context_fbr_tools.study.planning.forecast.measure CELL

The cell's volumes are loaded as its training loads them, then some steps are trained, some volumes are
validated, and some test cases are segmented and scored. Nothing is written. The greatest memory is read
before the test cases: an evaluation holds no volumes of the training.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice, pairwise

import torch

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.evaluation import EvaluateConfig
from context_fbr.config.training import TrainConfig, Training
from context_fbr.core import nifti
from context_fbr.evaluation import case_scores
from context_fbr.networks import factory, windows
from context_fbr.networks.device import prepare_device
from context_fbr.networks.sliding_window import segment
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.prepared import PreparedTask
from context_fbr.runtime.cost import peak_memory
from context_fbr.runtime.entry import run_command
from context_fbr.training import loop
from context_fbr.training.batches import Protocol, Volume
from context_fbr.training.inputs import load_volumes
from context_fbr_tools.study.planning.evenly import evenly
from context_fbr_tools.study.planning.forecast.passes import count

STEPS, LEAST_S, WARM_UP = 8, 4.0, 2
"""Steps to measure, at least, and seconds that they take together, at least; steps before them."""
MOST_STEPS = 200
VALIDATED, TESTED = 3, 2
"""Volumes that are validated, and test cases that are evaluated."""


@dataclass(frozen=True)
class Parts:
    """Measured seconds of the parts of a cell, and sizes in bytes."""

    load: float
    """Seconds until all volumes of the training are in memory."""
    step: float
    """Mean of a training step."""
    steps: int
    """Number in an epoch."""
    validation: float
    """Seconds of one validation of all volumes."""
    evaluation: float
    """Seconds of all test cases in all windows, with reading, scoring and writing."""
    memory: int
    """Greatest memory of the process."""
    gpu_memory: int
    """Greatest memory of the tensors on a GPU; 0 on a CPU."""
    weights: int
    predictions: int
    """Size of the files of all cases."""


def measure(cell: Cell, document: Document) -> Parts:
    """Measure a cell of a task whose data are prepared.

    Raises:
        UserError: as of the stages `train` and `evaluate`.
    """
    config, scoring = TrainConfig.read(document, cell), EvaluateConfig.read(document, cell)
    device = prepare_device(config.train.threads)
    task = prepared.read_task(cell.task)
    ends = 1 + task.structures, task.channels
    network = factory.build(document, cell.model, cell.patch_size, cell.seed, *ends).to(device)
    core = config.train.core_size(cell.patch_size)
    begun = time.perf_counter()
    training, _ = load_volumes(cell, task.split("train"), device, core)
    validation, _ = load_volumes(cell, task.split("validation"), device, core)
    load = time.perf_counter() - begun
    protocol = Protocol(
        config.train, config.window, 1, cell.patch_size, cell.seed, structures=task.structures
    )
    step = _step(network, training, validation[:1], protocol, device)
    some = evenly(sorted(validation, key=lambda volume: tuple(volume.label.shape)), VALIDATED)
    taken = _seconds(lambda: loop.validate(network, some, protocol), device)
    share = sum(_passes(network, v, protocol) for v in validation) / sum(
        _passes(network, v, protocol) for v in some
    )
    memory = peak_memory() or 0
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    evaluation, predictions = _evaluation(cell, task, network, scoring, config.train, device)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    steps = math.ceil(len(training) / config.train.batch_volumes)
    return Parts(load, step, steps, taken * share, evaluation, memory, gpu, weights, predictions)


def _step(
    network: torch.nn.Module,
    training: Sequence[Volume],
    validation: Sequence[Volume],
    protocol: Protocol,
    device: torch.device,
) -> float:
    """Return the mean seconds of a step; the first ones, in which memory is taken, do not count."""
    size = protocol.settings.batch_volumes
    seconds: list[float] = []
    left = WARM_UP
    while (len(seconds) < STEPS or sum(seconds) < LEAST_S) and len(seconds) < MOST_STEPS:
        marks: list[float] = []

        def pause(_: Callable[[], object], marks: list[float] = marks) -> None:
            _wait(device)
            marks.append(time.perf_counter())

        steps = STEPS + left
        chosen = list(islice(cycle(training), steps * size))
        for _ in loop.train(network, chosen, validation, protocol, None, pause):
            pass
        taken = [after - before for before, after in pairwise(marks[: steps + 1])]
        seconds += taken[left:]
        left = 1  # a new optimizer takes memory for its moments
    return statistics.mean(seconds)


def _passes(network: torch.nn.Module, volume: Volume, protocol: Protocol) -> int:
    """Return the number of windows of a validation volume, which is padded to hold a patch."""
    size, shape = protocol.patch_size, tuple(volume.label.shape)
    wanted = windows.resolve([protocol.settings.validation_window], size, windows.has_fixed_size(network))
    (window,) = windows.shapes_of(network, wanted or (size,), [shape])[shape]
    return count(shape, window, protocol.inner_core, protocol.window.overlap)


def _evaluation(
    cell: Cell,
    task: PreparedTask,
    network: torch.nn.Module,
    config: EvaluateConfig,
    settings: Training,
    device: torch.device,
) -> tuple[float, int]:
    """Return the seconds of the evaluation of all cases, and the bytes of their predictions."""
    network.eval()
    cases = task.split("test")
    names = windows.resolve(config.scoring.windows, cell.patch_size, windows.has_fixed_size(network))
    shapes = windows.shapes_of(network, names, [case.shape for case in cases])
    core, overlap = settings.inner_core(cell.patch_size), config.window.overlap
    chosen = evenly(sorted(cases, key=lambda case: math.prod(case.shape)), TESTED)
    others, sizes = 0.0, 0
    passing = [0.0] * len(names)
    for case in chosen:
        begun = time.perf_counter()
        image, label = prepared.read_volume(cell.task, case)
        original, header = originals.read_masks(cell.task, case), originals.read_header(cell.task, case)
        voxels = torch.from_numpy(image).to(device)
        for number, shape in enumerate(shapes[tuple(case.shape)]):
            before = time.perf_counter()
            mask = segment(network, voxels, shape, config.window, case.background, core).cpu().numpy()
            passing[number] += time.perf_counter() - before
            tolerance = config.scoring.surface_tolerance_mm
            _, found = case_scores.score_structures(mask, label, case, original, tolerance)
        sizes += len(nifti.encode_mask(found, header))
        others += time.perf_counter() - begun
    share = len(cases) / len(chosen)
    seconds = share * (others - sum(passing))
    for number, own in enumerate(passing):
        every, some = (
            sum(count(case.shape, shapes[tuple(case.shape)][number], core, overlap) for case in of)
            for of in (cases, chosen)
        )
        seconds += own * every / some
    return seconds, round(sizes * share)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    begun = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begun


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    (key,) = arguments
    print(json.dumps(asdict(measure(Cell.from_key(key), Document.read()))), flush=True)


if __name__ == "__main__":
    run_command(main)
