"""Hypotheses: the published claims and the rival explanations, each with the statistic that decides it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from context_fbr.analysis.confidence_intervals import Interval, Term, above, below, defined_pairs, positive
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.foreground_ranges import assign_range_group
from context_fbr.analysis.observations import Evidence, is_baseline

CLAIM, RIVAL = "published claim", "rival explanation"
REFERENCE = "unet"


@dataclass(frozen=True)
class Hypothesis:
    """A statement, and the statistic that decides it."""

    id: str
    kind: str
    statement: str
    statistic: str
    terms: Sequence[Term]
    judge: Callable[[Interval], str]
    missing: str
    score: str = "dsc"


@dataclass(frozen=True)
class _Task:
    """One task's rows with their groups."""

    rows: pd.DataFrame
    """As of `assign_range_group`."""
    scores: pd.DataFrame
    """As of `Evidence.scores`: cells without a known range are there too."""

    @property
    def models(self) -> list[str]:
        return [model for model in self.scores["model"].unique() if not is_baseline(model)]

    def sizes(self, model: str) -> list[int]:
        return sorted(self.scores.loc[self.scores["model"] == model, "patch_size"].unique())

    def of(self, model: str, size: int) -> pd.DataFrame:
        return self.scores[(self.scores["model"] == model) & (self.scores["patch_size"] == size)]

    def group(self, model: str, size: int, *groups: str) -> pd.DataFrame:
        own = self.rows[(self.rows["model"] == model) & (self.rows["patch_size"] == size)]
        return own[own["group"].isin(groups)]


def hypotheses(evidence: Evidence, margin: float) -> Iterator[tuple[str, Hypothesis]]:
    """Yield every hypothesis with its task; `margin` is what is called a small difference, in Dice."""
    grouped = assign_range_group(evidence)
    for name, scores in evidence.scores.groupby("task", sort=False):
        for question in _questions(_Task(grouped[grouped["task"] == name], scores), margin):
            yield name, question


def _questions(task: _Task, margin: float) -> Iterator[Hypothesis]:
    for model in task.models:
        yield _larger_patches(task, model)
    for model in task.models:
        if model == REFERENCE:
            yield _loses_little(task, model, margin)
        elif REFERENCE in task.models:
            yield _loses_more(task, model)
    for model in task.models:
        yield _wide_range(task, model)
    for model in task.models:
        yield _small_objects(task, model)
    for model in task.models:
        yield _equal_size(task, model, margin)
    if (task.scores["model"] == "threshold").any():
        for model in task.models:
            yield _no_context(task, model, margin)
        for model in task.models:
            yield _no_context_distance(task, model)


def _larger_patches(task: _Task, model: str) -> Hypothesis:
    sizes = task.sizes(model)
    x = np.log2(np.array(sizes, dtype=float))
    x -= x.mean()
    spread = float((x**2).sum())
    return Hypothesis(
        f"larger_patches_{model}",
        CLAIM,
        f"{name_of(model)} does better with larger patches",
        f"slope of mean Dice per doubling of the patch size, {_listed(sizes)}",
        [Term(float(c) / spread, task.of(model, s)) for c, s in zip(x, sizes, strict=True)] if spread else [],
        positive,
        "one patch size only",
    )


def _loses_little(task: _Task, model: str, margin: float) -> Hypothesis:
    sizes = _with_both(task, model)
    return Hypothesis(
        f"loses_little_{model}",
        CLAIM,
        f"{name_of(model)} loses little outside of the training range",
        f"mean Dice within minus outside, {_listed(sizes)}; little: less than {margin}",
        _loss(task, model, sizes),
        lambda found: below(found, margin),
        "no patch size has test cases within and outside",
    )


def _loses_more(task: _Task, model: str) -> Hypothesis:
    sizes = [size for size in _with_both(task, model) if size in _with_both(task, REFERENCE)]
    reference = [Term(-term.coefficient, term.rows) for term in _loss(task, REFERENCE, sizes)]
    return Hypothesis(
        f"loses_more_{model}",
        CLAIM,
        f"{name_of(model)} loses more outside of the training range than {name_of(REFERENCE)}",
        f"(mean Dice within minus outside) of {name_of(model)} minus that of {name_of(REFERENCE)}, "
        f"{_listed(sizes)}",
        _loss(task, model, sizes) + reference,
        positive,
        "no patch size has test cases within and outside for both networks",
    )


def _wide_range(task: _Task, model: str) -> Hypothesis:
    ranges = task.rows[task.rows["model"] == model].groupby("patch_size")[["low", "high"]].first()
    width = ranges["high"] - ranges["low"]
    terms: list[Term] = []
    statistic = "mean Dice with the widest training range minus that with the narrowest"
    if len(width) and width.max() > width.min():
        widest, narrowest = int(width.idxmax()), int(width.idxmin())
        low, high = ranges.loc[narrowest]
        inside_low, inside_high = ranges.loc[widest]

        def cases(size: int) -> pd.DataFrame:
            rows = task.of(model, size)
            ratio = rows["fg_ratio"]
            outside = (ratio <= low) | (ratio >= high)
            return rows[outside & (ratio > inside_low) & (ratio < inside_high)]

        terms = [Term(1, cases(widest)), Term(-1, cases(narrowest))]
        statistic += f", patch {widest} minus patch {narrowest}"
        statistic += ", on test cases within the one and outside of the other"
    return Hypothesis(
        f"wide_range_{model}",
        CLAIM,
        f"A wide range of foreground ratios in training makes {name_of(model)} robust",
        statistic,
        terms,
        positive,
        "all ranges are equally wide, or no case tells them apart",
    )


def _small_objects(task: _Task, model: str) -> Hypothesis:
    sizes = _with_both(task, model, "below", "above")
    terms = [
        Term(sign / len(sizes), task.group(model, size, group))
        for size in sizes
        for sign, group in ((1, "above"), (-1, "below"))
    ]
    return Hypothesis(
        f"small_objects_{model}",
        RIVAL,
        f"Of the test cases outside of the range, {name_of(model)} fails on the small ones",
        f"mean Dice above minus below the range, {_listed(sizes)}",
        terms,
        positive,
        "no patch size has test cases below and above",
    )


def _equal_size(task: _Task, model: str, margin: float) -> Hypothesis:
    """The cases below the range of the largest patch, where a smaller patch has them within."""
    sizes = task.sizes(model)
    terms: list[Term] = []
    used = []
    largest = sizes[-1]
    small = task.group(model, largest, "below")
    for size in sizes[:-1]:
        within = task.group(model, size, "within")
        within = within[within["fg_ratio"] <= small["fg_ratio"].max()]
        same = small[small["fg_ratio"] >= within["fg_ratio"].min()]
        if _enough(within, same):
            terms += [Term(1, within), Term(-1, same)]
            used.append(size)
    terms = [Term(term.coefficient / len(used), term.rows) for term in terms]
    return Hypothesis(
        f"equal_size_{model}",
        RIVAL,
        f"It is not the range: {name_of(model)} does no better on small objects where they are within it",
        f"mean Dice of the cases below the range of patch {largest} where a smaller patch has them within, "
        f"{_listed(used)}, minus that at patch {largest}; no better: by less than {margin}",
        terms,
        lambda found: below(found, margin),
        "no test case is below the range of the largest patch and within that of a smaller one",
    )


def _no_context(task: _Task, model: str, margin: float) -> Hypothesis:
    best = _best(task, model)
    threshold = task.scores[task.scores["model"] == "threshold"]
    return Hypothesis(
        f"no_context_{model}",
        RIVAL,
        f"No context is needed: a threshold has as good a Dice as {name_of(model)} at its best",
        f"mean Dice of the threshold minus that of patch {best}; as well: no worse than by {margin}",
        [Term(1, threshold), Term(-1, task.of(model, best))],
        lambda found: above(found, -margin),
        "",
    )


def _no_context_distance(task: _Task, model: str) -> Hypothesis:
    best = _best(task, model)
    threshold = task.scores[task.scores["model"] == "threshold"]
    pairs = defined_pairs(task.of(model, best), threshold, "hausdorff")
    return Hypothesis(
        f"no_context_distance_{model}",
        RIVAL,
        f"No context is needed: a threshold's Hausdorff distance is smaller than that of {name_of(model)}",
        f"mean Hausdorff distance of patch {best}, the best in Dice, minus that of the threshold",
        [Term(sign, rows) for sign, rows in zip((1, -1), pairs, strict=True)],
        positive,
        "",
        "hausdorff",
    )


def _best(task: _Task, model: str) -> int:
    return max(task.sizes(model), key=lambda size: task.of(model, size)["dsc"].mean())


def _enough(*groups: pd.DataFrame) -> bool:
    """A group of a single case has no interval: it would take that of the whole finding with it."""
    return all(group["filename"].nunique() > 1 for group in groups)


def _with_both(task: _Task, model: str, one: str = "within", *others: str) -> list[int]:
    """Patch sizes with cases in one group and in some of the others, by default within and outside."""
    groups = (one,), others or ("below", "above")
    return [size for size in task.sizes(model) if _enough(*(task.group(model, size, *g) for g in groups))]


def _loss(task: _Task, model: str, sizes: Sequence[int]) -> list[Term]:
    """Mean over patch sizes of: within minus outside."""
    return [
        Term(sign / len(sizes), task.group(model, size, *groups))
        for size, (sign, groups) in product(sizes, ((1, ("within",)), (-1, ("below", "above"))))
    ]


def _listed(sizes: Sequence[int]) -> str:
    return f"patch {', '.join(map(str, sizes))}" if sizes else "no patch size"
