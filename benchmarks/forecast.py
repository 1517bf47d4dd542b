"""The forecast of `context-fbr plan` against real cells -> benchmarks/forecast.csv.

python -m benchmarks.forecast [--repeats N] CELL...

Their data must be prepared. Each repeat measures the parts of every cell, then runs its two stages. Time is
that of the stages' records, memory what the system says a stage held at most.
"""

import argparse
import statistics
import subprocess
import sys
from dataclasses import dataclass

from benchmarks import table
from benchmarks.memory import peak_gb
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr.networks.device import prepare_device
from context_fbr.runtime import provenance
from context_fbr.runtime.entry import run_command
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.planning.forecast import forecast
from context_fbr_tools.study.planning.forecast.costs import Costs, costs

KEY = ("cell", "repeat")
COLUMNS = (*KEY, "forecast_s", "actual_s", "time_ratio", "forecast_gb", "actual_gb", "memory_ratio", *STAMP)
TABLE = Table(FOLDER / "forecast.csv", COLUMNS, KEY)
STAGES = ("train", "evaluate")


@dataclass(frozen=True)
class Actual:
    """Cost of a real cell."""

    seconds: float
    gigabytes: float


def run(cell: Cell) -> Actual:
    """Run both stages of a cell; its results are written as the pipeline writes them."""
    seconds, memory = 0.0, []
    for stage in STAGES:
        cell.provenance(stage).unlink(missing_ok=True)  # a record of the same results would be kept
        memory.append(peak_gb(["-m", f"context_fbr.{stage}", *cell.item.values()]))
        seconds += float(provenance.read(cell.provenance(stage))["seconds"])
    return Actual(seconds, max(memory))


def predict(cell: Cell, study: Study) -> Costs:
    """Measure the parts of a cell in a process of its own."""
    return costs(cell, study, forecast.measured(cell, {}), 0.0)


def main(arguments: list[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cells", nargs="+", metavar="CELL", help="keys, or patterns of keys")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    options = parser.parse_args(arguments)
    study = read_study(Document.read())
    cells = select_cells.chosen(options.cells, study.cells)
    stamp = table.stamp(prepare_device(study.train.threads))
    subprocess.run([sys.executable, "-m", "context_fbr.runtime.code_digest"], check=True)
    ratios: list[float] = []
    for repeat in range(1, options.repeats + 1):
        for cell in cells:
            found, actual = predict(cell, study), run(cell)
            expected_s, expected_gb = found.train_s + found.evaluate_s, found.memory / 1e9
            ratios.append(expected_s / actual.seconds)
            numbers = {
                "forecast_s": f"{expected_s:.1f}",
                "actual_s": f"{actual.seconds:.1f}",
                "time_ratio": f"{expected_s / actual.seconds:.3f}",
                "forecast_gb": f"{expected_gb:.3f}",
                "actual_gb": f"{actual.gigabytes:.3f}",
                "memory_ratio": f"{expected_gb / actual.gigabytes:.3f}",
            }
            table.replace(TABLE, [{"cell": cell.key, "repeat": repeat, **numbers, **stamp}])
            print(f"{cell.key}, {repeat}: {', '.join(f'{k} {v}' for k, v in numbers.items())}", flush=True)
    print(f"forecast over actual time: median {statistics.median(ratios):.3f}", flush=True)


if __name__ == "__main__":
    run_command(main)
