"""All cells of the grid -> the files of metrics/ and plots/ that git keeps.

python -m context_fbr.analyze
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from context_fbr import atomic, figures, summary
from context_fbr.errors import UserError, run
from context_fbr.results import KEYS, Results, read_results
from context_fbr.study.document import Document
from context_fbr.study.whole import read_study

METRICS, PLOTS = Path("metrics"), Path("plots")


def write(results: Results, convergence_tolerance: float) -> None:
    """Write every table and every figure."""
    cells = summary.cell_table(results, convergence_tolerance)
    table = summary.summarise(cells)
    baselines = summary.summarise_baselines(results.baselines)
    _csv(METRICS / "cells.csv", cells.round(summary.DIGITS))
    _csv(METRICS / "cases.csv", results.scores)
    _csv(METRICS / "history.csv", results.history)
    _json(METRICS / "summary.json", summary.nested(table))
    _json(METRICS / "baselines.json", baselines)
    _json(METRICS / "headline.json", summary.headline(table))

    histogram = figures.ratio_histogram(results.foreground_ratios)
    _csv(PLOTS / "dice_by_patch_size.csv", cells[[*KEYS, "dice", "converged"]].round(summary.DIGITS))
    _csv(PLOTS / "foreground_ratio_by_patch_size.csv", histogram)
    atomic.write_bytes(PLOTS / "dice_by_patch_size.png", figures.dice_by_patch_size(cells, baselines))
    atomic.write_bytes(PLOTS / "learning_curves.png", figures.learning_curves(results.history))
    atomic.write_bytes(
        PLOTS / "foreground_ratio_by_patch_size.png",
        figures.foreground_ratio_by_patch_size(histogram, results.scores),
    )


def _csv(path: Path, frame: pd.DataFrame) -> None:
    atomic.write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def _json(path: Path, tree: Mapping[str, object]) -> None:
    atomic.write_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if arguments:
        raise UserError(f"expected no argument, got {arguments}")
    study = read_study(Document.read())
    write(read_results(study.grid.cells), study.analysis.convergence_tolerance)


if __name__ == "__main__":
    run(main)
