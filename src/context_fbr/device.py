"""Where networks run: the CPU with a stated number of threads, or the GPU that is least taken."""

import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from context_fbr import allocator, leases
from context_fbr.errors import UserError

DEVICE_VARIABLE = "CONTEXT_FBR_DEVICE"


def prepare_device(threads: int) -> torch.device:
    """Choose the device, make its arithmetic repeatable, and keep freed memory for what comes next.

    Of several devices this process takes, until it ends, the one that the fewest of this user's processes
    have taken: N workers of a queue spread over N GPUs. The environment variable CONTEXT_FBR_DEVICE (cpu,
    cuda:1, or several as in cuda:0,cuda:2) says which to choose from; without it all GPUs, or the CPU.

    `threads` decides the bits of a result on the CPU, so it is a parameter and nothing else may set it.

    Raises:
        UserError: if the variable names a device that this machine lacks.
    """
    allocator.keep()
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    devices = _wanted() or [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if not devices:
        return torch.device("cpu")
    return devices[0] if len(devices) == 1 else _share(devices)


def _wanted() -> list[torch.device]:
    wanted = os.environ.get(DEVICE_VARIABLE, "")
    try:
        devices = [torch.device(name.strip()) for name in wanted.split(",")] if wanted else []
        for device in devices:
            # No tensor on a GPU before it is chosen: each process would leave some 300 MB on every GPU.
            if device.type != "cuda":
                torch.empty(1, device=device)
            elif (device.index or 0) >= torch.cuda.device_count():
                raise RuntimeError(f"PyTorch finds {torch.cuda.device_count()} CUDA devices here")
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"{DEVICE_VARIABLE}={wanted}: {str(error).splitlines()[0]}; take cpu, cuda, a list as "
            "cuda:0,cuda:1, or unset it"
        ) from error
    return devices


def _share(devices: Sequence[torch.device]) -> torch.device:
    """Take a device and say which; the locks are this user's, and lie where every checkout finds them."""
    folder = Path(tempfile.gettempdir()) / f"context-fbr-{os.getuid()}" / "devices"
    try:
        device = devices[leases.take([_name(device) for device in devices], folder).index]
    except OSError as error:
        raise UserError(
            f"{folder}: could not be used to share devices: {error.strerror}; make it writable, "
            f"or set {DEVICE_VARIABLE} to one device"
        ) from error
    print(f"device: {device}", flush=True)
    return device


def _name(device: torch.device) -> str:
    """A name that does not depend on CUDA_VISIBLE_DEVICES, which numbers GPUs anew for each process."""
    if device.type != "cuda":
        return str(device)
    return str(torch.cuda.get_device_properties(device).uuid)


def describe(device: torch.device) -> str:
    """The kind of a device, on which a result's bits depend: the GPU's name, or the CPU's and its vectors."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return f"CPU, {name}, {torch.backends.cpu.get_cpu_capability()}"
