"""The exploratory hypotheses, at most six a task. Holm's correction is over those that can be asked."""

from collections.abc import Sequence
from dataclasses import replace

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.detection import dice_lost
from context_fbr.analysis.findings.hypothesis import EXPLORATORY, SURFACE, Claim, Hypothesis, Part
from context_fbr.analysis.findings.primary import (
    NO_PAIR,
    difference,
    loss_outside_by_norm,
    norm_at_smallest_patch,
    over_pairs,
    pairs_text,
)
from context_fbr.analysis.findings.task_scores import (
    TaskScores,
    enough,
    have_slope,
    listed,
    scaled,
    slope_weights,
)
from context_fbr.core.patch_size import PatchSize, plain
from context_fbr.metrics.columns import VOLUME

WINDOW = "window"
"""Id of a finding."""
REFERENCE = "unet"
"""The published network with batch norm."""


def exploratory(task: TaskScores) -> list[Hypothesis]:
    """Return all of a task."""
    return [
        _slope_by_norm(task),
        _small_slope(task),
        _window(task),
        _small_objects(task),
        _surface(task),
        _modern_recipe(task),
    ]


def _slope_by_norm(task: TaskScores) -> Hypothesis:
    statement = "Larger patches raise Dice more with instance norm than with batch norm"
    sizes = task.sizes(*(model for pair in task.pairs for model in pair))
    if not have_slope(sizes):
        reason = "one patch size only" if sizes else NO_PAIR
        return Hypothesis("slope_by_norm", EXPLORATORY, statement, "", missing=reason)
    mean, claim, value, _ = over_pairs(
        task.pairs,
        {
            (batch, instance): [*slope(task, instance, sizes), *scaled(slope(task, batch, sizes), -1)]
            for batch, instance in task.pairs
        },
        0.0,
    )
    return Hypothesis(
        "slope_by_norm",
        EXPLORATORY,
        statement,
        f"slope of mean Dice per doubling of the patch size, {listed(sizes)}, with instance norm minus batch "
        f"norm, mean of {pairs_text(task.pairs)}; more: above 0",
        mean,
        claim,
        value,
    )


def _small_slope(task: TaskScores) -> Hypothesis:
    name = name_of(REFERENCE)
    statement = f"{name} as published hardly depends on the patch size"
    sizes = task.sizes(REFERENCE)
    if not have_slope(sizes):
        reason = "one patch size only" if sizes else f"no {name}"
        return Hypothesis("small_slope", EXPLORATORY, statement, "", missing=reason)
    return Hypothesis(
        "small_slope",
        EXPLORATORY,
        statement,
        f"slope of mean Dice per doubling of the patch size, {listed(sizes)}; hardly: between -{task.small} "
        f"and {task.small}",
        slope(task, REFERENCE, sizes),
        Claim(-task.small, task.small),
    )


def slope(task: TaskScores, model: str, sizes: Sequence[PatchSize]) -> list[Term]:
    """Return the slope of the least-squares line through the means of the patch sizes, per doubling."""
    weights = slope_weights(sizes)
    return [Term(weight, task.of(model, size)) for weight, size in zip(weights, sizes, strict=True)]


def _window(task: TaskScores) -> Hypothesis:
    statement = "A larger window at inference alone raises Dice with instance norm"
    models = [instance for _, instance in task.pairs]
    rows = task.windows[task.windows["model"].isin(models)] if len(task.windows) else task.windows
    if not models or rows.empty:
        return Hypothesis(
            WINDOW, EXPLORATORY, statement, "", missing="one window a training" if models else NO_PAIR
        )
    size = plain(rows["patch_size"].min())
    rows = rows[rows["patch_size"] == size]
    # A network of fixed input size, as UNETR, has one window.
    several = rows.groupby("model")["window"].transform("nunique") > 1
    rows, models = rows[several], [model for model in models if model in set(rows[several]["model"])]
    if not models:
        return Hypothesis(WINDOW, EXPLORATORY, statement, "", missing="one window a training")
    shared = set.intersection(*(set(own["window"].dropna()) for _, own in rows.groupby("model", sort=False)))
    largest = VOLUME if VOLUME in shared else max(shared, default=size)
    if largest == size or size not in shared:
        return Hypothesis(WINDOW, EXPLORATORY, statement, "", missing="one window a training")
    terms = [
        Term(sign / len(models), rows[(rows["model"] == model) & (rows["window"] == window)])
        for model in models
        for sign, window in ((1, largest), (-1, size))
    ]
    return Hypothesis(
        WINDOW,
        EXPLORATORY,
        statement,
        f"mean Dice with a window of {largest} minus one of {size}, same weights, {listed([size])}, mean of "
        f"{', '.join(map(name_of, models))}; raises: above 0",
        terms,
    )


def _small_objects(task: TaskScores) -> Hypothesis:
    statement = "Small objects are found, and false positives lower their Dice"
    models = [instance for _, instance in task.pairs] or task.models
    sizes = task.sizes(*models)
    cases = task.scores.loc[task.scores["seed"].notna() & (task.scores["fg_ratio"] > 0)]
    if not sizes or cases["filename"].nunique() < 6:
        return Hypothesis("small_objects", EXPLORATORY, statement, "", missing="fewer than six test cases")
    largest = cases.groupby("filename")["fg_ratio"].first().quantile(1 / 3)
    groups = [task.of(model, sizes[0]) for model in models]
    rows = [dice_lost(own[(own["fg_ratio"] > 0) & (own["fg_ratio"] <= largest)]) for own in groups]
    if not enough(*rows):
        return Hypothesis("small_objects", EXPLORATORY, statement, "", missing="fewer than six test cases")
    terms = [Term(1 / len(rows), own) for own in rows]
    return Hypothesis(
        "small_objects",
        EXPLORATORY,
        statement,
        "Dice lost by false positives minus by misses, smallest third of the test cases, "
        f"{listed(sizes[:1])}, mean of {', '.join(map(name_of, models))}; lower: above 0; found: mean recall "
        f"above {1 - task.small:g}",
        terms,
        Claim(0.0),
        "lost_by_false_positives_more",
        [Part("recall", terms, Claim(1 - task.small), "recall")],
    )


def _surface(task: TaskScores) -> Hypothesis:
    """P1 and P2 together, by surface Dice."""
    statement = "Both primary findings hold by surface Dice"
    first, second = norm_at_smallest_patch(task), loss_outside_by_norm(task)
    both = [hypothesis for hypothesis in (first, second) if hypothesis.terms]
    if len(both) < 2 or not all(hypothesis.scored_by_surface for hypothesis in both):
        reason = first.missing or second.missing or "no surface Dice"
        return Hypothesis("by_surface_dice", EXPLORATORY, statement, "", missing=reason)
    first, second = first.by(SURFACE), second.by(SURFACE)
    of_second = [replace(part, name=f"outside, {part.name}") for part in second.parts]
    whole = Part("outside", second.terms, second.claim, SURFACE)
    statistic = first.statistic.replace("mean Dice", "mean surface Dice")
    return replace(
        first,
        id="by_surface_dice",
        role=EXPLORATORY,
        statement=statement,
        statistic=f"{statistic}; and the loss outside of the range is further, above 0",
        parts=[*first.parts, whole, *of_second],
    )


def _modern_recipe(task: TaskScores) -> Hypothesis:
    statement = "With a modern recipe, too, instance norm lowers Dice at the smallest patch"
    sizes = task.sizes(*(model for pair in task.modern for model in pair))
    if not sizes:
        return Hypothesis(
            "modern_recipe", EXPLORATORY, statement, "", missing="no model with a modern recipe"
        )
    terms = {pair: difference(task, pair, sizes[0]) for pair in task.modern}
    return Hypothesis(
        "modern_recipe",
        EXPLORATORY,
        statement,
        f"mean Dice with batch norm minus instance norm with a modern recipe, {listed(sizes[:1])}, mean of "
        f"{pairs_text(task.modern)}; lowers: by more than {task.small}, in every pair",
        *over_pairs(task.modern, terms, task.small),
    )
