"""The device that networks run on: the CPU with a given number of threads, or the GPU with fewest processes.

Processes share GPUs through leases: a lease is a lock on a file, which the system releases when its process
ends, also after a crash.
"""

import fcntl
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

import torch

from context_fbr.core import allocator
from context_fbr.core.errors import UserError

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
        device = devices[acquire_device([_name(device) for device in devices], folder).index]
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
    """Return what /proc/cpuinfo says of the first processor; nothing where there is no such file."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


@dataclass(frozen=True)
class Lease:
    """A share of one device, held until this process ends or `release` is called."""

    index: int
    """Place of the device in the list that was asked for."""
    file: int
    """Descriptor of the locked file."""

    def release(self) -> None:
        """Give the share back."""
        os.close(self.file)


def acquire_device(devices: Sequence[str], folder: Path) -> Lease:
    """Take the lowest free share, of the first device that has it.

    That is the device that fewest processes hold, unless shares were given back out of turn.

    Args:
        devices: at least one name; the same device must have the same name in every process.
        folder: where the locks lie, the same for all processes; made if it is missing.

    Raises:
        OSError: if the folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Nobody gets a second share of a device while another device has none: shares are tried in turns.
    for share, (index, name) in ((s, d) for s in count() for d in enumerate(devices)):
        file = os.open(folder / f"{quote(name, safe='')}.{share}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        except BaseException:
            os.close(file)
            raise
        else:
            return Lease(index, file)
    raise AssertionError("an endless count has ended")
