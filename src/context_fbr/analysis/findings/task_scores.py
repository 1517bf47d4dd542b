"""Scores of a task, and the pairs of models that hypotheses compare."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.foreground_ranges import assign_range_group
from context_fbr.analysis.observations import Evidence, is_baseline
from context_fbr.config.analysis import Analysis
from context_fbr.core.patch_size import PatchSize, mean_edge, plain

Pair = tuple[str, str]
"""(batch, instance): two models."""


@dataclass(frozen=True)
class TaskScores:
    """One task's scores, and what is asked of them."""

    name: str
    scores: pd.DataFrame
    """Rows of `Evidence.scores`."""
    grouped: pd.DataFrame
    """Rows with their group, see `assign_range_group`."""
    windows: pd.DataFrame
    """Rows of `Evidence.windows`; none if the windows are not known."""
    pairs: tuple[Pair, ...]
    """Pairs of `analysis.exchanged_norms` that the task has."""
    modern: tuple[Pair, ...]
    """Pairs of `analysis.modern_recipe` that the task has."""
    small: float
    """Greatest loss that is called small, in Dice."""
    structures: pd.DataFrame
    """Rows of `Evidence.structures`; none if there is one structure."""

    @property
    def models(self) -> list[str]:
        """The networks."""
        return [model for model in self.scores["model"].unique() if not is_baseline(model)]

    def sizes(self, *models: str) -> list[PatchSize]:
        """Return the patch sizes that each of these networks has."""
        rows = self.scores[self.scores["seed"].notna()]
        found = [set(rows.loc[rows["model"] == model, "patch_size"]) for model in models]
        return sorted(plain(size) for size in set.intersection(*found)) if found else []

    def of(self, model: str, size: PatchSize) -> pd.DataFrame:
        """Return the scores of a configuration."""
        return self.scores[(self.scores["model"] == model) & (self.scores["patch_size"] == size)]

    def structure(self, model: str, size: PatchSize, name: str) -> pd.DataFrame:
        """Return the scores of a structure in a configuration."""
        own = self.structures[self.structures["structure"] == name]
        return own[(own["model"] == model) & (own["patch_size"] == size)]

    def group(self, model: str, size: PatchSize, *groups: str) -> pd.DataFrame:
        """Return the scores of a configuration within, below or above the range of its patches."""
        own = self.grouped[(self.grouped["model"] == model) & (self.grouped["patch_size"] == size)]
        return own[own["group"].isin(groups)]


def tasks(evidence: Evidence, settings: Analysis) -> list[TaskScores]:
    """Split the evidence into tasks, in the order of the scores."""
    windows = evidence.scores.iloc[:0] if evidence.windows is None else evidence.windows
    grouped = assign_range_group(evidence)
    found = []
    for name, scores in evidence.scores.groupby("task", sort=False):
        models = set(scores["model"])
        pairs, modern = (
            tuple(pair for pair in known if models.issuperset(pair))
            for known in (settings.exchanged_norms, settings.modern_recipe)
        )
        rows, every = (frame[frame["task"] == name] for frame in (grouped, windows))
        parts = evidence.of_task(str(name)).structures
        found.append(TaskScores(str(name), scores, rows, every, pairs, modern, settings.small_loss, parts))
    return found


def listed(sizes: Sequence[PatchSize]) -> str:
    """Return `patch 16, 32`."""
    return f"patch {', '.join(map(str, sizes))}"


def have_slope(sizes: Sequence[PatchSize]) -> bool:
    """Return true if there are patches of different mean edges."""
    return len({mean_edge(size) for size in sizes}) > 1


def slope_weights(sizes: Sequence[PatchSize]) -> list[float]:
    """Return the weights of means at patch sizes whose sum is their least-squares slope over log2(size).

    The size of a patch with three edges is its mean edge, that of the cube with as many voxels.
    """
    places = [math.log2(mean_edge(size)) for size in sizes]
    middle = math.fsum(places) / len(places)
    squares = math.fsum((place - middle) ** 2 for place in places)
    return [(place - middle) / squares for place in places]


def scaled(terms: Sequence[Term], factor: float) -> list[Term]:
    """Return the terms times a factor."""
    return [Term(factor * term.coefficient, term.rows) for term in terms]


def enough(*groups: pd.DataFrame) -> bool:
    """Return true if each group has several cases: a single one leaves the statistic without interval."""
    return all(group["filename"].nunique() > 1 for group in groups)
