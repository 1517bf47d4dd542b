"""Findings, tables and the figure of context and foreground ratio apart, over all tasks."""

from pathlib import Path

import pandas as pd

from context_fbr.analysis.findings.context.context_findings import context_findings
from context_fbr.analysis.findings.context.primary import CONTEXT_AT_EQUAL_CORE
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.result_files import write_csv, write_json
from context_fbr.analysis.tables.context_parts import parts_table
from context_fbr.analysis.tables.core_cells import core_cells
from context_fbr.config.analysis import Analysis
from context_fbr.core import atomic
from context_fbr.figures.context import context_and_ratio


def write(evidence: Evidence, variants: pd.DataFrame, settings: Analysis, metrics: Path, plots: Path) -> None:
    """Write context.json and context_parts.csv into `metrics`, a figure and its table into `plots`.

    The figure is of networks that were trained with a core smaller than the patch; without any it is not
    drawn.

    Args:
        evidence: of all tasks that have results.
        variants: as `Results.variants`; without rows if there are none.
        settings: names of cores, groups, limits and confidence.
        metrics: folder of the tables.
        plots: folder of the figure.
    """
    cells = core_cells(evidence.cells, settings.supervised_cores)
    found = context_findings(evidence, variants, settings)
    write_json(metrics / "context.json", found.tree(settings.confidence))
    write_csv(metrics / "context_parts.csv", parts_table(cells, settings.confidence))
    means, seeds = context_and_ratio.tables(cells, settings.confidence)
    write_csv(plots / "context_and_ratio.csv", means)
    if len(means):
        drawn = context_and_ratio.context_and_ratio(means, seeds, found.title_of(CONTEXT_AT_EQUAL_CORE))
        atomic.write_bytes(plots / "context_and_ratio.png", drawn)
