"""How often do intervals of designed and random cases hold the truth of the study's own curves?

python -m benchmarks.designed_coverage

benchmarks/designed_scores.csv -> benchmarks/designed_coverage.csv. The Dice of the study's cells on several
designed test sets is taken apart into a curve over the radius for each configuration, the deviations of its
trainings, what a volume does to all trainings, and the rest. A simulated study puts them together again: each
training is the curve plus a random combination of the deviations with their covariance, each case one of the
volumes of its radius, the same for all configurations. Designed studies have each radius once; random ones
have as many cases of radii drawn at random. Both are asked for the same truth: means over all radii. Where
trainings diverge, one in three has half the Dice of the curve.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from context_fbr.analysis.confidence_intervals import Interval, Term, interval
from context_fbr.analysis.result_files import write_csv
from context_fbr.core.progress import progress

STUDIES = 2000
CONFIDENCE = 0.95
SEEDS = 3
DIVERGED = 0.5
"""Dice of a diverged training as a share of the curve."""
SCORES, PATH = Path("benchmarks/designed_scores.csv"), Path("benchmarks/designed_coverage.csv")
WITHIN = {32: (10, 23), 48: (13, 16)}
"""Radii within the training range by patch size; at 16 all are."""


@dataclass(frozen=True)
class Curves:
    """The study's scores, taken apart; axes are test set, radius, configuration, training."""

    configurations: tuple[tuple[str, int], ...]
    radii: np.ndarray
    mean: np.ndarray
    """(radius, configuration)"""
    trainings: np.ndarray
    """(radius, configuration, training): deviations of each training's curve from the mean."""
    volumes: np.ndarray
    """(test set, radius, configuration): what a volume changes in all trainings."""
    rest: np.ndarray
    """(test set, radius, configuration, training)"""


@dataclass(frozen=True)
class Part:
    """Coefficient x mean of a configuration over some radii."""

    coefficient: float
    configuration: int
    inside: np.ndarray
    """By radius."""


def read_curves(path: Path = SCORES) -> Curves:
    """Take the scores apart; what was averaged away is scaled up again."""
    table = pd.read_csv(path).sort_values(["test_set", "radius"])
    cells = [name.rsplit("-", 2) for name in table.columns[2:]]
    configurations = tuple(dict.fromkeys((model, int(size)) for model, size, _ in cells))
    sets, radii = table["test_set"].nunique(), table["radius"].unique()
    trainings = len(cells) // len(configurations)
    scores = table.iloc[:, 2:].to_numpy().reshape(sets, len(radii), len(configurations), trainings)
    mean, by_training, by_volume = scores.mean((0, 3)), scores.mean(0), scores.mean(3)
    rest = scores - by_training - by_volume[..., None] + mean[..., None]
    grow = np.sqrt(sets / (sets - 1))
    return Curves(
        configurations,
        radii,
        mean,
        by_training - mean[..., None],
        grow * (by_volume - mean),
        grow * np.sqrt(trainings / (trainings - 1)) * rest,
    )


def statistics(curves: Curves) -> Iterator[tuple[str, str, list[Part]]]:
    """Yield kind, name and parts of each statistic."""
    everywhere = np.ones(len(curves.radii), bool)
    for number, (model, size) in enumerate(curves.configurations):
        yield "mean", f"{model} {size}", [Part(1, number, everywhere)]
        if size in WITHIN:
            low, high = WITHIN[size]
            inside = (curves.radii >= low) & (curves.radii <= high)
            yield "mean within", f"{model} {size}", [Part(1, number, inside)]
            yield "mean outside", f"{model} {size}", [Part(1, number, ~inside)]
            yield "loss", f"{model} {size}", [Part(1, number, inside), Part(-1, number, ~inside)]
    for (a, one), (b, other) in combinations(enumerate(curves.configurations), 2):
        if one[0] == other[0] or one[1] == other[1]:
            name = f"{other[0]} {other[1]} - {one[0]} {one[1]}"
            yield "difference", name, [Part(1, b, everywhere), Part(-1, a, everywhere)]
    for model in dict.fromkeys(model for model, _ in curves.configurations):
        own = {size: n for n, (name, size) in enumerate(curves.configurations) if name == model}
        x = np.log2(list(own)) - np.log2(list(own)).mean()
        slopes = x / (x**2).sum()
        parts = [Part(float(c), number, everywhere) for c, number in zip(slopes, own.values(), strict=True)]
        yield "slope", model, parts


def study(
    curves: Curves, generator: np.random.Generator, designed: bool, diverge: bool
) -> tuple[list[pd.DataFrame], np.ndarray]:
    """Draw the scores of each configuration, and the place of each case among the radii."""
    count = len(curves.radii)
    places = np.arange(count) if designed else generator.integers(count, size=count)
    sets, _, _, trainings = curves.rest.shape
    volumes = generator.integers(sets, size=count)
    frames = []
    for number, (model, size) in enumerate(curves.configurations):
        mean = curves.mean[places, number]
        factors = np.where(generator.random(SEEDS) < 1 / 3, DIVERGED, 1.0) if diverge else np.ones(SEEDS)
        mixture = generator.standard_normal((SEEDS, trainings)) / np.sqrt(trainings - 1)
        shape = (SEEDS, count)
        rest = curves.rest[
            generator.integers(sets, size=shape), places, number, generator.integers(trainings, size=shape)
        ]
        scores = (
            factors[:, None] * mean
            + mixture @ curves.trainings[places, number].T
            + curves.volumes[volumes, places, number]
            + rest
        )
        rows = {
            "task": "simulated",
            "model": model,
            "patch_size": size,
            "seed": np.repeat(np.arange(SEEDS), count),
            "filename": np.tile([f"case {case}" for case in range(count)], SEEDS),
            "design": np.tile(curves.radii[places].astype(float), SEEDS) if designed else np.nan,
            "score": scores.ravel(),
        }
        frames.append(pd.DataFrame(rows))
    return frames, places


def simulate(curves: Curves, designed: bool, diverge: bool, studies: int) -> pd.DataFrame:
    """Return a row for each statistic: coverage in the studies that have an interval, median half-width."""
    generator = np.random.default_rng([designed, diverge])
    asked = list(statistics(curves))
    found: list[list[Interval]] = [[] for _ in asked]
    label = f"{'designed' if designed else 'random'} cases{', diverging' if diverge else ''}"
    for _ in progress(range(studies), studies, label, "draw"):
        frames, places = study(curves, generator, designed, diverge)
        for (_, _, parts), intervals in zip(asked, found, strict=True):
            terms = [
                Term(part.coefficient, frames[part.configuration][np.tile(part.inside[places], SEEDS)])
                for part in parts
            ]
            intervals.append(interval(terms, "score", CONFIDENCE))
    share = 1 - (1 - DIVERGED) / 3 if diverge else 1.0
    rows = []
    for (kind, name, parts), intervals in zip(asked, found, strict=True):
        true = share * sum(p.coefficient * curves.mean[p.inside, p.configuration].mean() for p in parts)
        limits = [(i.low, i.high) for i in intervals if i.low is not None and i.high is not None]
        rows.append(
            {
                "cases": "designed" if designed else "random",
                "diverge": int(diverge),
                "statistic": kind,
                "of": name,
                "coverage": np.mean([low <= true <= high for low, high in limits]),
                "half_width": np.median([(high - low) / 2 for low, high in limits]),
                "studies": len(limits),
            }
        )
    return pd.DataFrame(rows)


def table(studies: int = STUDIES) -> pd.DataFrame:
    """Coverage of every statistic, for designed and random cases, without and with diverging trainings."""
    curves = read_curves()
    settings = [
        (curves, designed, diverge, studies) for diverge in (False, True) for designed in (True, False)
    ]
    with ProcessPoolExecutor(2) as pool:
        return pd.concat(pool.map(simulate, *zip(*settings, strict=True)), ignore_index=True)


if __name__ == "__main__":
    write_csv(PATH, table())
