"""Cost of a stage: time by the clock and of the CPU, greatest memory and, where it can be read, energy."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

PACKAGES = Path("/sys/class/powercap")
"""Counters of Intel's RAPL, of AMD's processors too; most systems let only root read them."""


@dataclass(frozen=True)
class Meter:
    """State of the counters when a stage begins."""

    clock: float
    """Seconds."""
    cpu: float
    """Seconds of CPU time of this process."""
    energy: Mapping[Path, int]
    """Microjoules by counter of a processor; none where they cannot be read."""
    gpu_energy: Mapping[str, int]
    """Millijoules by UUID of a GPU; none where they cannot be read."""


def start(packages: Path = PACKAGES) -> Meter:
    """Read the counters (`packages`: for tests)."""
    return Meter(time.monotonic(), time.process_time(), _energy(packages), _gpu_energy())


def read(meter: Meter) -> dict[str, float | int]:
    """Return what a stage has taken since `start`.

    `seconds` and `cpu_seconds`; `peak_memory_bytes` of the process, where the system counts it, and
    `peak_gpu_memory_bytes` of its tensors on a GPU; `energy_joules` of the machine's processors and
    `gpu_energy_joules` of the GPU that it used meanwhile, whatever else ran there.
    """
    found: dict[str, float | int] = {
        "seconds": round(time.monotonic() - meter.clock, 1),
        "cpu_seconds": round(time.process_time() - meter.cpu, 1),
    }
    if (memory := peak_memory()) is not None:
        found["peak_memory_bytes"] = memory
    if torch.cuda.is_initialized():
        memory_of = {
            index: torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count())
        }
        used = max(memory_of, key=lambda index: memory_of[index])
        found["peak_gpu_memory_bytes"] = memory_of[used]
        name = f"GPU-{torch.cuda.get_device_properties(used).uuid}"  # as NVML writes it
        if name in meter.gpu_energy and name in (now := _gpu_energy()):
            found["gpu_energy_joules"] = round((now[name] - meter.gpu_energy[name]) / 1e3, 1)
    if meter.energy:
        found["energy_joules"] = round(sum(_taken(path, old) for path, old in meter.energy.items()) / 1e6, 1)
    return found


def peak_memory() -> int | None:
    """Return the most memory in bytes that this process has held; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def _energy(packages: Path) -> dict[Path, int]:
    """Return the counters of whole processors; those of their parts have a further number."""
    found = {}
    for path in sorted(packages.glob("intel-rapl:*/energy_uj")):
        if path.parent.name.count(":") == 1:
            try:
                found[path] = int(path.read_text())
            except (OSError, ValueError):
                return {}
    return found


def _gpu_energy() -> dict[str, int]:
    """Return the counters of NVIDIA's GPUs; nothing without their driver or the package nvidia-ml-py."""
    try:
        import pynvml
    except ImportError:
        return {}
    try:
        pynvml.nvmlInit()
        devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return {
            str(pynvml.nvmlDeviceGetUUID(device)): int(pynvml.nvmlDeviceGetTotalEnergyConsumption(device))
            for device in devices
        }
    except pynvml.NVMLError:  # no driver, or a GPU older than Volta
        return {}


def _taken(path: Path, before: int) -> int:
    """Return the microjoules since a reading; a counter starts at 0 again after its greatest value."""
    now = int(path.read_text())
    return (
        now - before
        if now >= before
        else now - before + int(path.with_name("max_energy_range_uj").read_text())
    )
