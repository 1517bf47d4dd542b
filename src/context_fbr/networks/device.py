"""The device that networks run on: the CPU with a given number of threads, or the GPU with fewest processes.

Processes share GPUs through locks on files, which the system releases when their process ends, also after a
crash.
"""

import atexit
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.parse import quote

import torch
from filelock import BaseFileLock, FileLock, Timeout

from context_fbr.core.errors import UserError
from context_fbr.networks import allocator

DEVICE_VARIABLE = "CONTEXT_FBR_DEVICE"
CPU_FACTS = ("vendor_id", "cpu family", "model", "stepping", "cache size", "CPU implementer", "CPU part")
INSTRUCTION_SETS = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "asimd", "sve", "sme", "bf16", "i8mm")
KERNEL_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)
"""Environment variables that choose the kernels of oneDNN, MKL, OpenBLAS and PyTorch."""


def prepare_device(threads: int) -> torch.device:
    """Choose the device, make its arithmetic repeatable, and keep freed memory for what comes next.

    Of several devices this process takes, until it ends, the one that the fewest of this user's processes
    have taken: N workers of a queue spread over N GPUs. The environment variable CONTEXT_FBR_DEVICE (cpu,
    cuda:1, or several as in cuda:0,cuda:2) names the devices to choose from; without it all GPUs, or the CPU.

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
    """Take a device and print its name; all checkouts of this user share the folder of the locks."""
    folder = Path(tempfile.gettempdir()) / f"context-fbr-{os.getuid()}" / "devices"
    try:
        index, lock = acquire_device([_name(device) for device in devices], folder)
    except OSError as error:
        raise UserError(
            f"{folder}: could not be used to share devices: {error.strerror}; make it writable, "
            f"or set {DEVICE_VARIABLE} to one device"
        ) from error
    atexit.register(lock.release)
    print(f"device: {devices[index]}", flush=True)
    return devices[index]


def _name(device: torch.device) -> str:
    """Return a name that does not depend on CUDA_VISIBLE_DEVICES, by which the numbers of GPUs change."""
    if device.type != "cuda":
        return str(device)
    return str(torch.cuda.get_device_properties(device).uuid)


def describe(device: torch.device) -> str:
    """Return the kind of a device for people: the GPU's name, or the CPU's and its vectors."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    facts = _cpu_facts()
    name = facts.get("model name") or platform.processor() or platform.machine()
    return f"CPU, {name}, {torch.backends.cpu.get_cpu_capability()}"


def identify(device: torch.device) -> str:
    """Return everything of a device that decides the bits of a result, in one line.

    Of a CPU these are generation, instruction sets and cache, by which oneDNN chooses its kernels, and the
    environment variables that overrule its choice. CPUs of one name can differ in all of them.
    """
    if device.type != "cpu":
        tf32 = ", TF32" if torch.backends.cudnn.allow_tf32 else ""
        cudnn = f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}{tf32}"
        return describe(device) + (cudnn if device.type == "cuda" else "")
    facts = _cpu_facts()
    parts = [f"{name} {facts[name]}" for name in CPU_FACTS if name in facts]
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    sets = sorted(flag for flag in flags if flag.startswith(INSTRUCTION_SETS))
    chosen = [f"{name}={os.environ[name]}" for name in KERNEL_VARIABLES if os.environ.get(name)]
    return "; ".join([describe(device), *parts, " ".join(sets), *chosen])


def _cpu_facts() -> dict[str, str]:
    """Return the facts of the first processor in /proc/cpuinfo; nothing where there is no such file."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def acquire_device(devices: Sequence[str], folder: Path) -> tuple[int, BaseFileLock]:
    """Take the lowest free share, of the first device that has it.

    That is the device that fewest processes hold, unless shares were given back out of turn.

    Args:
        devices: at least one name; the same device must have the same name in every process.
        folder: of the lock files, the same for all processes; made if it is missing.

    Returns:
        The place of the device in the list, and the lock of the share, which is free again after `release`
        or when this process ends.

    Raises:
        OSError: if the folder cannot be used.
    """
    # Shares are tried in turns: a device has a second one only if every other device has a first.
    for share, (index, name) in ((s, d) for s in count() for d in enumerate(devices)):
        lock = FileLock(folder / f"{quote(name, safe='')}.{share}.lock", mode=0o600, fallback_to_soft=False)
        with suppress(Timeout):
            lock.acquire(blocking=False)
            return index, lock
    raise AssertionError("an endless count has ended")
