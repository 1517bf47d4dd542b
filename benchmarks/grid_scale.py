"""What a large grid on a cluster costs besides its trainings -> benchmarks/grid_scale.csv; needs Slurm.

python tests/support/slurm_cluster.py python -m benchmarks.grid_scale [--cells N...]

A study of N cells whose stages do nothing but touch their results. `submit`, `status` and `cancel` while all
jobs wait; one job from beginning to end; then, with every result in DVC's cache, as N jobs would leave it,
`status`, `collect` and what DVC alone takes. A step is measured once; the memory is the greatest of any of
its processes.
"""

import argparse
import datetime
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

from benchmarks import table
from benchmarks.pipeline import empty_study, environment
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.core.errors import UserError
from context_fbr.runtime import git
from context_fbr.runtime.entry import run_command
from context_fbr_tools.slurm import squeue
from context_fbr_tools.slurm.worker import BEGUN, TIME

KEY = ("cells", "what")
TABLE = Table(FOLDER / "grid_scale.csv", (*KEY, "seconds", "peak_gb", *STAMP), KEY)
ROOT = Path(__file__).parents[1]
SITE = "time_minutes = 10\nmemory_gb = 1\ngpus = 0\nsave_seconds = 20\n"
JOBS = 3
GIT = ("git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in which the system counts


def make_study(folder: Path, cells: int) -> list[str]:
    """A study of so many seeds of one network at one patch size, committed; the keys of its cells."""
    empty_study(folder, "smoke")
    params = folder / "params.yaml"
    text, found = re.subn(
        r"(?m)^  (models|patch_sizes|seeds): .*$",
        lambda line: {
            "models": "  models: [unet]", "patch_sizes": "  patch_sizes: [16]",
            "seeds": f"  seeds: {list(range(1, cells + 1))}",
        }[line[1]],
        params.read_text(),
    )  # fmt: skip
    if found != 3:
        raise UserError(f"{params}: the grid has another form than this benchmark expects")
    params.write_text(text)
    subprocess.run([*GIT, "commit", "-qam", "Grid"], cwd=folder, env=environment(folder), check=True)
    return [f"spheres-unet-16-{seed}" for seed in range(1, cells + 1)]


def cost(folder: Path, *command: str) -> tuple[float, float]:
    """Seconds of a command, and the greatest memory in GB of any of its processes.

    Raises:
        UserError: if it fails; it has said why.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env={**environment(folder), "PYTHONPATH": "src"}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"`{' '.join(command)}` ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * UNIT / 1e9


def compute_all(folder: Path) -> None:
    """Leave every cell's results in the cache, as its job would, but in one process and without dvc.lock."""
    from dvc.repo import Repo

    with chdir(folder), Repo() as repo, repo.lock:
        for stage in [s for s in repo.index.stages if s.name.startswith("train@")] + [
            s for s in repo.index.stages if s.name.startswith("evaluate@")
        ]:
            subprocess.run(stage.cmd, shell=True, check=True)
            stage.save()
            stage.commit()
    for name in ("models", "data/predictions", "metrics"):
        shutil.rmtree(folder / name, ignore_errors=True)


def measure(cells: int, scratch: Path) -> Iterator[tuple[str, tuple[float, float | None]]]:
    """Each step and what it costs, in the order in which they are taken."""
    folder = scratch / "study"
    keys = make_study(folder, cells)
    own = (sys.executable, "-c", "from context_fbr_tools.cli import main; main()", "grid")
    dvc = (sys.executable, "-m", "dvc")
    # The data first, so that `submit` finds them, as it does from the second time on.
    cost(folder, *dvc, "repro", "code", "raw", "prepare")
    (folder / "slurm.yaml").write_text(SITE + "sbatch:\n  begin: now+1day\n")
    yield "submit", cost(folder, *own, "submit")
    yield "status, all waiting", cost(folder, *own, "status")
    yield "cancel", cost(folder, *own, "cancel")
    (folder / "slurm.yaml").write_text(SITE)
    cost(folder, *own, "submit", *keys[:JOBS])
    cost(folder, *own, "status", "--watch", *keys[:JOBS])
    yield (
        "one job without its training",
        (statistics.median(job_seconds(folder, key) for key in keys[:JOBS]), None),
    )
    compute_all(folder)
    yield "status, all done", cost(folder, *own, "status")
    yield "collect", cost(folder, *own, "collect")
    yield "dvc status", cost(folder, *dvc, "status")
    yield "dvc repro, nothing to run", cost(folder, *dvc, "repro")
    yield "dvc repro -f -s of one stage", cost(folder, *dvc, "repro", "-f", "-s", f"train@{keys[0]}")


def job_seconds(folder: Path, key: str) -> float:
    """From the first line of a cell's job to its last word."""
    end = max(folder.glob(f".dvc/tmp/grid/*/ends/{key}.json"), key=lambda path: path.stat().st_mtime)
    log = end.parents[1] / "logs" / f"{key}.log"
    begun = BEGUN.findall(log.read_text())
    return end.stat().st_mtime - datetime.datetime.strptime(begun[-1], TIME).timestamp()


def main(arguments: list[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[1000], metavar="N", help="default 1000")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    squeue.check()
    commit = git.revision() or ""
    changed = [f for f in git.changed_files(("src", "benchmarks")) if not f.endswith(table.RESULTS)]
    stamp = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
        "commit": commit[:7] + ("+" if changed else ""),
    }
    for cells in options.cells:
        with tempfile.TemporaryDirectory(prefix="grid-scale-") as scratch:
            for what, (seconds, gigabytes) in measure(cells, Path(scratch)):
                peak = "" if gigabytes is None else f"{gigabytes:.3g}"
                row = {"cells": cells, "what": what, "seconds": f"{seconds:.3g}", "peak_gb": peak, **stamp}
                table.replace(TABLE, [row])
                print(f"{cells} cells, {what}: {seconds:.1f} s, {peak} GB", flush=True)


if __name__ == "__main__":
    run_command(main)
