"""A whole cell both ways: seconds, and whether its Dice is the same -> cell_scores.csv, cell_differences.csv.

Without `--epochs` these are a fifth of the volumes and five epochs; with the protocol's number of epochs the
cell is the published one. Each repeat is another seed.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import pandas as pd

from benchmarks import cell_ways, pairs, table
from benchmarks.cell_ways import Dice, Files, Size
from benchmarks.pairs import Pairs
from benchmarks.request import Measurement, Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.intervals import Interval, Term, interval
from context_fbr.patches import Protocol
from context_fbr.study.analysis import Analysis
from context_fbr.study.preparation import Prepare
from context_fbr.study.raw import SpheresRaw
from context_fbr.study.training import TaskTraining

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
    numbers = (split.train, split.validation, raw.test.volumes)
    if request.epochs is None:
        return "cell_reduced", Size(REDUCED_EPOCHS, *(-(-number // REDUCED_PART) for number in numbers))
    is_whole = request.epochs == request.document.section((*tasks, "train"), TaskTraining).epochs
    return "cell" if is_whole else f"cell_{request.epochs}_epochs", Size(request.epochs, *numbers)


def difference(scores: Mapping[str, Sequence[Dice]], confidence: float) -> Interval:
    """Mean Dice of ours minus the original's, with its confidence interval.

    Paired by case, and by seed: both ways begin with the same weights. A single seed does not tell how far
    another would lie; the interval is then that of the cases alone.

    Args:
        scores: of each way, by seed, of the same cases.
        confidence: for example 0.95.
    """
    by_seed = list(zip(*(scores[way] for way in WAYS), strict=True))
    rows = [
        (seed if len(by_seed) > 1 else None, case, ours[case] - original[case])
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
    files = cell_ways.write_volumes(request, size, folder)
    own = {way: folder / way for way in WAYS}
    for path in own.values():
        path.mkdir()
    scores: dict[str, list[Dice]] = {way: [] for way in WAYS}

    def run(way: str, files: Sequence[Files], epochs: int) -> Dice:
        seed = len(scores[way]) + 1
        protocol = Protocol(request.training, request.window, epochs, patch_size, seed)
        if way == "original":
            return cell_ways.original(request, model, protocol, files, own[way], workers)
        return cell_ways.ours(request, model, protocol, files, own[way])

    # What a process does once, such as imports, is neither way's: one volume of each split pays for it.
    few = list({file.split: file for file in files}.values())
    for way in WAYS:
        run(way, few, epochs=1)
    seconds = pairs.measure(
        lambda: scores["original"].append(run("original", files, size.epochs)),
        lambda: scores["ours"].append(run("ours", files, size.epochs)),
        request.repeats or 3,
        request.device,
        f"{size_of(request)[0]} {model} {patch_size}",
        warm_up=False,
    )
    return scores, seconds


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
