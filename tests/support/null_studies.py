"""Studies without an effect: trainings drawn about the curves of the committed results."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from workspace import ROOT

from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS

PUBLISHED = ("unet", "attention_unet", "unetr")
SCORES = {"dsc": 1.0, "surface_dice": 1.0, "hausdorff": np.inf, "abs_diff": np.inf}
"""Greatest value."""


@dataclass(frozen=True)
class Curves:
    """The committed scores of a task, by configuration and score: an array (seeds, cases)."""

    cases: pd.DataFrame
    """Columns filename and fg_ratio."""
    scores: dict[tuple[str, int], dict[str, np.ndarray]]
    ranges: dict[tuple[str, int], tuple[float, float]]
    """Lowest and highest foreground ratio of the training patches."""


def read_curves(task: str = "spheres") -> Curves:
    """Read the committed results of the published networks."""
    rows = pd.read_csv(ROOT / "metrics" / task / "cases.csv").query("task == @task").dropna(subset=["seed"])
    cells = pd.read_csv(ROOT / "metrics" / task / "cells.csv").query("task == @task")
    scores, ranges = {}, {}
    for (model, size), own in rows[rows["model"].isin(PUBLISHED)].groupby(["model", "patch_size"]):
        tables = {name: own.pivot_table(index="seed", columns="filename", values=name) for name in SCORES}
        scores[model, int(size)] = {name: table.to_numpy() for name, table in tables.items()}
        of_cell = cells[(cells["model"] == model) & (cells["patch_size"] == size)]
        ranges[model, int(size)] = (of_cell["training_ratio_min"].min(), of_cell["training_ratio_max"].max())
    cases = rows.groupby("filename")["fg_ratio"].first().reset_index()
    return Curves(cases, scores, ranges)


def draw(
    curves: Curves,
    generator: np.random.Generator,
    names: Sequence[tuple[str, str]],
    seeds: int = 3,
    task: str = "spheres",
    sizes: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Return scores of new trainings.

    A training is the mean curve plus a normal combination of the seeds' deviations, with their covariance.

    Args:
        curves: of the published networks.
        generator: makes the draws.
        names: the model that a training is of, and the name that it gets.
        seeds: trainings a configuration.
        task: name of the task.
        sizes: patch sizes; None: all.
    """
    frames = []
    for model, name in names:
        for size in sorted({size for known, size in curves.scores if known == model}):
            if sizes is not None and size not in sizes:
                continue
            known = curves.scores[model, size]
            for seed in range(1, seeds + 1):
                weights = generator.standard_normal(len(known["dsc"])) / np.sqrt(len(known["dsc"]) - 1)
                values = {
                    score: np.clip(table.mean(0) + weights @ (table - table.mean(0)), 0, SCORES[score])
                    for score, table in known.items()
                }
                frames.append(
                    curves.cases.assign(task=task, model=name, patch_size=size, seed=seed, **values)
                )
    rows = pd.concat(frames, ignore_index=True)
    return rows.astype({"patch_size": "Int64", "seed": "Int64"})


def evidence(curves: Curves, scores: pd.DataFrame, of: dict[str, str]) -> Evidence:
    """Return scores with the training ranges of the models that they are drawn from."""
    cells = scores[CELL_COLUMNS].drop_duplicates()
    ends = [
        [curves.ranges[of.get(row.model, row.model), row.patch_size][end] for row in cells.itertuples()]
        for end in (0, 1)
    ]
    ratios = pd.concat([cells.assign(foreground_ratio=values) for values in ends], ignore_index=True)
    return Evidence(scores, ratios, None)
