"""A whole cell both ways: seconds, and whether its Dice is the same -> cell_scores.csv, cell_differences.csv.

Without `--epochs` these are a fifth of the volumes and five epochs; with the protocol's number of epochs the
cell is the published one. Each repeat is another seed.

Ours are the stages `train` and `evaluate` and a cell's part of `prepare`, which all cells of a task share;
the original reads its files in every cell. What a process does once, such as imports, is counted for neither.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pandas as pd

from benchmarks import cell_ways, generated, pairs, table
from benchmarks.generated import Dice, Size
from benchmarks.pairs import Pairs
from benchmarks.request import Measurement, Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.analysis.confidence_intervals import Interval, Term, interval
from context_fbr.config.analysis import Analysis
from context_fbr.config.cell import Cell
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.config.training import TaskTraining

REDUCED_PART = 5
"""One in so many volumes."""
REDUCED_EPOCHS = 5
KEY = ("part", "network", "patch_size", "device", "precision")
SCORES = Table(
    FOLDER / "cell_scores.csv", (*KEY, "seed", "filename", "original_dsc", "ours_dsc", *STAMP), KEY
)
DIFFERENCES = Table(
    FOLDER / "cell_differences.csv",
    (
        *KEY, "epochs", "seeds", "cases", "original_dice", "ours_dice", "difference", "low", "high",
        "confidence", *STAMP,
    ),
    KEY,
)  # fmt: skip
WAYS = ("original", "ours")


def size_of(request: Request) -> tuple[str, Size]:
    """What a cell is called in the tables, and how large it is."""
    tasks = ("tasks", request.task)
    raw = request.document.section((*tasks, "raw"), SpheresRaw)
    split = request.document.section((*tasks, "prepare"), Prepare).split
    assert isinstance(split.train, int)  # generated cases have no names to list
    assert isinstance(split.validation, int)
    numbers = (split.train, split.validation, raw.test.count)
    if request.epochs is None:
        return "cell_reduced", Size(REDUCED_EPOCHS, *(-(-number // REDUCED_PART) for number in numbers))
    is_whole = request.epochs == request.document.section((*tasks, "train"), TaskTraining).epochs
    return "cell" if is_whole else f"cell_{request.epochs}_epochs", Size(request.epochs, *numbers)


def difference(scores: Mapping[str, Sequence[Dice]], confidence: float) -> Interval:
    """Mean Dice of ours minus the original's, with its confidence interval.

    Paired by case, and by seed: both ways begin with the same weights. A single seed does not tell how far
    another would lie: there is no interval then.

    Args:
        scores: of each way, by seed, of the same cases.
        confidence: for example 0.95.
    """
    by_seed = list(zip(*(scores[way] for way in WAYS), strict=True))
    rows = [
        (seed, case, ours[case] - original[case])
        for seed, (original, ours) in enumerate(by_seed, start=1)
        for case in original
    ]
    frame = pd.DataFrame(rows, columns=["seed", "filename", "difference"])
    # One configuration, of differences.
    return interval(
        [Term(1, frame.assign(task="", model="", patch_size=0))], "difference", confidence, bounds=(-1, 1)
    )


def cell(request: Request, stamp: Mapping[str, object], workers: int = 2) -> Iterator[Measurement]:
    """Measure each configuration and write its scores and their difference.

    Args:
        request: what to measure.
        stamp: as `table.stamp`.
        workers: processes of the original's loader.
    """
    part, size = size_of(request)
    for model, patch_size in request.configurations([("unet", 32)]):
        with tempfile.TemporaryDirectory() as name:
            scores, seconds = _measure(request, model, patch_size, size, workers, Path(name))
        measured = Measurement(part, model, patch_size, seconds)
        _write(measured, request, size, scores, stamp)
        yield measured


def _measure(
    request: Request, model: str, patch_size: int, size: Size, workers: int, folder: Path
) -> tuple[dict[str, list[Dice]], Pairs]:
    """Dice of each way, by seed, and its seconds; `folder` is for volumes, weights and predictions."""
    whole = generated.write(request, size, folder / "whole", {})
    few = generated.write(request, Size(1, 1, 1, 1), folder / "few", {})
    scores: dict[str, list[Dice]] = {way: [] for way in WAYS}

    def run(way: str, study: generated.Study) -> Dice:
        cell = Cell(request.task, model, patch_size, seed=len(scores[way]) + 1)
        if way == "original":
            return cell_ways.original(request, study, cell, folder, workers)
        return cell_ways.ours(study, cell)

    for way in WAYS:  # what a process does once is neither way's
        run(way, few)
    seconds = pairs.measure(
        lambda: scores["original"].append(run("original", whole)),
        lambda: scores["ours"].append(run("ours", whole)),
        request.repeats or 3,
        request.device,
        f"{size_of(request)[0]} {model} {patch_size}",
        settle=False,
        before=os.sync,
    )
    return scores, replace(seconds, ours_s=tuple(s + whole.prepare_s for s in seconds.ours_s))


def _write(
    measured: Measurement,
    request: Request,
    size: Size,
    scores: Mapping[str, Sequence[Dice]],
    stamp: Mapping[str, object],
) -> None:
    """The rows of a configuration, in both tables, which replace all that it had."""
    row = measured.row(request, stamp)
    common = {name: row[name] for name in (*KEY, *STAMP)}
    by_seed = list(zip(*(scores[way] for way in WAYS), strict=True))
    table.replace(
        SCORES,
        [
            {
                **common,
                "seed": seed,
                "filename": case,
                "original_dsc": f"{original[case]:.6f}",
                "ours_dsc": f"{ours[case]:.6f}",
            }
            for seed, (original, ours) in enumerate(by_seed, start=1)
            for case in original
        ],
    )
    confidence = request.document.section(("analysis",), Analysis).confidence
    found = difference(scores, confidence)
    numbers = {
        **{f"{way}_dice": fmean(dice for own in scores[way] for dice in own.values()) for way in WAYS},
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
    }
    counts = {"epochs": size.epochs, "seeds": len(by_seed), "cases": size.test, "confidence": confidence}
    texts = {name: None if number is None else f"{number:.6f}" for name, number in numbers.items()}
    table.replace(DIFFERENCES, [{**common, **counts, **texts}])
