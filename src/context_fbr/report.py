"""Write the tables, findings and figures that evidence supports: this study's or the published one's."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from context_fbr import atomic, ranges, summary
from context_fbr.differences import difference_table
from context_fbr.evidence import Evidence, is_baseline
from context_fbr.figures import answer, foreground
from context_fbr.findings import findings
from context_fbr.result_files import write_csv, write_json
from context_fbr.results import GROUP, KEYS
from context_fbr.study.analysis import Analysis


def write_report(evidence: Evidence, settings: Analysis, tables: Path, plots: Path) -> pd.DataFrame:
    """Write all tables into `tables`, all figures and what they are drawn from into `plots`.

    Returns:
        The summary, a row for each (task, model, patch size).
    """
    confidence = settings.confidence
    means = summary.summarise(evidence, confidence)
    write_json(tables / "summary.json", summary.tree_of(means))
    write_csv(tables / "differences.csv", difference_table(evidence, confidence))
    write_csv(tables / "range_intervals.csv", ranges.range_intervals(evidence, confidence))
    write_csv(tables / "cell_ranges.csv", ranges.cell_ranges(evidence))
    found = [
        {
            key: summary.number(value) if isinstance(value, float) else value
            for key, value in asdict(f).items()
        }
        for f in findings(evidence, settings)
    ]
    write_json(tables / "findings.json", {"confidence": confidence, "findings": found})

    lines = means.rename(columns={"dice_mean": "dice", "dice_mean_low": "low", "dice_mean_high": "high"})
    lines = lines[["task", "model", "patch_size", "dice", "low", "high", "not_converged"]]
    lines["patch_size"] = lines["patch_size"].where(~lines["model"].map(is_baseline)).astype("Int64")
    seeds = evidence.cells.groupby(KEYS, sort=False)["dsc"].mean()
    dots = seeds.rename("dice").reset_index()
    known = evidence.converged or {}
    keys = dots[KEYS].itertuples(index=False, name=None)
    dots["converged"] = pd.array([known.get(key) for key in keys], dtype="boolean")
    write_csv(plots / "dice_by_patch_size.csv", lines)
    write_csv(plots / "dice_by_cell.csv", dots)
    atomic.write_bytes(plots / "dice_by_patch_size.png", answer.dice_by_patch_size(lines, dots, confidence))

    cases, histogram = foreground.case_scores(evidence), foreground.ratio_histogram(evidence)
    spans = ranges.training_ranges(evidence.ratios, GROUP)
    write_csv(plots / "scores_by_foreground_ratio.csv", cases)
    write_csv(plots / "training_foreground_ratios.csv", histogram)
    with atomic.directory(plots / "scores_by_foreground_ratio") as folder:
        for task in cases["task"].unique():
            own, shares, span = (frame[frame["task"] == task] for frame in (cases, histogram, spans))
            drawn = foreground.scores_by_foreground_ratio(own, shares, span)
            atomic.write_bytes(folder / f"{task}.png", drawn)
    with atomic.directory(plots / "training_ranges") as folder:
        for task in spans["task"].unique():
            table, drawn = foreground.ranges_against_cases(evidence, task)
            write_csv(folder / f"{task}.csv", table)
            atomic.write_bytes(folder / f"{task}.png", drawn)
    return means
