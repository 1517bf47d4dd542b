"""The device that the study would compute on, its cores and its memory."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence

import torch

from context_fbr.config.document import Document
from context_fbr.config.training import Training
from context_fbr.core.errors import UserError
from context_fbr.core.resources import usable_cores, usable_memory
from context_fbr.networks.device import DEVICE_VARIABLE, describe, prepare_device
from context_fbr_tools.doctor.check_result import Result, Status, guarded

GIB = 2**30
CELL_BYTES = GIB
"""Memory of one cell of the desk study, roughly; half of it are the libraries."""


def build_result(cuda: str | None, gpus: Sequence[str], driver: str | None) -> Result:
    """Check that PyTorch's build (its CUDA version, if any) finds the GPUs of NVIDIA's driver, if any."""
    found = f"{torch.__version__}, CUDA {cuda}, driver {driver}: {'; '.join(gpus) or 'no GPU'}"
    if driver and not gpus:
        fix = "check CUDA_VISIBLE_DEVICES and the driver's age" if cuda else "install PyTorch's CUDA build"
        return Result("PyTorch", Status.WARNING, f"{found}, so cells run on the CPU", fix)
    return Result("PyTorch", Status.OK, found)


def memory_result(free: int, jobs: int) -> Result:
    """Check that main memory holds as many cells (`jobs`) as would run at once."""
    found = f"{free / GIB:.1f} GiB free, for {jobs} cells at once"
    if free >= jobs * CELL_BYTES:
        return Result("memory", Status.OK, found)
    fitting = free // CELL_BYTES
    fix = f"`make repro JOBS={fitting}`" if fitting else "end other programs, or ask the scheduler for more"
    return Result("memory", Status.WARNING, f"{found}, which may be too little", fix)


def _pytorch() -> Iterator[Result]:
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    gpus = [f"{each.name}, {each.total_memory / GIB:.0f} GiB" for each in properties]
    driver = None
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        driver = next(iter(done.stdout.split()), None) if done.returncode == 0 else None
    yield build_result(torch.version.cuda, gpus, driver)


def _device() -> Iterator[Result]:
    """Choose the device as a cell would, and compute on it; UserError if it does not exist."""
    device = prepare_device(_threads())
    yield Result("device", Status.OK, f"{device}: {describe(device)}; {DEVICE_VARIABLE} chooses another")
    from context_fbr_tools.doctor import determinism, gradients  # import monai

    yield from guarded("gradients", lambda: gradients.check(device))
    yield from guarded("repeatability", lambda: determinism.check(device))


def _memory() -> Iterator[Result]:
    yield memory_result(usable_memory(), max(usable_cores() // _threads(), 1))


def _threads() -> int:
    """Return train.threads; 1 where params.yaml is not valid, which another check reports."""
    try:
        return Document.read().section(("train",), Training).threads
    except UserError:
        return 1


CHECKS = {"PyTorch": _pytorch, "device": _device, "memory": _memory}
