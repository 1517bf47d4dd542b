"""Cost of a stage: time by the clock and of the CPU, greatest memory and, where it can be read, energy."""

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

PACKAGES = Path("/sys/class/powercap")
"""Counters of Intel's RAPL, of AMD's processors too; most systems let only root read them."""
EVERY_S = 20.0
"""Seconds between readings: a counter of 65 kJ starts again after two minutes at 500 W."""


class Energy:
    """Energy that the machine's processors take from now on; a thread reads their counters, if any."""

    def __init__(self, packages: Path, every_s: float = EVERY_S) -> None:
        self._packages, self._joules, self._lock = packages, 0.0, threading.Lock()
        self._last: Mapping[Path, int] | None = _counters(packages) or None
        if self._last is not None:
            threading.Thread(target=self._watch, args=(every_s,), daemon=True).start()

    def _watch(self, every_s: float) -> None:
        time.sleep(every_s)
        while self.joules() is not None:
            time.sleep(every_s)

    def joules(self) -> float | None:
        """Return the sum over the processors; None without counters, or since one could not be read."""
        with self._lock:
            if self._last is None:
                return None
            now = _counters(self._packages)
            if now.keys() != self._last.keys():
                self._last = None
                return None
            for path, value in now.items():
                before = self._last[path]
                # After its greatest value a counter starts again at 0.
                self._joules += (value - before + (0 if value >= before else _greatest(path))) / 1e6
            self._last = now
            return self._joules


@dataclass(frozen=True)
class Meter:
    """State of the counters when a stage begins."""

    clock: float
    """Seconds."""
    cpu: float
    """Seconds of CPU time of this process."""
    energy: Energy
    """Energy of the processors."""
    gpu_energy: Mapping[str, int]
    """Millijoules by UUID of a GPU; none where they cannot be read."""


def start(packages: Path = PACKAGES) -> Meter:
    """Read the counters (`packages`: for tests)."""
    return Meter(time.monotonic(), time.process_time(), Energy(packages), _gpu_energy())


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
    if (joules := meter.energy.joules()) is not None:
        found["energy_joules"] = round(joules, 1)
    return found


def peak_memory() -> int | None:
    """Return the most memory in bytes that this process has held; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def _counters(packages: Path) -> dict[Path, int]:
    """Return microjoules by counter of a whole processor; nothing if one cannot be read.

    Parts of a processor have counters of their own, and so has the whole machine (`psys`).
    """
    found = {}
    for path in sorted(packages.glob("intel-rapl:*/energy_uj")):
        try:
            if path.with_name("name").read_text().startswith("package"):
                found[path] = int(path.read_text())
        except (OSError, ValueError):
            return {}
    return found


def _greatest(path: Path) -> int:
    """Return the greatest value of a counter; 0 if it cannot be read."""
    with suppress(OSError, ValueError):
        return int(path.with_name("max_energy_range_uj").read_text())
    return 0


def _gpu_energy() -> dict[str, int]:
    """Return the counters of NVIDIA's GPUs; nothing without their driver or the package nvidia-ml-py."""
    try:
        import pynvml
    except ImportError:
        return {}
    found = {}
    with suppress(pynvml.NVMLError):  # no driver
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            with suppress(pynvml.NVMLError):  # a GPU older than Volta
                device = pynvml.nvmlDeviceGetHandleByIndex(index)
                energy = int(pynvml.nvmlDeviceGetTotalEnergyConsumption(device))
                found[str(pynvml.nvmlDeviceGetUUID(device))] = energy
    return found
