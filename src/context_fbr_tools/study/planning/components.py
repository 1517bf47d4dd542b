"""Variance components of the difference of two configurations, from the scores of a study."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from context_fbr.analysis import designed_cases
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.metrics.columns import DESIGN

MIN_SEEDS = MIN_CASES = 2


@dataclass(frozen=True)
class Components:
    """Variances of the difference of two configurations' mean scores.

    A score is configuration + training + case + case of this configuration + rest. The case itself is the
    same for both and cancels.
    """

    seeds: int
    """Trainings of each configuration."""
    cases: int
    training: tuple[float, float]
    """Variance of a training's mean in each configuration, without what is left."""
    case: float
    """Variance of a case's difference; of designed cases `cases` times that of the mean difference."""
    rest: tuple[float, float]
    """Variance of a single score in each configuration beyond training and case."""
    case_freedom: float
    """Degrees of freedom of the cases."""
    is_designed: bool
    """Designed cases are a fixed grid: more of them is another question."""


def components(a: pd.DataFrame, b: pd.DataFrame, value: str = "dsc") -> Components | None:
    """Return the components of two configurations; None if there are too few trainings or common cases.

    Args:
        a: rows of one configuration: seed, filename, the value, and perhaps design.
        b: rows of the other.
        value: the score.
    """
    tables = [own.pivot(index="filename", columns="seed", values=value) for own in (a, b)]
    both = pd.concat(tables, axis=1).dropna().index
    first, second = (table.loc[both].to_numpy(float) for table in tables)
    seeds = min(first.shape[1], second.shape[1])
    if seeds < MIN_SEEDS or len(both) < MIN_CASES:
        return None
    (training_a, rest_a), (training_b, rest_b) = map(_training_and_rest, (first, second))
    training, rest = (training_a, training_b), (rest_a, rest_b)
    # What is left of single scores in a case's mean over the trainings of each side.
    of_mean = rest_a / first.shape[1] + rest_b / second.shape[1]
    kept = [own[own["filename"].isin(both)] for own in (a, b)]
    if all(designed_cases.is_designed(own) for own in kept):
        found = [designed_cases.residuals(own, value, sign) for own, sign in zip(kept, (1, -1), strict=True)]
        variance, freedom = designed_cases.variance([part for part in found if part is not None])
        case = max(len(both) * variance - of_mean, 0.0)
        return Components(seeds, len(both), training, case, rest, freedom, True)
    differences = first.mean(axis=1) - second.mean(axis=1)
    case = max(float(differences.var(ddof=1)) - of_mean, 0.0)
    return Components(seeds, len(both), training, case, rest, len(both) - 1.0, False)


def _training_and_rest(scores: np.ndarray) -> tuple[float, float]:
    """Return the variances of trainings and of single scores, (cases, seeds), by analysis of variance."""
    cases, seeds = scores.shape
    of_seeds, of_cases = scores.mean(axis=0), scores.mean(axis=1)
    rest = scores - of_seeds - of_cases[:, None] + scores.mean()
    left = float((rest**2).sum()) / ((cases - 1) * (seeds - 1))
    return max(float(of_seeds.var(ddof=1)) - left / cases, 0.0), left


def pairs(scores: pd.DataFrame) -> dict[str, Components]:
    """Return the components of each two networks at one patch size, and of each two sizes of a network.

    Args:
        scores: metrics/TASK/cases.csv, patch sizes as text.
    """
    trained = scores[scores["seed"].notna()]
    columns = [*CONFIG_COLUMNS, "seed", "filename", "dsc", *([DESIGN.name] if DESIGN.name in trained else [])]
    groups = list(trained[columns].groupby(CONFIG_COLUMNS, sort=False))
    found: dict[str, Components] = {}
    for number, ((_, model, size), own) in enumerate(groups):
        for (_, other, other_size), rows in groups[number + 1 :]:
            if (model == other) == (size == other_size):
                continue
            of_pair = components(own, rows)
            if of_pair is not None:
                found[f"{model}-{size} and {other}-{other_size}"] = of_pair
    return found
