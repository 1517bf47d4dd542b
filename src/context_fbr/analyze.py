"""The cells of a task -> metrics/TASK, plots/TASK and metrics/headline/TASK.json, which git keeps.

python -m context_fbr.analyze TASK
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from context_fbr.analysis import foreground_ranges, summary
from context_fbr.analysis.findings.across_tasks import is_widened
from context_fbr.analysis.findings.assembly import findings
from context_fbr.analysis.findings.exploratory import WINDOW
from context_fbr.analysis.findings.finding import Findings
from context_fbr.analysis.findings.magnitudes import published_magnitudes
from context_fbr.analysis.findings.primary import LOSS_OUTSIDE_BY_NORM, NORM_AT_SMALLEST_PATCH
from context_fbr.analysis.findings.structures import ID as PARTS_NEED_MORE_CONTEXT
from context_fbr.analysis.observations import Evidence, from_results
from context_fbr.analysis.result_files import write_csv, write_json
from context_fbr.analysis.results import CELL_COLUMNS, CONFIG_COLUMNS, Results, read_results
from context_fbr.analysis.tables.differences import difference_table
from context_fbr.analysis.tables.ideal_observer import observer_table
from context_fbr.analysis.tables.object_sizes import size_table
from context_fbr.analysis.tables.shifted_crops import shifted_table
from context_fbr.analysis.tables.structures import structure_table
from context_fbr.analysis.tables.windows import window_table
from context_fbr.config.analysis import Analysis, AnalyzeConfig
from context_fbr.config.prepare.preprocessing import WHOLE
from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core import atomic
from context_fbr.figures import (
    dice_by_patch_size,
    dice_by_structure,
    learning_curves,
    scores_by_foreground_ratio,
    training_ranges,
    windows,
)
from context_fbr.figures.context import task_report
from context_fbr.figures.norms import norms_of
from context_fbr.metrics.columns import SCORES, STRUCTURE
from context_fbr.preprocessing import shifted_crops
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import run_command, task_argument

PART_SCORES = ("recall", "surface_dice")
"""Scores of a part in structure_cases.csv, after the published ones."""
METRICS, PLOTS, HEADLINE = Path("metrics"), Path("plots"), Path("metrics/headline")


def write(results: Results, config: AnalyzeConfig, root: Path = Path()) -> None:
    """Write every table and every figure of a task below `root`.

    Args:
        results: of the cells of the task.
        config: of the task.
        root: folder of metrics/TASK, plots/TASK and metrics/headline/TASK.json.
    """
    metrics, plots = root / METRICS / config.task, root / PLOTS / config.task
    # Hypotheses about context are of the stage `compare`, those of a wide task of the task that it widens.
    asks = not isinstance(config.raw, TwinsRaw) and not is_widened(config.task, config.tasks)
    means = write_task(results, config.analysis, metrics, plots, asks)
    if isinstance(config.raw, TwinsRaw):  # the context that each case needs is known
        seen = task_report.windows(results, config.analysis)
        observer = observer_table(config.raw, config.task, seen, config.overlap)
        task_report.write(results, config.raw, observer, config.analysis, metrics, plots)
    write_json(root / HEADLINE / f"{config.task}.json", summary.headline(means))


def write_task(
    results: Results, settings: Analysis, metrics: Path, plots: Path, asks: bool = True
) -> pd.DataFrame:
    """Write the tables of a task into `metrics`, its figures into `plots`; return the summary.

    Args:
        results: of the cells of the task.
        settings: of the analysis.
        metrics: folder of the tables.
        plots: folder of the figures and their data.
        asks: ask the hypotheses about norms and foreground ratios.
    """
    cells = summary.cell_table(results, settings)
    evidence = from_results(results, summary.convergence(cells))
    write_csv(metrics / "cells.csv", cells)
    # Every digit, so that others can compute the same results from these tables.
    atomic.write_text(metrics / "cases.csv", evidence.scores.to_csv(index=False, lineterminator="\n"))
    atomic.write_text(metrics / "history.csv", results.history.to_csv(index=False, lineterminator="\n"))
    write_json(metrics / "baselines.json", {"threshold": summary.thresholds(results.baselines)})
    write_csv(metrics / "sizes.csv", size_table(evidence))
    drawn, changed = results.scores, results.variants
    if len(results.structures):
        drawn, changed = results.structures, results.structure_variants
    if len(changed) and changed["variant"].eq(shifted_crops.VARIANT).any():
        write_csv(metrics / "shifted_crops.csv", shifted_table(drawn, changed, settings.confidence))
    found = findings(evidence, settings, published_magnitudes()) if asks else Findings((), ())
    if len(results.structures):
        title = found.title_of(PARTS_NEED_MORE_CONTEXT)
        write_structures(results.structures, settings.confidence, title, metrics, plots)
    norms = norms_of(settings.exchanged_norms)
    if results.windows is not None:
        write_csv(metrics / "windows.csv", window_table(results.windows, settings.confidence))
        drawn_windows = windows.windows(results.windows, norms, found.title_of(WINDOW))
        atomic.write_bytes(plots / "windows.png", drawn_windows)
    means = write_tables(evidence, found, settings.confidence, metrics)
    write_csv(metrics / "cell_ranges.csv", foreground_ranges.cell_ranges(evidence))
    # A core smaller than the patch is another question, with figures of its own.
    cored = {core for _, core, _ in settings.supervised_cores}
    draw(evidence.without(cored), means[~means["model"].isin(cored)], plots, norms, found)
    title = (
        f"{cells['converged'].sum()} of {len(cells)} trainings have converged, "
        f"{cells['low_validation_dice'].sum()} have a low validation Dice"
    )
    curves = learning_curves.learning_curves(results.history, title)
    atomic.write_bytes(plots / "learning_curves.png", curves)
    return means


def write_structures(
    structures: pd.DataFrame, confidence: float, title: str, metrics: Path, plots: Path
) -> None:
    """Write tables and figure, which has a title, of the structures of a task, as in `Results`."""
    table = structure_table(structures, confidence)
    write_csv(metrics / "structures.csv", table)
    # The union is in cases.csv with every digit; what `diff` compares of a part is enough for git.
    parts = structures[structures[STRUCTURE.name] != WHOLE]
    write_csv(metrics / "structure_cases.csv", parts[[*CELL_COLUMNS, *SCORES, *PART_SCORES, STRUCTURE.name]])
    cells = structures.groupby([*CELL_COLUMNS, "structure"], sort=False)["dsc"].mean()
    drawn = dice_by_structure.dice_by_structure(table, cells.rename("dice").reset_index(), title)
    atomic.write_bytes(plots / "dice_by_structure.png", drawn)


def write_tables(evidence: Evidence, found: Findings, confidence: float, tables: Path) -> pd.DataFrame:
    """Write what is computed over all cells of a configuration into `tables`.

    Returns:
        The summary, a row for each (task, model, patch size).
    """
    means = summary.summarise(evidence, confidence)
    write_json(tables / "summary.json", summary.tree_of(means))
    write_csv(tables / "differences.csv", difference_table(evidence, confidence))
    write_csv(tables / "range_intervals.csv", foreground_ranges.range_intervals(evidence, confidence))
    write_json(tables / "findings.json", found.tree(confidence))
    return means


def draw(
    evidence: Evidence, means: pd.DataFrame, plots: Path, norms: Mapping[str, str], found: Findings
) -> None:
    """Draw the figures of the scores of one task, each with the table that it shows.

    Args:
        evidence: of the task.
        means: as of `summary.summarise`.
        plots: folder of the figures.
        norms: as of `norms.norms_of`.
        found: the findings, which are titles of figures.
    """
    lines, dots = dice_by_patch_size.tables(means, evidence)
    write_csv(plots / "dice_by_patch_size.csv", lines)
    write_csv(plots / "dice_by_cell.csv", dots)
    title = found.title_of(NORM_AT_SMALLEST_PATCH)
    drawn = dice_by_patch_size.dice_by_patch_size(lines, dots, norms, title)
    atomic.write_bytes(plots / "dice_by_patch_size.png", drawn)

    cases = scores_by_foreground_ratio.case_scores(evidence)
    histogram = scores_by_foreground_ratio.ratio_histogram(evidence)
    spans = foreground_ranges.shown_ranges(evidence.ratios, CONFIG_COLUMNS)
    write_csv(plots / "scores_by_foreground_ratio.csv", cases)
    write_csv(plots / "training_foreground_ratios.csv", histogram)
    title = found.title_of(LOSS_OUTSIDE_BY_NORM)
    drawn = scores_by_foreground_ratio.scores_by_foreground_ratio(cases, histogram, spans, norms, title)
    atomic.write_bytes(plots / "scores_by_foreground_ratio.png", drawn)
    if len(spans):
        table, drawn = training_ranges.training_ranges(evidence, str(cases["task"].iloc[0]))
        write_csv(plots / "training_ranges.csv", table)
        atomic.write_bytes(plots / "training_ranges.png", drawn)


def main(arguments: list[str]) -> None:
    """Run the stage."""
    task = task_argument(arguments)
    name = Path(f"analyze-{task}")
    with stage_inputs.unchanged("analyze", task=task) as inputs, atomic.scratch(name) as folder:
        config = AnalyzeConfig.read(inputs.document, task)
        write(read_results(config.cells), config, folder)
        inputs.check()
        written = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
        for target, path in written.items():
            atomic.move(path, target)
        for target in (METRICS / task, PLOTS / task):  # of an earlier version, where DVC did not empty them
            for path in target.rglob("*"):
                if path.is_file() and path not in written:
                    path.unlink()


if __name__ == "__main__":
    run_command(main)
