"""How much memory is free: that of the machine, and under the limits of Linux's control groups."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from context_fbr.core import resources

MACHINE = 1000


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1000 bytes free; no control groups yet."""
    monkeypatch.setattr(resources.psutil, "virtual_memory", lambda: SimpleNamespace(available=MACHINE))
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"
CASES: dict[str, tuple[dict[str, str], int]] = {
    "no Linux": ({}, MACHINE),
    "version 2, in a container": (
        {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "500\n", f"{V2}/memory.current": "200\n"},
        300,
    ),
    "version 2, no limit": (
        {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "max\n", f"{V2}/memory.current": "200\n"},
        MACHINE,
    ),
    "version 2, a limit above what the machine has": (
        {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "5000\n", f"{V2}/memory.current": "200\n"},
        MACHINE,
    ),
    "version 2, a job inside of a tighter group": (
        {
            "proc/self/cgroup": "0::/slurm/job_1/step_0\n",
            f"{V2}/slurm/memory.max": "max\n",
            f"{V2}/slurm/memory.current": "900\n",
            f"{V2}/slurm/job_1/memory.max": "600\n",
            f"{V2}/slurm/job_1/memory.current": "250\n",
            f"{V2}/slurm/job_1/step_0/memory.max": "550\n",
            f"{V2}/slurm/job_1/step_0/memory.current": "150\n",
        },
        350,
    ),
    "version 2, a path of outside of the container": (
        {
            "proc/self/cgroup": "0::/../../docker/abc\n",
            f"{V2}/memory.max": "500\n",
            f"{V2}/memory.current": "100\n",
        },
        400,
    ),
    "version 2, files that are kept in memory count as free": (
        {
            "proc/self/cgroup": "0::/\n",
            f"{V2}/memory.max": "500\n",
            f"{V2}/memory.current": "490\n",
            f"{V2}/memory.stat": "anon 90\nfile 400\nactive_file 100\ninactive_file 250\n",
        },
        360,
    ),
    "version 2, more used than allowed": (
        {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "500\n", f"{V2}/memory.current": "600\n"},
        0,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/job\n1:cpu:/\n0::/\n",
            f"{V1}/memory.limit_in_bytes": "9223372036854771712\n",
            f"{V1}/memory.usage_in_bytes": "700\n",
            f"{V1}/job/memory.limit_in_bytes": "400\n",
            f"{V1}/job/memory.usage_in_bytes": "350\n",
            f"{V1}/job/memory.stat": "inactive_file 1\ntotal_active_file 20\ntotal_inactive_file 30\n",
        },
        100,
    ),
}


@pytest.mark.parametrize(("files", "free"), CASES.values(), ids=CASES.keys())
def test_free_memory_is_what_the_machine_and_every_group_around_the_process_allow(
    root: Path, files: dict[str, str], free: int
) -> None:
    write(root, files)
    assert resources.usable_memory(root) == free


def test_this_machine_has_memory_and_jobs_that_need_none_are_bounded_by_cores() -> None:
    assert resources.usable_memory() > 0
    assert resources.usable_workers(10**6, 0) == resources.usable_cores()
    assert resources.usable_workers(10**6, resources.usable_memory() * 2) == 1
