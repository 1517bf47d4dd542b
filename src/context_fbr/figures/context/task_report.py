"""Tables and figures of a task that needs context, in addition to those that every task has."""

from pathlib import Path

import pandas as pd

from context_fbr.analysis.findings.context.controls import BLIND
from context_fbr.analysis.result_files import write_csv
from context_fbr.analysis.results import Results
from context_fbr.analysis.tables.context import context_table
from context_fbr.analysis.tables.core_cells import core_cells
from context_fbr.analysis.tables.variants import variant_table
from context_fbr.config.analysis import Analysis
from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.core import atomic
from context_fbr.core.patch_size import PatchSize, plain
from context_fbr.figures.context import context_by_distance, example_slices

EXAMPLES = 2
"""Windows that are drawn into the example slices: the smallest patch sizes."""


def windows(results: Results, settings: Analysis) -> list[tuple[PatchSize, PatchSize]]:
    """Return (patch, core) of every cell, in ascending order: what the ideal observer is asked for."""
    cells = core_cells(results.scores, settings.supervised_cores)
    pairs = cells[["patch_size", "core"]].drop_duplicates().itertuples(index=False)
    return sorted((plain(patch), plain(core)) for patch, core in pairs)


def write(
    results: Results,
    raw: TwinsRaw,
    observer: pd.DataFrame,
    settings: Analysis,
    metrics: Path,
    plots: Path,
) -> None:
    """Write context.csv, variants.csv and observer.csv into `metrics`, two figures into `plots`.

    Args:
        results: of the cells of the task.
        raw: the recipe of its volumes.
        observer: the ideal observer's scores for `windows`.
        settings: names of cores, groups and confidence.
        metrics: folder of the tables.
        plots: folder of the figures.
    """
    cells = core_cells(results.scores, settings.supervised_cores)
    changed = results.variants
    others = core_cells(changed, settings.supervised_cores) if len(changed) else cells.iloc[:0]
    table = context_table(cells, observer, settings.distance_groups, settings.confidence)
    write_csv(metrics / "context.csv", table)
    write_csv(metrics / "variants.csv", variant_table(cells, others, settings.confidence))
    write_csv(metrics / "observer.csv", observer)
    shown = table[~table["network"].isin(BLIND)]  # these have the same score at every distance
    drawn = context_by_distance.context_by_distance(shown if len(shown) else table)
    atomic.write_bytes(plots / "context_by_distance.png", drawn)
    edges = sorted({patch for patch, _ in windows(results, settings)})[:EXAMPLES]
    slices = example_slices.examples(raw)
    atomic.write_bytes(plots / "example_slices.png", example_slices.example_slices(slices, edges))
