"""Compare the cells of the paper profile with the published runs -> metrics/paper_*.csv.

python -m context_fbr.paper

Reads what benchmarks/paper_cells.py wrote and published_cells.csv: mean Dice and Hausdorff distance of the 90
published runs, computed from the tables that the study published (Kamath et al., MedNeurIPS 2022, MIT).
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from context_fbr.analysis import run_records, summary
from context_fbr.analysis.observations import from_results
from context_fbr.analysis.result_files import BASELINES, FOREGROUND_RATIOS, HISTORY, read_table, write_csv
from context_fbr.analysis.results import CELL_COLUMNS, Results
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.figures.paper_cells import beside_published
from context_fbr.metrics.columns import SCORES
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import no_arguments, run_command

PUBLISHED = Path(run_records.__file__).with_name("published_cells.csv")


def read_cells(folder: Path, document: Document) -> tuple[Results, dict[str, run_records.Record]]:
    """Read the tables of all cells of a folder and of their baselines, and their records by name.

    Raises:
        UserError: with every cell that is damaged, not the paper profile's, or of other volumes.
    """
    problems: list[str] = []
    records: dict[str, run_records.Record] = {}
    frames: dict[str, list[pd.DataFrame]] = {"history": [], "ratios": [], "scores": [], "baselines": []}
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and path.suffix != ".partial"):
        try:
            records[place.name] = run_records.read_record(place, document)
        except UserError as error:
            problems += error.problems
            continue
        task = place.name.split("-")[0]
        if place.name.endswith("-baselines"):
            table = read_table(place / run_records.BASELINES, (*BASELINES, *SCORES), problems)
            frames["baselines"].append(table.assign(task=task))
            continue
        cell = Cell.from_key(place.name)
        keys = {"task": task, "model": cell.model, "patch_size": cell.patch_size, "seed": cell.seed}
        for kind, name, columns in (
            ("history", run_records.HISTORY, HISTORY),
            ("ratios", run_records.RATIOS, FOREGROUND_RATIOS),
            ("scores", run_records.SCORES, SCORES),
        ):
            table = read_table(place / name, columns, problems).assign(**keys)
            frames[kind].append(table[[*keys, *columns]])
    for task in {name.split("-")[0] for name in records}:
        hashes = {record.data for name, record in records.items() if name.split("-")[0] == task}
        if len(hashes) > 1:
            problems.append(
                f"{folder}: the cells of {task} saw different volumes: {', '.join(sorted(hashes))}"
            )
    missing = [kind for kind, found in frames.items() if not found]
    if missing and not problems:
        problems.append(f"{folder}: holds no {' and no '.join(missing)}; run benchmarks/paper_cells.py")
    raise_problems(problems)
    tables = {kind: pd.concat(found, ignore_index=True) for kind, found in frames.items()}
    results = Results(tables["history"], tables["ratios"], tables["scores"], tables["baselines"])
    return results, records


def published_means(confidence: float) -> pd.DataFrame:
    """Return mean Dice of the published runs by task, model and patch size, with interval and range.

    The interval is Student's over the runs' means. For the spheres, where every run has a test set of its
    own, that covers the draw of test cases too; for the spleen it does not.
    """
    runs = pd.read_csv(PUBLISHED)
    table = runs.groupby(["task", "model", "patch_size"], sort=False)["dice_mean"].agg(
        ["mean", "min", "max", "std", "size"]
    )
    quantile = table["size"].map(lambda size: float(stdtrit(size - 1, (1 + confidence) / 2)))
    half = quantile * table["std"] / table["size"].map(math.sqrt)
    table = table.assign(low=table["mean"] - half, high=(table["mean"] + half).clip(upper=1))
    names = {name: f"published_{name}" for name in ("mean", "low", "high", "min", "max")}
    return table.rename(columns=names)[list(names.values())].reset_index()


def compare(results: Results, records: dict[str, run_records.Record], document: Document) -> dict[str, Any]:
    """Return the tables `cells` (ours), `means` (ours and published) and `runs` (both, for the figure)."""
    settings = read_study(document).analysis
    cells = summary.cell_table(results, settings)
    evidence = from_results(results, summary.convergence(cells))
    for column, read in {
        "device": lambda record: record.device,
        "threads": lambda record: record.threads,
        "train_s": lambda record: record.seconds["train"],
        "train_cpu_s": lambda record: record.seconds["train_cpu"],
        "evaluate_s": lambda record: record.seconds["evaluate"],
        "revision": lambda record: record.revision,
        "date": lambda record: record.date,
    }.items():
        cells[column] = [read(records[Cell(*key).key]) for key in cells[CELL_COLUMNS].itertuples(index=False)]
    ours = summary.summarise(evidence, settings.confidence)
    published = published_means(settings.confidence)
    means = ours.merge(published, on=["task", "model", "patch_size"], how="left")
    below, above = means["published_min"] - means["dice_mean"], means["dice_mean"] - means["published_max"]
    means["outside_published_range"] = pd.concat([below, above], axis=1).max(axis=1).clip(lower=0)
    runs = pd.read_csv(PUBLISHED).rename(columns={"run": "seed", "dice_mean": "dice"})
    keys = ["task", "model", "patch_size", "seed", "dice"]
    both = pd.concat(
        [cells[keys].assign(source="this repository"), runs[keys].assign(source="published")],
        ignore_index=True,
    )
    return {"cells": cells, "means": means, "runs": both}


def main(arguments: list[str]) -> None:
    """Run the stage."""
    no_arguments(arguments)
    with stage_inputs.unchanged("paper") as inputs:
        document = run_records.paper_document()
        confidence = read_study(document).analysis.confidence
        tables = compare(*read_cells(run_records.FOLDER, document), document)
        figure = beside_published(tables["runs"], tables["means"], published_means(confidence), confidence)
        inputs.check()
        write_csv(Path("metrics/paper_cells.csv"), tables["cells"])
        write_csv(Path("metrics/paper_means.csv"), tables["means"])
        write_csv(Path("plots/paper_cells.csv"), tables["runs"])
        atomic.write_bytes(Path("plots/paper_cells.png"), figure)


if __name__ == "__main__":
    run_command(main)
