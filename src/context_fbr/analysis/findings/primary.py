"""The two primary hypotheses, as written in docs/explanation/hypotheses.md before their run."""

from collections.abc import Sequence

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.hypothesis import PRIMARY, Claim, Hypothesis, Part
from context_fbr.analysis.findings.task_scores import Pair, TaskScores, enough, listed, scaled
from context_fbr.core.patch_size import PatchSize

NO_PAIR = "no pair of models with exchanged norm"
NORM_AT_SMALLEST_PATCH, LOSS_OUTSIDE_BY_NORM = "norm_at_smallest_patch", "loss_outside_by_norm"


def primary(task: TaskScores) -> list[Hypothesis]:
    """Return both, of the pairs of exchanged norms that the task has."""
    return [norm_at_smallest_patch(task), loss_outside_by_norm(task)]


def norm_at_smallest_patch(task: TaskScores) -> Hypothesis:
    """P1: Dice with batch norm minus instance norm, at the smallest patch size that all pairs have."""
    statement = "Batch norm in place of instance norm raises Dice at the smallest patch, in every network"
    sizes = task.sizes(*(model for pair in task.pairs for model in pair))
    if not sizes:
        return Hypothesis(NORM_AT_SMALLEST_PATCH, PRIMARY, statement, "", missing=NO_PAIR)
    return Hypothesis(
        NORM_AT_SMALLEST_PATCH,
        PRIMARY,
        statement,
        f"mean Dice with batch norm minus instance norm, {listed(sizes[:1])}, mean of "
        f"{pairs_text(task.pairs)}; raises: by more than {task.small}, in every pair",
        *over_pairs(task.pairs, {pair: difference(task, pair, sizes[0]) for pair in task.pairs}, task.small),
    )


def loss_outside_by_norm(task: TaskScores) -> Hypothesis:
    """P2: (within minus outside of the training range) with instance norm minus with batch norm."""
    statement = "Outside of the training range Dice falls further with instance norm than with batch norm"
    models = [model for pair in task.pairs for model in pair]
    sizes = with_outside(task, *models)
    if not sizes:
        reason = "no patch size has test cases within and outside" if models else NO_PAIR
        return Hypothesis(LOSS_OUTSIDE_BY_NORM, PRIMARY, statement, "", missing=reason)
    terms = {
        (batch, instance): [*loss(task, instance, sizes), *scaled(loss(task, batch, sizes), -1)]
        for batch, instance in task.pairs
    }
    return Hypothesis(
        LOSS_OUTSIDE_BY_NORM,
        PRIMARY,
        statement,
        f"(mean Dice within minus outside) with instance norm minus batch norm, mean of {listed(sizes)} and "
        f"of {pairs_text(task.pairs)}; further: above 0, in every pair",
        *over_pairs(task.pairs, terms, 0.0),
    )


def over_pairs(
    pairs: Sequence[Pair], terms: dict[Pair, list[Term]], limit: float
) -> tuple[list[Term], Claim, str, list[Part]]:
    """Return the mean over pairs, the claim that it is above `limit`, its score, and each pair as a part."""
    claim = Claim(limit)
    mean = [term for pair in pairs for term in scaled(terms[pair], 1 / len(pairs))]
    parts = [Part(pair_name(pair), terms[pair], claim) for pair in pairs]
    return mean, claim, "dsc", parts


def difference(task: TaskScores, pair: Pair, size: PatchSize) -> list[Term]:
    """Dice of the first model minus that of the second."""
    return [Term(sign, task.of(model, size)) for sign, model in zip((1, -1), pair, strict=True)]


def with_outside(task: TaskScores, *models: str) -> list[PatchSize]:
    """Patch sizes at which each of the models has test cases within its training range and outside."""
    return [
        size
        for size in task.sizes(*models)
        if all(
            enough(task.group(model, size, "within"), task.group(model, size, "below", "above"))
            for model in models
        )
    ]


def loss(task: TaskScores, model: str, sizes: Sequence[PatchSize]) -> list[Term]:
    """Mean over patch sizes of: within minus outside."""
    groups = ((1, ("within",)), (-1, ("below", "above")))
    return [Term(sign / len(sizes), task.group(model, size, *of)) for size in sizes for sign, of in groups]


def pair_name(pair: Pair) -> str:
    """Return `UNet` for UNet and `UNet, instance norm`, but `UNet / UNETR` for two networks."""
    networks = [name_of(model).partition(", ")[0] for model in pair]
    return " / ".join(dict.fromkeys(networks))


def pairs_text(pairs: Sequence[Pair]) -> str:
    """Return the pairs for a statistic."""
    return "; ".join(map(pair_name, pairs))
