"""How often do the study's intervals hold the truth? Simulated studies -> benchmarks/coverage.csv.

python -m benchmarks.coverage

A study is seeds x cases: score = case + seed + rest, with a spread of 1 over cases, of `seed_spread` over
seeds and of 0.3 for the rest. Cases are normal, or skewed: exponential, or spheres, where a score falls with
1 / radius as the Dice of a network that is off by a part of a voxel at the surface. The statistics are the
mean of one configuration; the difference of two that meet the same cases, truly 0; and the loss: the mean of
the middle third of the cases minus that of the others, as within minus outside of a training range.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from context_fbr.analysis.confidence_intervals import Interval, Term, interval
from context_fbr.analysis.result_files import write_csv
from context_fbr.core.progress import progress

KINDS = ("normal", "exponential", "spheres")
STUDIES = 500
CASES = 24
REST = 0.3
CONFIDENCE = 0.95
SEEDS = (3, 10)
SEED_SPREADS = (0.0, 0.1, 0.4, 1.0)
PATH = Path("benchmarks/coverage.csv")


def study(
    generator: np.random.Generator, cases: np.ndarray, seeds: int, spread: float, size: int
) -> pd.DataFrame:
    """The scores of one configuration, named by its patch size."""
    scores = (
        spread * generator.standard_normal(seeds)[:, None]
        + cases
        + REST * generator.standard_normal((seeds, len(cases)))
    )
    return pd.DataFrame(
        {
            "task": "simulated",
            "model": "model",
            "patch_size": size,
            "seed": np.repeat(np.arange(seeds), len(cases)),
            "filename": np.tile([f"case {number}" for number in range(len(cases))], seeds),
            "score": scores.ravel(),
        }
    )


RADII = np.arange(2, 24)


def draw_cases(generator: np.random.Generator, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Cases of mean 0 and spread 1, and what they are sorted by: a size, uniform from 0 to 1."""
    if kind == "spheres":
        place = generator.integers(len(RADII), size=CASES)
        scores = -1 / RADII
        return ((scores - scores.mean()) / scores.std())[place], (place + 0.5) / len(RADII)
    size = generator.random(CASES)
    return (norm.ppf(size) if kind == "normal" else 1 + np.log(size)), size


def true_loss(kind: str) -> float:
    """Of the middle third against the rest."""
    if kind == "normal":
        return 0.0  # both are even about 0
    if kind == "spheres":
        scores = (-1 / RADII + np.mean(1 / RADII)) / np.std(1 / RADII)
        inside = _middle((np.arange(len(RADII)) + 0.5) / len(RADII))
        return float(scores[inside].mean() - scores[~inside].mean())
    # The integral of 1 + log u over the middle third; over all it is 0.
    inside = 3 * (2 / 3 * np.log(2 / 3) - 1 / 3 * np.log(1 / 3))
    return float(inside + inside / 2)


def _middle(size: np.ndarray) -> np.ndarray:
    return (size > 1 / 3) & (size < 2 / 3)


def simulate(kind: str, seeds: int, spread: float) -> list[dict[str, object]]:
    """A row for each statistic: coverage, median half-widths."""
    generator = np.random.default_rng([seeds, round(10 * spread), KINDS.index(kind)])
    found: dict[str, list[Interval]] = {"mean": [], "difference": [], "loss": [], "unpaired": []}
    for _ in range(STUDIES):
        cases, size = draw_cases(generator, kind)
        a, b = (study(generator, cases, seeds, spread, edge) for edge in (16, 32))
        found["mean"].append(interval([Term(1, a)], "score", CONFIDENCE))
        found["difference"].append(interval([Term(1, b), Term(-1, a)], "score", CONFIDENCE))
        renamed = b.assign(filename="other " + b["filename"])
        found["unpaired"].append(interval([Term(1, renamed), Term(-1, a)], "score", CONFIDENCE))
        inside = np.tile(_middle(size), seeds)
        found["loss"].append(interval([Term(1, a[inside]), Term(-1, a[~inside])], "score", CONFIDENCE))
    truth = {"mean": 0.0, "difference": 0.0, "loss": true_loss(kind)}
    return [
        {
            "cases": kind,
            "statistic": statistic,
            "seeds": seeds,
            "seed_spread": spread,
            "coverage": np.mean([i.low is not None and i.low <= true <= i.high for i in found[statistic]]),
            "half_width": _half_width(found[statistic]),
            "half_width_unpaired": _half_width(found["unpaired"]) if statistic == "difference" else None,
            "studies": STUDIES,
        }
        for statistic, true in truth.items()
    ]


def _half_width(intervals: list[Interval]) -> float:
    return float(np.median([(i.high - i.low) / 2 for i in intervals if i.low is not None]))


def table() -> pd.DataFrame:
    """Coverage for every kind of case, number of seeds and spread of seeds."""
    grid = [(kind, seeds, spread) for kind in KINDS for seeds in SEEDS for spread in SEED_SPREADS]
    rows = [row for item in progress(grid, len(grid), "coverage", "setting") for row in simulate(*item)]
    return pd.DataFrame(rows).round(4)


if __name__ == "__main__":
    write_csv(PATH, table())
