"""Cost of a stage: what the counters say, and what a machine without them leaves out."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from context_fbr.runtime import cost


def counters(folder: Path, **values: int) -> Path:
    """Write counters in microjoules, such as those of the system: a thread that reads them never sees half of one."""
    for name, value in values.items():
        path = folder / name.replace("_", ":")
        path.mkdir(parents=True, exist_ok=True)
        kind = "core" if name.count("_") > 1 else f"package-{name[-1]}"
        for file, text in {"max_energy_range_uj": "10000000", "name": kind, "energy_uj": str(value)}.items():
            new = folder / f"{file}.new"
            new.write_text(f"{text}\n")
            new.replace(path / file)
    return folder


def test_time_and_memory_are_those_of_the_process(tmp_path: Path) -> None:
    meter = cost.start(tmp_path)
    block = np.ones(40_000_000)  # 320 MB, written
    work = sum(range(3_000_000))
    found = cost.read(meter)
    now = psutil.Process().memory_info().rss
    del block
    assert work
    assert 0 <= found["cpu_seconds"] <= found["seconds"] * (psutil.cpu_count() or 1) + 0.2
    slack = 4 << 20  # Linux counts pages of each thread in batches, and reading takes some
    assert now - slack <= found["peak_memory_bytes"] <= psutil.virtual_memory().total
    assert found["peak_memory_bytes"] > 320e6
    assert "energy_joules" not in found
    assert "peak_gpu_memory_bytes" not in found


def test_energy_is_the_sum_over_processors_also_where_a_counter_starts_again(tmp_path: Path) -> None:
    folder = {"intel-rapl_0": 4_000_000, "intel-rapl_1": 9_000_000, "intel-rapl_0_0": 1_000_000}
    meter = cost.start(counters(tmp_path, **folder))
    counters(tmp_path, **{**folder, "intel-rapl_0": 6_500_000, "intel-rapl_1": 500_000})
    assert cost.read(meter)["energy_joules"] == 2.5 + 1.5


def test_energy_of_the_gpu_that_was_used_is_read_by_its_uuid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two GPUs in another order than PyTorch's; the second of PyTorch was used."""
    counters = {"GPU-a": 1_000, "GPU-b": 50_000}
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(counters),
        nvmlDeviceGetHandleByIndex=lambda index: list(counters)[index],
        nvmlDeviceGetUUID=lambda handle: handle,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: counters[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", [0, 7].__getitem__)
    names = [SimpleNamespace(uuid="b"), SimpleNamespace(uuid="a")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", names.__getitem__)
    meter = cost.start(tmp_path)
    counters.update({"GPU-a": 3_500, "GPU-b": 90_000})
    found = cost.read(meter)
    assert found["gpu_energy_joules"] == 2.5
    assert found["peak_gpu_memory_bytes"] == 7


def test_a_counter_that_starts_again_several_times_is_read_in_between(tmp_path: Path) -> None:
    """10 J a turn: 35 J are three turns and a half, which the ends alone do not show."""
    energy = cost.Energy(counters(tmp_path, **{"intel-rapl_0": 0}), every_s=3600)
    for joules in range(5, 36, 5):
        counters(tmp_path, **{"intel-rapl_0": joules % 10 * 1_000_000})
        found = energy.joules()
    assert found == 35


def test_a_thread_reads_the_counters_meanwhile(tmp_path: Path) -> None:
    energy = cost.Energy(counters(tmp_path, **{"intel-rapl_0": 0}), every_s=0.01)
    end = time.monotonic() + 10
    while energy._joules < 9 and time.monotonic() < end:
        counters(tmp_path, **{"intel-rapl_0": 9_000_000})
        time.sleep(0.01)
    assert energy._joules == 9


def test_the_counter_of_the_whole_machine_is_not_added_to_that_of_its_processor(tmp_path: Path) -> None:
    counters(tmp_path, **{"intel-rapl_0": 0, "intel-rapl_1": 0})
    (tmp_path / "intel-rapl:1/name").write_text("psys\n")
    energy = cost.Energy(tmp_path, every_s=3600)
    counters(tmp_path, **{"intel-rapl_0": 2_000_000})
    (tmp_path / "intel-rapl:1/name").write_text("psys\n")
    (tmp_path / "intel-rapl:1/energy_uj").write_text("3000000\n")
    assert energy.joules() == 2


@pytest.mark.parametrize("before", [True, False])
def test_a_counter_that_cannot_be_read_is_left_out(tmp_path: Path, before: bool) -> None:
    """From the beginning, or from some time on."""
    counters(tmp_path, **{"intel-rapl_0": 1})
    path = tmp_path / "intel-rapl:0/energy_uj"
    if before:
        path.write_text("denied")
    meter = cost.start(tmp_path)
    path.unlink()
    assert "energy_joules" not in cost.read(meter)
    counters(tmp_path, **{"intel-rapl_0": 2})
    assert "energy_joules" not in cost.read(meter)  # what was taken meanwhile is not known
