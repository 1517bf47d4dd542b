"""Test cases within, below and above the range of the training patches' foreground ratio.

Within is strictly inside, as published; `outside` is below and above together.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from context_fbr.analysis.confidence_intervals import Interval, Term, interval
from context_fbr.analysis.observations import Evidence, is_baseline
from context_fbr.analysis.results import CELL_COLUMNS, CONFIG_COLUMNS

GROUPS = ("within", "below", "above", "outside")
SCORES = {"dice": "dsc", "hausdorff": "hausdorff"}
"""Prefix of a table's columns, and the score that it is of."""
BOUNDS = {"dice": (0.0, 1.0), "hausdorff": (0.0, float("inf"))}


def training_ranges(ratios: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Lowest and highest foreground ratio of the training patches, columns `keys`, low and high."""
    return ratios.groupby(keys, sort=False)["foreground_ratio"].agg(low="min", high="max").reset_index()


def shown_model(ratios: pd.DataFrame) -> str:
    """Return the network whose training patches figures show: the first of those with most patch sizes.

    Networks draw the same patches, but those with a supervised core record the ratios of the core.
    """
    sizes = ratios.groupby("model", sort=False)["patch_size"].nunique()
    return str(sizes.idxmax())


def shown_ranges(ratios: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return `training_ranges` of the network that figures show; no rows without training patches."""
    shown = ratios[ratios["model"] == shown_model(ratios)] if len(ratios) else ratios
    return training_ranges(shown, keys)


def assign_range_group(evidence: Evidence) -> pd.DataFrame:
    """Return the scores with the column `group`, the place in the range of (task, model, patch size).

    A baseline has no patches of its own: its rows are repeated for every patch size of the task, with the
    range of the task's networks there. Rows without a known range are left out.
    """
    ranges = training_ranges(evidence.ratios, CONFIG_COLUMNS)
    shared = ranges.groupby(["task", "patch_size"], sort=False).agg(low=("low", "min"), high=("high", "max"))
    baseline = evidence.scores["model"].map(is_baseline)
    own = evidence.scores[~baseline].merge(ranges, on=CONFIG_COLUMNS)
    without = evidence.scores[baseline].drop(columns="patch_size").merge(shared.reset_index(), on="task")
    # A frame without rows has columns without a type, which pandas 3 does not join quietly.
    frames = [f for f in (own, without[own.columns]) if len(f)]
    return _grouped(pd.concat(frames, ignore_index=True) if frames else own)


def cell_ranges(evidence: Evidence) -> pd.DataFrame:
    """A row for each cell and group, by the cell's own range; an empty group has n = 0.

    Columns: `KEYS`, group, n, and for each score mean and standard deviation over the cases and `_loss`: how
    much worse it is than within.
    """
    # The published patches are those of one run, it is not known which.
    keys = CELL_COLUMNS if evidence.ratios["seed"].notna().all() else CONFIG_COLUMNS
    ranges = training_ranges(evidence.ratios, keys)
    table = []
    for key, rows in _grouped(evidence.cells.merge(ranges, on=keys)).groupby(CELL_COLUMNS, sort=False):
        within: Mapping[str, Any] = {}
        for group, own in _groups(rows):
            row: dict[str, Any] = dict(zip(CELL_COLUMNS, key, strict=True)) | {"group": group, "n": len(own)}
            row |= {"undefined_hausdorff": int(own["hausdorff"].isna().sum())} | _pooled(own)
            if group == "within":
                within = row
            for name, sign in (("dice", 1), ("hausdorff", -1)):
                loss = sign * (within[f"{name}_mean"] - row[f"{name}_mean"])
                row[f"{name}_loss"] = loss if group != "within" else math.nan
            table.append(row)
    return pd.DataFrame(table)


def published_ranges(evidence: Evidence) -> pd.DataFrame:
    """The published table: mean and population standard deviation over the pooled cases of all runs.

    Columns task, model, patch_size, group, n, and mean and sd of Dice and Hausdorff distance.
    """
    table = []
    for key, rows in assign_range_group(evidence).groupby(CONFIG_COLUMNS, sort=False):
        for group, own in _groups(rows):
            row: dict[str, object] = dict(zip(CONFIG_COLUMNS, key, strict=True)) | {
                "group": group,
                "n": len(own),
            }
            table.append(row | _pooled(own))
    return pd.DataFrame(table, columns=[*CONFIG_COLUMNS, "group", "n", *_pooled(evidence.scores.iloc[:0])])


def range_intervals(evidence: Evidence, confidence: float) -> pd.DataFrame:
    """A row for each (task, model, patch size) and group: means, and losses from within, with intervals.

    `cases` counts different test cases, `n` their scores over all seeds; standard deviations are kept apart:
    over seeds of their means, over cases of their means.
    """
    table = []
    for key, rows in assign_range_group(evidence).groupby(CONFIG_COLUMNS, sort=False):
        nested = key[0] in evidence.nested
        within = rows[rows["group"] == "within"]
        for group, own in _groups(rows):
            row: dict[str, object] = dict(zip(CONFIG_COLUMNS, key, strict=True)) | {
                "group": group,
                "cases": own["filename"].nunique() if not nested else len(own),
                "n": len(own),
                "not_converged": evidence.not_converged(rows),
                "undefined_hausdorff": int(own["hausdorff"].isna().sum()),
            }
            for name, score in SCORES.items():
                row |= score_columns(name, own, confidence, nested)
                loss = Interval(None, None, None)
                if group != "within":
                    loss = interval(loss_terms(name, within, own), score, confidence, nested=nested)
                row |= columns(f"{name}_loss", loss)
            table.append(row)
    return pd.DataFrame(table)


def score_columns(name: str, rows: pd.DataFrame, confidence: float, nested: bool) -> dict[str, float]:
    """Mean of a score with its interval, and its standard deviations over seeds and over cases.

    A standard deviation over a single seed or case is undefined; with a test set for each seed, the cases of
    all seeds are different ones.
    """
    score = SCORES[name]
    result = columns(
        f"{name}_mean", interval([Term(1, rows)], score, confidence, nested=nested, bounds=BOUNDS[name])
    )
    case = ["seed", "filename"] if nested else ["filename"]
    for what, keys in {"seeds": ["seed"], "cases": case}.items():
        means = rows.groupby(keys, sort=False)[score].mean().dropna()
        result[f"{name}_sd_{what}"] = float(means.std(ddof=1)) if len(means) > 1 else math.nan
    return result


def columns(name: str, found: Interval) -> dict[str, float]:
    """An interval as three columns of a table: NAME, and NAME_low and NAME_high."""
    numbers = (found.estimate, found.low, found.high)
    names = (name, f"{name}_low", f"{name}_high")
    # NaN, not None: a column without any limit is still one of numbers.
    return {n: math.nan if x is None else x for n, x in zip(names, numbers, strict=True)}


def loss_terms(name: str, within: pd.DataFrame, group: pd.DataFrame) -> list[Term]:
    """Return by how much a group is worse than `within`: a smaller Dice, a greater distance."""
    sign = 1 if name == "dice" else -1
    return [Term(sign, within), Term(-sign, group)]


def _pooled(rows: pd.DataFrame) -> dict[str, float]:
    """Mean and population standard deviation of each score over all rows that have it."""
    result = {}
    for name, score in SCORES.items():
        values = rows[score].dropna()
        result[f"{name}_mean"] = float(values.mean()) if len(values) else math.nan
        result[f"{name}_sd"] = float(values.std(ddof=0)) if len(values) else math.nan
    return result


def _grouped(rows: pd.DataFrame) -> pd.DataFrame:
    group = pd.Series("within", index=rows.index)
    group[rows["fg_ratio"] <= rows["low"]] = "below"
    group[rows["fg_ratio"] >= rows["high"]] = "above"
    return rows.assign(group=group)


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for group in GROUPS:
        yield group, rows[rows["group"] != "within"] if group == "outside" else rows[rows["group"] == group]
