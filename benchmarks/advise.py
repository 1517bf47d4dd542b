"""What a pilot of `context-fbr advise` would have chosen in this study -> benchmarks/advise.csv.

python -m benchmarks.advise [TASK...]

Trainings are replayed from their records: validations from metrics/TASK/history.csv, seconds from
metrics/provenance. Of each seed, `regret` is the mean test Dice of the best configuration of the task minus
that of the chosen one, and `cost` the seconds of the pilot over those of the full grid of all seeds.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarks import table
from benchmarks.table import FOLDER, Table
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr.runtime import provenance
from context_fbr.runtime.entry import run_command
from context_fbr_tools.study.planning.advice.halving import halve, rungs

TASKS = ("spheres", "twins", "hippocampus")
KEY = ("task", "seed")
COLUMNS = (*KEY, "candidates", "rounds", "chosen", "test_dice", "best", "best_test_dice", "regret", "cost")
TABLE = Table(FOLDER / "advise.csv", COLUMNS, KEY)


def replay(task: str, study: Study, metrics: Path = Path("metrics")) -> list[dict[str, object]]:
    """Return a row for each seed of a task with results."""
    cells = [cell for cell in study.cells if cell.task == task]
    history = pd.read_csv(metrics / task / "history.csv").dropna(subset=["validation_dice"])
    tests = pd.read_csv(metrics / task / "cells.csv").groupby(["model", "patch_size"])["dice"].mean()
    seconds = {cell: float(provenance.read(cell.provenance("train"))["seconds"]) for cell in cells}
    epochs = study.tasks[task].train.epochs
    every = max(study.training_of(cell).validate_every_epochs for cell in cells)
    best = tests.idxmax()
    rows = []
    for seed in dict.fromkeys(cell.seed for cell in cells):
        candidates = [cell for cell in cells if cell.seed == seed]
        reached: dict[Cell, int] = {}

        def look(chosen: Sequence[Cell], at: int, reached: dict[Cell, int] = reached) -> Mapping[Cell, float]:
            reached |= dict.fromkeys(chosen, at)
            return {cell: best_so_far(history, cell, at) for cell in chosen}

        rounds = halve(candidates, rungs(epochs, every), look)
        chosen = next(iter(rounds[-1].dice))
        two = [*rounds[-1].dice][:2]  # another seed of both, as long as the last round
        cost = sum(seconds[cell] * at / epochs for cell, at in reached.items())
        cost += sum(seconds[cell] * rounds[-1].epochs / epochs for cell in two)
        dice = float(tests[chosen.model, chosen.patch_size])
        rows.append(
            {
                "task": task,
                "seed": seed,
                "candidates": len(candidates),
                "rounds": " ".join(f"{len(one.dice)}x{one.epochs}" for one in rounds),
                "chosen": f"{chosen.model} {chosen.patch_size}",
                "test_dice": f"{dice:.4f}",
                "best": f"{best[0]} {best[1]}",
                "best_test_dice": f"{tests.max():.4f}",
                "regret": f"{tests.max() - dice:.4f}",
                "cost": f"{cost / sum(seconds.values()):.3f}",
            }
        )
    return rows


def best_so_far(history: pd.DataFrame, cell: Cell, epoch: int) -> float:
    """Return the best validation Dice of a cell up to an epoch."""
    own = history[(history["model"] == cell.model) & (history["patch_size"] == cell.patch_size)]
    own = own[(own["seed"] == cell.seed) & (own["epoch"] <= epoch)]
    return float(own["validation_dice"].max())


def main(arguments: list[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", default=TASKS, metavar="TASK", help="default: all three")
    options = parser.parse_args(arguments)
    study = read_study(Document.read())
    rows = [row for task in options.tasks for row in replay(task, study)]
    table.replace(TABLE, rows)
    for row in rows:
        print(
            f"{row['task']}, seed {row['seed']}: {row['chosen']}, regret {row['regret']}, cost {row['cost']}",
            file=sys.stdout,
        )


if __name__ == "__main__":
    run_command(main)
