"""One short cell, train and evaluate, in three ways in turns -> benchmarks/cell_start.csv.

python -m benchmarks.cell_start [--rounds N]

`dvc`: DVC as it is. `entry`: DVC that writes one entry of dvc.lock, as a new process. `server`: the same,
forked from a process with imported libraries, as `context-fbr grid run` does it. Needs the data of the study
here; the results of the cell are the same bytes, so that dvc.lock stays as it is.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import table
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError
from context_fbr.networks.device import prepare_device
from context_fbr.runtime.entry import run_command
from context_fbr_tools.dvc import process as dvc
from context_fbr_tools.dvc.stages import CELL_STAGES
from context_fbr_tools.grid.start import preloaded, processes
from context_fbr_tools.grid.start.processes import Start

CELL = Cell("spheres", "unet", 16, 1)
KEY = ("way",)
TABLE = Table(
    FOLDER / "cell_start.csv",
    (*KEY, "cell", "median_s", "least_s", "greatest_s", "times_faster_than_dvc", "rounds", *STAMP),
    KEY,
)


@contextmanager
def plain() -> Iterator[None]:
    """Start DVC as it is."""
    ours = processes.COMMAND
    processes.COMMAND = (sys.executable, "-m", "dvc")
    try:
        yield
    finally:
        processes.COMMAND = ours


def seconds(start: Start) -> float:
    """Run the cell once, and return how long it took."""
    begun = time.monotonic()
    stages = [CELL.stage(kind) for kind in CELL_STAGES]
    process = start(["repro", "-f", "-s", *stages], dvc.environment())
    with process.stdout:
        said = process.stdout.read()
    if process.wait():
        raise UserError(f"{CELL.key}: failed: {said}")
    return time.monotonic() - begun


def main(arguments: list[str]) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    rounds = parser.parse_args(arguments).rounds
    found: dict[str, list[float]] = {"dvc": [], "entry": [], "server": []}
    with preloaded.starter(preloaded.MIN_CELLS, dvc.environment()) as start:
        seconds(start)  # the server imports, once
        for _ in range(rounds):
            with plain():
                found["dvc"].append(seconds(processes.new))
            found["entry"].append(seconds(processes.new))
            found["server"].append(seconds(start))
    stamp = table.stamp(prepare_device(1))
    for way, own in found.items():
        ratio = statistics.median(a / b for a, b in zip(found["dvc"], own, strict=True))
        row = {
            "way": way,
            "cell": CELL.key,
            "median_s": round(statistics.median(own), 2),
            "least_s": round(min(own), 2),
        }
        row |= {
            "greatest_s": round(max(own), 2),
            "times_faster_than_dvc": round(ratio, 2),
            "rounds": rounds,
            **stamp,
        }
        table.replace(TABLE, [row])
        print(f"{way}: {row['median_s']} s", flush=True)


if __name__ == "__main__":
    run_command(main)
