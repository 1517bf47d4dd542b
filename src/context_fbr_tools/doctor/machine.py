"""The device that the study would compute on, its cores and its memory."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout

import torch

from context_fbr.config.document import Document
from context_fbr.config.training import Training
from context_fbr.core.errors import UserError
from context_fbr.core.resources import usable_cores, usable_memory
from context_fbr.networks.device import DEVICE_VARIABLE, describe, prepare_device
from context_fbr_tools.doctor.check_result import Result, Status, guarded

GIB = 2**30
CELL_BYTES = GIB
"""Roughly what one cell of the desk study takes; half of it are the libraries."""
MANY_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
THREAD_LIMIT = "OMP_THREAD_LIMIT"


def check() -> Iterator[Result]:
    """PyTorch, GPUs, device; what the device computes; cores, threads, memory."""
    yield from guarded("PyTorch", _pytorch)
    threads = _threads()
    try:
        with redirect_stdout(sys.stderr):
            device = prepare_device(threads)
    except UserError as error:
        yield Result("device", Status.WRONG, str(error), f"`unset {DEVICE_VARIABLE}`, or name another device")
        yield Result("self-tests", Status.DOUBTFUL, "not run, for want of the device")
    else:
        wanted = os.environ.get(DEVICE_VARIABLE)
        asked = f", as {DEVICE_VARIABLE}={wanted} says" if wanted else ""
        yield Result("device", Status.OK, f"{device}: {describe(device)}{asked}")
        yield from guarded("gradients", lambda: _gradients(device))
        yield from guarded("repeatability", lambda: _repeatability(device))
    yield threads_result(threads, usable_cores(), os.environ)
    yield memory_result(usable_memory(), max(usable_cores() // threads, 1))


def threads_result(threads: int, cores: int, environment: Mapping[str, str]) -> Result:
    """Whether threads fit the cores, by train.threads and by the variables that libraries read."""
    found = f"{cores} usable cores, train.threads: {threads}"
    numbers = {
        name: int(environment[name])
        for name in (*MANY_THREADS, THREAD_LIMIT)
        if environment.get(name, "").isdecimal()
    }
    problems, remedies = [], []
    if threads > cores:
        problems.append("a cell has more threads than there are cores")
        remedies.append("get more cores, or lower train.threads (other bits, other results)")
    for name in MANY_THREADS:
        if numbers.get(name, 0) > cores:
            problems.append(f"{name}={numbers[name]} is more than there are cores")
            remedies.append(f"`unset {name}`")
    if numbers.get(THREAD_LIMIT, threads) < threads:
        problems.append(f"{THREAD_LIMIT}={numbers[THREAD_LIMIT]} leaves fewer: other bits, other results")
        remedies.append(f"`unset {THREAD_LIMIT}`")
    if problems:
        return Result("threads", Status.DOUBTFUL, "; ".join([found, *problems]), "; ".join(remedies))
    return Result("threads", Status.OK, found)


def memory_result(free: int, jobs: int) -> Result:
    """Whether main memory holds as many cells (`jobs`) as would run at once."""
    found = f"{free / GIB:.1f} GiB free, for {jobs} cells at once"
    if free >= jobs * CELL_BYTES:
        return Result("memory", Status.OK, found)
    fitting = free // CELL_BYTES
    to_do = f"`make repro JOBS={fitting}`" if fitting else "end other programs, or ask the scheduler for more"
    return Result("memory", Status.DOUBTFUL, f"{found}, which may be too little", to_do)


def build_result(
    cuda: str | None, gpus: Sequence[str], driver: str | None, uncovered: Sequence[str]
) -> Result:
    """Whether PyTorch's build suits the GPUs.

    Args:
        cuda: version that PyTorch was built for; None: a CPU build.
        gpus: those that it finds, in words.
        driver: NVIDIA's version, if its tool finds one.
        uncovered: those GPUs that the build has no code for.
    """
    build = f"PyTorch {torch.__version__}, {f'CUDA {cuda}' if cuda else 'CPU build'}"
    installed = f", driver {driver}" if driver else ""
    found = f"{build}{installed}: {'; '.join(gpus) or 'no GPU'}"
    if uncovered:
        text = f"{found}; it has no code for {', '.join(uncovered)}"
        return Result("PyTorch", Status.DOUBTFUL, text, "install a build for them, or choose others")
    if driver and not cuda:
        text = f"{build}, but there is an NVIDIA driver ({driver}): cells run on the CPU"
        return Result("PyTorch", Status.DOUBTFUL, text, "install PyTorch's CUDA build, if the GPU is meant")
    if cuda and driver and not gpus:
        text = f"{found} that PyTorch can use: cells run on the CPU"
        to_do = "look at CUDA_VISIBLE_DEVICES; a driver too old for this CUDA needs an update"
        return Result("PyTorch", Status.DOUBTFUL, text, to_do)
    return Result("PyTorch", Status.OK, found)


def has_code_for(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether a build for these architectures (`sm_90`, `compute_90`) runs on a GPU of this capability.

    Machine code runs on later minor versions of its major one, PTX on everything later.
    """
    major, minor = capability
    for name in architectures:
        kind, _, number = name.partition("_")
        digits = "".join(filter(str.isdecimal, number))
        built = (int(digits[:-1] or 0), int(digits[-1:] or 0))
        if kind == "compute" and built <= capability:
            return True
        if kind == "sm" and built[0] == major and built[1] <= minor:
            return True
    return False


def _gradients(device: torch.device) -> Iterator[Result]:
    from context_fbr_tools.doctor import gradients  # imports monai, without which the machine can be checked

    return gradients.check(device)


def _repeatability(device: torch.device) -> Iterator[Result]:
    from context_fbr_tools.doctor import determinism  # likewise

    return determinism.check(device)


def _pytorch() -> Iterator[Result]:
    gpus, uncovered = [], []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        capability = (properties.major, properties.minor)
        memory = f"{properties.total_memory / GIB:.0f} GiB"
        gpus.append(f"cuda:{index} {properties.name}, {memory}, capability {'%d.%d' % capability}")  # noqa: UP031
        if not has_code_for(capability, torch.cuda.get_arch_list()):
            uncovered.append(f"cuda:{index}")
    yield build_result(torch.version.cuda, gpus, _driver(), uncovered)


def _driver() -> str | None:
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None


def _threads() -> int:
    """Of params.yaml; 1 where it does not say, which is a finding of another check."""
    try:
        return Document.read().section(("train",), Training).threads
    except UserError:
        return 1
