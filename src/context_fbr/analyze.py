"""All cells of the grid -> the files of metrics/ and plots/ that git keeps.

python -m context_fbr.analyze
"""

from pathlib import Path

import pandas as pd

from context_fbr.analysis import foreground_ranges, summary
from context_fbr.analysis.findings.assembly import findings
from context_fbr.analysis.findings.finding import Findings
from context_fbr.analysis.findings.magnitudes import published_magnitudes
from context_fbr.analysis.observations import Evidence, from_results
from context_fbr.analysis.result_files import write_csv, write_json
from context_fbr.analysis.results import CONFIG_COLUMNS, Results, read_results
from context_fbr.analysis.tables.differences import difference_table
from context_fbr.analysis.tables.object_sizes import size_table
from context_fbr.analysis.tables.windows import window_table
from context_fbr.config.analysis import Analysis, AnalyzeConfig
from context_fbr.core import atomic
from context_fbr.figures import (
    dice_by_patch_size,
    learning_curves,
    scores_by_foreground_ratio,
    training_ranges,
    windows,
)
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import no_arguments, run_command

METRICS, PLOTS = Path("metrics"), Path("plots")


def write(results: Results, settings: Analysis, metrics: Path = METRICS, plots: Path = PLOTS) -> None:
    """Write every table into `metrics` and every figure into `plots`."""
    cells = summary.cell_table(results, settings)
    evidence = from_results(results, summary.convergence(cells))
    write_csv(metrics / "cells.csv", cells)
    # Every digit, so that others can compute the same results from these tables.
    atomic.write_text(metrics / "cases.csv", evidence.scores.to_csv(index=False, lineterminator="\n"))
    atomic.write_text(metrics / "history.csv", results.history.to_csv(index=False, lineterminator="\n"))
    write_json(metrics / "baselines.json", {"threshold": summary.thresholds(results.baselines)})
    write_csv(metrics / "sizes.csv", size_table(evidence))
    if results.windows is not None:
        write_csv(metrics / "windows.csv", window_table(results.windows, settings.confidence))
        atomic.write_bytes(plots / "windows.png", windows.windows(results.windows))
    found = findings(evidence, settings, published_magnitudes())
    means = write_report(evidence, found, settings.confidence, metrics, plots)
    write_json(metrics / "headline.json", summary.headline(means))
    atomic.write_bytes(plots / "learning_curves.png", learning_curves.learning_curves(results.history))


def write_report(
    evidence: Evidence, found: Findings, confidence: float, tables: Path, plots: Path
) -> pd.DataFrame:
    """Write all tables into `tables`, all figures and their data into `plots`.

    Returns:
        The summary, a row for each (task, model, patch size).
    """
    means = write_tables(evidence, found, confidence, tables)
    write_csv(tables / "cell_ranges.csv", foreground_ranges.cell_ranges(evidence))
    _draw(evidence, means, plots)
    return means


def write_tables(evidence: Evidence, found: Findings, confidence: float, tables: Path) -> pd.DataFrame:
    """Write what is computed over all cells of a configuration into `tables`; return the summary."""
    means = summary.summarise(evidence, confidence)
    write_json(tables / "summary.json", summary.tree_of(means))
    write_csv(tables / "differences.csv", difference_table(evidence, confidence))
    write_csv(tables / "range_intervals.csv", foreground_ranges.range_intervals(evidence, confidence))
    write_json(tables / "findings.json", found.tree(confidence))
    return means


def _draw(evidence: Evidence, means: pd.DataFrame, plots: Path) -> None:
    """Draw every figure of the scores, with the table that it shows."""
    lines, dots = dice_by_patch_size.tables(means, evidence)
    write_csv(plots / "dice_by_patch_size.csv", lines)
    write_csv(plots / "dice_by_cell.csv", dots)
    drawn = dice_by_patch_size.dice_by_patch_size(lines, dots)
    atomic.write_bytes(plots / "dice_by_patch_size.png", drawn)

    cases = scores_by_foreground_ratio.case_scores(evidence)
    histogram = scores_by_foreground_ratio.ratio_histogram(evidence)
    spans = foreground_ranges.training_ranges(evidence.ratios, CONFIG_COLUMNS)
    write_csv(plots / "scores_by_foreground_ratio.csv", cases)
    write_csv(plots / "training_foreground_ratios.csv", histogram)
    with atomic.directory(plots / "scores_by_foreground_ratio") as folder:
        for task in cases["task"].unique():
            own = (frame[frame["task"] == task] for frame in (cases, histogram, spans))
            drawn = scores_by_foreground_ratio.scores_by_foreground_ratio(*own)
            atomic.write_bytes(folder / f"{task}.png", drawn)
    with atomic.directory(plots / "training_ranges") as folder:
        for task in spans["task"].unique():
            table, drawn = training_ranges.training_ranges(evidence, task)
            write_csv(folder / f"{task}.csv", table)
            atomic.write_bytes(folder / f"{task}.png", drawn)


def main(arguments: list[str]) -> None:
    """Run the stage."""
    no_arguments(arguments)
    with stage_inputs.unchanged("analyze") as inputs, atomic.scratch(Path("analyze")) as folder:
        config = AnalyzeConfig.read(inputs.document)
        write(read_results(config.study_cells.cells), config.analysis, folder / METRICS, folder / PLOTS)
        inputs.check()
        for path in sorted(folder.glob("*/*")):
            atomic.move(path, path.relative_to(folder))


if __name__ == "__main__":
    run_command(main)
