"""The two primary hypotheses about context, as written in docs/explanation/hypotheses.md before their run."""

from collections.abc import Mapping, Sequence

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.context.context_scores import ContextScores
from context_fbr.analysis.findings.hypothesis import PRIMARY, Claim, Hypothesis, Part
from context_fbr.analysis.findings.task_scores import enough, scaled
from context_fbr.analysis.tables.core_cells import CONTEXT
from context_fbr.core.patch_size import PatchSize

CONTEXT_AT_EQUAL_CORE = "context_at_equal_core"
NO_CORE = "no network with the same core at several patch sizes"


def primary(task: ContextScores) -> list[Hypothesis]:
    """Return both, of a task that needs context."""
    return [context_at_equal_core(task), dose_response(task)]


def context_at_equal_core(task: ContextScores) -> Hypothesis:
    """T1: hit - false at the largest patch minus the smallest, the supervised voxels the same."""
    return larger_window(
        task,
        CONTEXT_AT_EQUAL_CORE,
        PRIMARY,
        "With the same supervised voxels, a larger window raises hit - false, in every network",
        ("mean hit - false", "raises: above 0, in every network"),
        Claim(0.0),
        CONTEXT,
    )


def dose_response(task: ContextScores) -> Hypothesis:
    """T2: what the next larger patch adds where context is far, minus what it adds where it is near."""
    statement = "A larger window adds more hit - false where the needed context is farther, in every network"
    core, networks = task.at_equal_core
    if not networks:
        return Hypothesis("dose_response", PRIMARY, statement, "", missing=NO_CORE)
    terms: dict[str, list[Term]] = {}
    for name in networks:
        larger = next(size for size in task.patches(name, core) if size > core)
        groups = [task.near_and_far(task.of(name, size, core)) for size in (larger, core)]
        if not enough(*(rows for pair in groups for rows in pair)):
            reason = "fewer than two test cases near, or far"
            return Hypothesis("dose_response", PRIMARY, statement, "", missing=reason)
        terms[name] = [
            Term(sign * of_group, rows)
            for sign, pair in zip((1, -1), groups, strict=True)
            for of_group, rows in zip((-1, 1), pair, strict=True)
        ]
    sizes = [next(size for size in task.patches(name, core) if size > core) for name in networks]
    patches = ", ".join(f"{size} ({name_of(name)})" for name, size in zip(networks, sizes, strict=True))
    half = len(task.groups) // 2
    far, near = task.groups[len(task.groups) - half][0], task.groups[half - 1][1]
    return Hypothesis(
        "dose_response",
        PRIMARY,
        statement,
        f"(mean hit - false, patch {patches} minus {core}, core {core}) at distances from {far} minus up to "
        f"{near}, mean of {names(networks)}; more: above 0, in every network",
        *over_networks(terms, Claim(0.0), CONTEXT),
    )


def larger_window(
    task: ContextScores,
    name: str,
    kind: str,
    statement: str,
    texts: tuple[str, str],
    claim: Claim,
    value: str,
) -> Hypothesis:
    """Return a hypothesis about the largest patch minus the smallest, the supervised voxels the same.

    Args:
        task: the scores.
        name: of the hypothesis.
        kind: PRIMARY or EXPLORATORY.
        statement: what is claimed.
        texts: the score, and the claim in words.
        claim: about the mean over networks, and about each.
        value: column of the score.
    """
    core, networks = task.at_equal_core
    sizes = task.shared_patches(networks, core)
    if not sizes:
        return Hypothesis(name, kind, statement, "", missing=NO_CORE)
    terms = {network: equal_core_terms(task, network, sizes[-1], core) for network in networks}
    score, in_words = texts
    statistic = f"{score}, patch {sizes[-1]} minus {core}, core {core}, mean of {names(networks)}; {in_words}"
    return Hypothesis(name, kind, statement, statistic, *over_networks(terms, claim, value))


def equal_core_terms(task: ContextScores, network: str, patch_size: PatchSize, core: PatchSize) -> list[Term]:
    """Patch `patch_size` with this core minus the core as whole patch."""
    return [Term(1, task.of(network, patch_size, core)), Term(-1, task.of(network, core, core))]


def over_networks(
    terms: Mapping[str, Sequence[Term]], claim: Claim, value: str
) -> tuple[list[Term], Claim, str, list[Part]]:
    """Return the mean over networks, its claim, its score, and each network as a part with the same claim."""
    mean = [term for own in terms.values() for term in scaled(own, 1 / len(terms))]
    return mean, claim, value, [Part(name_of(name), own, claim, value) for name, own in terms.items()]


def names(networks: Sequence[str]) -> str:
    """Return the usual names for a statistic."""
    return "; ".join(map(name_of, networks))
