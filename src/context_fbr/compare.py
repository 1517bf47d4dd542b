"""Findings that need the cells of several tasks -> metrics/compare and plots/compare.

python -m context_fbr.compare
"""

from collections.abc import Sequence
from pathlib import Path

from context_fbr.analysis import summary
from context_fbr.analysis.findings.assembly import findings_across
from context_fbr.analysis.observations import from_results
from context_fbr.analysis.result_files import write_json
from context_fbr.analysis.results import Results, read_results
from context_fbr.config.analysis import Analysis, CompareConfig
from context_fbr.config.cell import Cell
from context_fbr.core import atomic
from context_fbr.figures.context import study_report
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import no_arguments, run_command

METRICS, PLOTS = Path("metrics/compare"), Path("plots/compare")


def write(results: Results, settings: Analysis, metrics: Path = METRICS, plots: Path = PLOTS) -> None:
    """Write what follows from the results of several tasks: tables into `metrics`, figures into `plots`.

    A hypothesis that needs a task without results is not asked.
    """
    cells = summary.cell_table(results, settings)
    evidence = from_results(results, summary.convergence(cells))
    write_json(metrics / "findings.json", findings_across(evidence, settings).tree(settings.confidence))
    study_report.write(evidence, results.variants, settings, metrics, plots)


def with_results(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells of tasks that have results: the scores of one cell at least.

    Without any such task all cells are returned, so that reading them names what is missing.
    """
    known = {cell.task for cell in cells if cell.scores.exists()}
    return [cell for cell in cells if cell.task in known or not known]


def main(arguments: list[str]) -> None:
    """Run the stage."""
    no_arguments(arguments)
    with stage_inputs.unchanged("compare") as inputs, atomic.scratch(Path("compare")) as folder:
        config = CompareConfig.read(inputs.document)
        results = read_results(with_results(config.study_cells.cells))
        write(results, config.analysis, folder / METRICS, folder / PLOTS)
        inputs.check()
        for path in (METRICS, PLOTS):
            atomic.move(folder / path, path)


if __name__ == "__main__":
    run_command(main)
