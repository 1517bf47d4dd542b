"""All cells of the grid -> the files of metrics/ and plots/ that git keeps.

python -m context_fbr.analyze
"""

from pathlib import Path

from context_fbr import atomic, stage_inputs, summary
from context_fbr.errors import UserError, run
from context_fbr.evidence import from_results
from context_fbr.figures import learning
from context_fbr.report import write_report
from context_fbr.result_files import write_csv, write_json
from context_fbr.results import Results, read_results
from context_fbr.study.analysis import Analysis
from context_fbr.study.whole import read_study

METRICS, PLOTS = Path("metrics"), Path("plots")


def write(results: Results, settings: Analysis, metrics: Path = METRICS, plots: Path = PLOTS) -> None:
    """Write every table into `metrics` and every figure into `plots`."""
    cells = summary.cell_table(results, settings)
    evidence = from_results(results, summary.convergence(cells))
    write_csv(metrics / "cells.csv", cells)
    # Every digit: what is computed from these elsewhere is what was computed here.
    atomic.write_text(metrics / "cases.csv", evidence.scores.to_csv(index=False, lineterminator="\n"))
    atomic.write_text(metrics / "history.csv", results.history.to_csv(index=False, lineterminator="\n"))
    write_json(metrics / "baselines.json", {"threshold": summary.thresholds(results.baselines)})
    means = write_report(evidence, settings, metrics, plots)
    write_json(metrics / "headline.json", summary.headline(means))
    atomic.write_bytes(plots / "learning_curves.png", learning.learning_curves(results.history))


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if arguments:
        raise UserError(f"expected no argument, got {arguments}")
    with stage_inputs.unchanged("analyze") as inputs, atomic.scratch(Path("analyze")) as folder:
        study = read_study(inputs.document)
        write(read_results(study.grid.cells), study.analysis, folder / METRICS, folder / PLOTS)
        inputs.check()
        for path in sorted(folder.glob("*/*")):
            atomic.move(path, path.relative_to(folder))


if __name__ == "__main__":
    run(main)
