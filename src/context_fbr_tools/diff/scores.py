"""Differences of scores of the same configuration between two commits, with intervals."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from context_fbr.analysis.confidence_intervals import NOT_DECIDED, Interval, Term, defined_pairs, interval
from context_fbr.analysis.findings.verdicts.holm import adjusted, p_value
from context_fbr.analysis.foreground_ranges import BOUNDS, SCORES
from context_fbr.analysis.observations import is_baseline
from context_fbr.analysis.result_files import DIGITS
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.core.patch_size import PatchSize, plain
from context_fbr.metrics.columns import STRUCTURE

UNCHANGED, BETTER, WORSE, UNDECIDED = "unchanged", "better", "worse", "not decided"
COMMON_UNCHANGED = "unchanged in the seeds of both"
SIGNS = {"dice": 1, "hausdorff": -1}
"""1 if more is better, -1 if less is."""
ORDER = ["seed", "filename"]
SAVED = ["dsc", "hausdorff", "fg_ratio"]
"""Columns that are equal on both sides if a training is the same."""


@dataclass(frozen=True)
class ScoreChange:
    """A score before and after."""

    before: Interval
    """The mean over all seeds and cases."""
    after: Interval
    undefined_before: int
    """Scores that are undefined, as the Hausdorff distance of an empty prediction."""
    undefined_after: int
    lost: int
    """Scores of the same seed and case that were defined and are not, less those that became defined."""
    difference: Interval
    """After minus before, of the seeds and cases that both have."""
    over_cases: Interval
    """The same with an interval over the cases alone: where a side has one seed, all that can be known."""
    one_seed: bool
    """A side has a single seed."""
    p: float | None
    """One-sided, of a change in this direction, from the interval that decides: 1 if it does not exclude 0.
    None if every score is the same, or there is no interval."""
    p_holm: float | None
    """The same after Holm's correction over all changes that are compared; see `corrected`."""
    verdict: str
    """unchanged: every single score is the same, or every one of the seeds that both have; better or worse:
    the whole interval is; or not decided."""


@dataclass(frozen=True)
class Configuration:
    """A (task, model, patch size) that both commits have."""

    task: str
    model: str
    patch_size: PatchSize | None
    """None for a baseline."""
    seeds: int
    """Number of seeds that both have; 0 for a baseline."""
    cases: int
    """Test cases after the change."""
    paired_cases: int
    """Test cases that both have: of the same name and foreground ratio."""
    dice: ScoreChange
    hausdorff: ScoreChange
    structure: str = ""
    """Empty: of all structures together."""


def compare_scores(before: pd.DataFrame, after: pd.DataFrame, confidence: float) -> list[Configuration]:
    """Compare each configuration that both have, in the order of `after`.

    Differences are paired by test case. Seeds are not paired: a change may alter what a seed draws. If both
    sides hold the very same training, the seeds that both have are compared and no other, for a training
    has no error against itself. A case whose foreground ratio differs is another case with the same name.

    Args:
        before: columns task, model, patch_size, seed, filename, dsc, hausdorff, fg_ratio.
        after: the same columns.
        confidence: of the intervals, for example 0.95.
    """
    old, new = (
        {tuple(None if pd.isna(part) else part for part in key): rows for key, rows in groups}
        for groups in (frame.groupby(CONFIG_COLUMNS, sort=False, dropna=False) for frame in (before, after))
    )
    return [_configuration(key, old[key], rows, confidence) for key, rows in new.items() if key in old]


def compare_structures(before: pd.DataFrame, after: pd.DataFrame, confidence: float) -> list[Configuration]:
    """Compare each structure that both have, as `compare_scores`; the tables have a column `structure`."""
    old = dict(iter(before.groupby(STRUCTURE.name, sort=False)))
    return [
        replace(configuration, structure=str(name))
        for name, new in after.groupby(STRUCTURE.name, sort=False)
        if name in old
        for configuration in compare_scores(old[name], new, confidence)
    ]


def corrected(configurations: Iterable[Configuration]) -> tuple[Configuration, ...]:
    """Correct the p-values of all networks' scores together; a baseline is as good as the data let it be.

    What did not change has no p-value and does not count: only what was trained again can differ by chance.
    """
    found = tuple(configurations)
    places = [
        (index, name)
        for index, configuration in enumerate(found)
        for name in SIGNS
        if configuration.patch_size is not None and getattr(configuration, name).p is not None
    ]
    values = adjusted([getattr(found[index], name).p for index, name in places])
    changes: list[dict[str, ScoreChange]] = [{} for _ in found]
    for (index, name), value in zip(places, values, strict=True):
        changes[index][name] = replace(getattr(found[index], name), p_holm=value)
    return tuple(
        replace(c, dice=new.get("dice", c.dice), hausdorff=new.get("hausdorff", c.hausdorff))
        for c, new in zip(found, changes, strict=True)
    )


def _configuration(
    key: tuple[Any, ...], before: pd.DataFrame, after: pd.DataFrame, confidence: float
) -> Configuration:
    task, model, size = key
    # Each side is a configuration of its own to the intervals, or equal seed numbers would be one training.
    before, after = (
        rows.assign(model=f"{model}, {side}").reset_index(drop=True)
        for side, rows in (("before", before), ("after", after))
    )
    ratios = before.drop_duplicates("filename").set_index("filename")["fg_ratio"]
    # Tables of structures are rounded, those of earlier versions were not.
    same = pd.Series(
        np.isclose(after["fg_ratio"], after["filename"].map(ratios), rtol=1e-9, atol=0)
        | (after["fg_ratio"].round(DIGITS) == after["filename"].map(ratios).round(DIGITS))
    )
    old, new, seeds = before, after, set(before["seed"].dropna()) & set(after["seed"].dropna())
    if any(_equal(before[before["seed"] == seed], after[after["seed"] == seed], SAVED) for seed in seeds):
        old, new = before[before["seed"].isin(seeds)], after[after["seed"].isin(seeds)]
    new = new.assign(filename=new["filename"].where(same[new.index], "after: " + new["filename"]))
    changes = {name: _change(name, (before, after), (old, new), confidence) for name in SCORES}
    return Configuration(
        task,
        model,
        None if is_baseline(model) else plain(size),
        len(seeds),
        after["filename"].nunique(),
        after.loc[same, "filename"].nunique(),
        changes["dice"],
        changes["hausdorff"],
    )


Pair = tuple[pd.DataFrame, pd.DataFrame]


def _change(name: str, whole: Pair, common: Pair, confidence: float) -> ScoreChange:
    """`whole`: rows for the means; `common`: those for the difference, other cases under other names."""
    score = SCORES[name]
    mean_before, mean_after = (
        interval([Term(1, rows)], score, confidence, bounds=BOUNDS[name]) for rows in whole
    )
    undefined_before, undefined_after = (int(rows[score].isna().sum()) for rows in whole)
    if _equal(*common, [score]):
        difference = over_cases = Interval(0.0, 0.0, 0.0)
        p = None
        verdict = UNCHANGED if _equal(*whole, [score]) else COMMON_UNCHANGED
    else:
        first, second = defined_pairs(*common, score)
        trained = [Term(1, second), Term(-1, first)]
        difference = interval(trained, score, confidence)
        # Without a seed nothing of a row is random to `interval` but its case.
        fixed = [rows.assign(seed=pd.array([pd.NA] * len(rows), "Int64")) for rows in (second, first)]
        untrained = [Term(1, fixed[0]), Term(-1, fixed[1])]
        over_cases = interval(untrained, score, confidence)
        p = _p(difference, trained, score) if difference.low is not None else _p(over_cases, untrained, score)
        verdict = _verdict(difference, SIGNS[name])
    one_seed = any(rows["seed"].nunique() == 1 for rows in common)
    lost = _lost(*whole, score)
    return ScoreChange(
        mean_before,
        mean_after,
        undefined_before,
        undefined_after,
        lost,
        difference,
        over_cases,
        one_seed,
        p,
        p,
        verdict,
    )


def _p(found: Interval, terms: list[Term], score: str) -> float | None:
    """Half of the smallest alpha at which the interval of the terms excludes 0; 1 if `found` does not."""

    def test(level: float) -> str:
        return "changed" if excludes_zero(interval(terms, score, level)) else NOT_DECIDED

    if found.low is None:
        return None
    return p_value(test) / 2 if excludes_zero(found) else 1.0


def _lost(before: pd.DataFrame, after: pd.DataFrame, score: str) -> int:
    """Scores that became undefined, less those that became defined, of the same seed and case.

    Without a common one, by how many more are undefined, as a share of those after.
    """
    old, new = (rows.set_index(ORDER)[score].isna() for rows in (before, after))
    both = old.index.intersection(new.index)
    if len(both):
        return int(new[both].sum()) - int(old[both].sum())
    return round(float(new.mean() - old.mean()) * len(new))


def _equal(a: pd.DataFrame, b: pd.DataFrame, scores: list[str]) -> bool:
    """Return true if two sides have the same rows, in any order."""
    columns = [*ORDER, *scores]
    first, second = (rows[columns].sort_values(ORDER, ignore_index=True) for rows in (a, b))
    return first.equals(second)


def excludes_zero(interval: Interval) -> bool:
    """Return true if an interval has limits and excludes 0."""
    low, high = interval.low, interval.high
    return low is not None and high is not None and not low <= 0 <= high


def _verdict(difference: Interval, sign: int) -> str:
    if difference.low is None or not excludes_zero(difference):
        return UNDECIDED
    return BETTER if sign * difference.low > 0 else WORSE
