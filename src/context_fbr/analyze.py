"""All cells of the grid -> the files of metrics/ and plots/ that git keeps.

python -m context_fbr.analyze
"""

from pathlib import Path

from context_fbr import atomic, summary
from context_fbr.errors import UserError, run
from context_fbr.evidence import from_results
from context_fbr.figures import learning
from context_fbr.report import write_report
from context_fbr.result_files import write_csv, write_json
from context_fbr.results import Results, read_results
from context_fbr.study.analysis import Analysis
from context_fbr.study.document import Document
from context_fbr.study.whole import read_study

METRICS, PLOTS = Path("metrics"), Path("plots")


def write(results: Results, settings: Analysis) -> None:
    """Write every table and every figure."""
    cells = summary.cell_table(results, settings)
    evidence = from_results(results, summary.convergence(cells))
    write_csv(METRICS / "cells.csv", cells)
    # Every digit: what is computed from these elsewhere is what was computed here.
    atomic.write_text(METRICS / "cases.csv", evidence.scores.to_csv(index=False, lineterminator="\n"))
    atomic.write_text(METRICS / "history.csv", results.history.to_csv(index=False, lineterminator="\n"))
    write_json(METRICS / "baselines.json", {"threshold": summary.thresholds(results.baselines)})
    means = write_report(evidence, settings, METRICS, PLOTS)
    write_json(METRICS / "headline.json", summary.headline(means))
    atomic.write_bytes(PLOTS / "learning_curves.png", learning.learning_curves(results.history))


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if arguments:
        raise UserError(f"expected no argument, got {arguments}")
    study = read_study(Document.read())
    write(read_results(study.grid.cells), study.analysis)


if __name__ == "__main__":
    run(main)
