"""Devices shared by processes that do not know of one another."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from workspace import ROOT

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr.networks import device
from context_fbr_tools.grid import gpus as gpus_of_cells

DEVICES = ["GPU-a", "GPU-b", "GPU-c"]
HOLD = """
import sys
from pathlib import Path
from context_fbr.networks import device
folder, *devices = sys.argv[1:]
index, lock = device.acquire_device(devices, Path(folder))
print(index, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, devices: list[str] = DEVICES) -> Iterator[subprocess.Popen[str]]:
    """A process that takes a device, and keeps it until the block ends."""
    command = [sys.executable, "-c", HOLD, str(folder), *devices]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def device_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return DEVICES[int(process.stdout.readline())]


@pytest.mark.slow
def test_processes_that_start_at_once_spread_evenly_over_the_devices(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(holder(tmp_path)) for _ in range(4)]
        shares = Counter(map(device_of, processes))
    assert sorted(shares[name] for name in DEVICES) == [1, 1, 2]


@pytest.mark.slow
def test_a_process_that_is_killed_gives_its_device_back(tmp_path: Path) -> None:
    with holder(tmp_path) as first, holder(tmp_path) as second, holder(tmp_path) as third:
        held = {device_of(process): process for process in (first, second, third)}
        assert held.keys() == set(DEVICES)
        held["GPU-b"].kill()
        held["GPU-b"].wait()
        with holder(tmp_path) as fourth:
            assert device_of(fourth) == "GPU-b"


def test_devices_are_known_by_name_whatever_their_place_in_the_list(tmp_path: Path) -> None:
    """As with CUDA_VISIBLE_DEVICES, which gives the same GPU another number in each process."""
    first = device.acquire_device(["GPU-a", "GPU-b"], tmp_path)
    second = device.acquire_device(["GPU-a"], tmp_path)  # the only one it may use is taken: it is shared
    third = device.acquire_device(["GPU-b", "GPU-a"], tmp_path)
    assert (first[0], second[0], third[0]) == (0, 0, 0)
    third[1].release()
    assert device.acquire_device(["GPU-a", "GPU-b"], tmp_path)[0] == 1


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_each_process_takes_another_device_of_the_list_and_says_which(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", "cpu:0, cpu:1")
    threads = torch.get_num_threads()
    assert [str(device.prepare_device(threads)) for _ in range(2)] == ["cpu:0", "cpu:1"]
    assert capsys.readouterr().out == "device: cpu:0\ndevice: cpu:1\n"


def test_every_gpu_counts_where_none_is_named(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake list of devices represents the GPUs that this machine may lack."""
    monkeypatch.delenv("CONTEXT_FBR_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda found: SimpleNamespace(uuid=f"uuid-{found.index}")
    )
    threads = torch.get_num_threads()
    assert [device.prepare_device(threads).index for _ in range(3)] == [0, 1, 0]
    # Known by what does not change with CUDA_VISIBLE_DEVICES.
    locks = {path.name for path in shared.rglob("*.lock")}
    assert locks == {"uuid-0.0.lock", "uuid-1.0.lock", "uuid-0.1.lock"}


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", "cuda:0,cuda:7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="cuda:0,cuda:7: PyTorch finds 2 CUDA devices here"):
        device.prepare_device(torch.get_num_threads())


def test_a_folder_of_locks_that_cannot_be_made_is_named(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", "cpu:0,cpu:1")
    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(shared / "file"))
    (shared / "file").write_text("")
    with pytest.raises(UserError, match="could not be used to share devices"):
        device.prepare_device(torch.get_num_threads())


@pytest.mark.parametrize(
    ("wanted", "gpus", "jobs"),
    [("", 0, 3), ("", 4, 4), ("cpu", 4, 3), ("cuda:0,cuda:2", 4, 2), ("cuda:1", 4, 1), ("cpu:0,cpu:1", 0, 3)],
)
def test_as_many_cells_run_at_once_as_there_are_gpus_or_else_cores(
    monkeypatch: pytest.MonkeyPatch, params: Path, wanted: str, gpus: int, jobs: int
) -> None:
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", wanted)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert gpus_of_cells.places(read_study(Document.read(params)), None, None, None).jobs == jobs
