"""The exploratory hypotheses about context and ratio. Holm's correction is over those of a task."""

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.context.context_scores import ContextScores
from context_fbr.analysis.findings.context.primary import NO_CORE, larger_window, names, over_networks
from context_fbr.analysis.findings.hypothesis import EXPLORATORY, Claim, Hypothesis
from context_fbr.analysis.findings.task_scores import listed, scaled
from context_fbr.analysis.tables.core_cells import CONTEXT
from context_fbr.analysis.tables.variants import EXCHANGED
from context_fbr.core.patch_size import PatchSize

RECIPE = "_published_recipe"
"""Ending of the model that differs from its network in having the published loss and sampling."""


def exploratory(task: ContextScores) -> list[Hypothesis]:
    """Return those of a task that needs context, or of one that does not."""
    if task.needs_context:
        return [_ratio(task), _exchanged(task), _recipe(task)]
    return [_no_context_needed(task), _ratio(task)]


def _no_context_needed(task: ContextScores) -> Hypothesis:
    """An equivalence: the interval has to be within the limits, so that few data support nothing."""
    return larger_window(
        task,
        "no_context_needed",
        EXPLORATORY,
        "Where no context is needed, a larger window with the same supervised voxels changes Dice little",
        ("mean Dice", f"little: between -{task.small} and {task.small}, in every network"),
        Claim(-task.small, task.small),
        "dsc",
    )


def _ratio(task: ContextScores) -> Hypothesis:
    """Smallest core minus the whole patch, at the largest patch that has both."""
    statement = "With the same windows, a smaller core, of a wider range of foreground ratios, raises Dice"
    missing = Hypothesis(
        "ratio_at_equal_context", EXPLORATORY, statement, "", missing="no patch with several cores"
    )
    networks = [str(name) for name in task.cells["network"].unique()]
    several = {
        name: [size for size in task.whole(name) if len(task.cores(name, size)) > 1] for name in networks
    }
    largest = max((sizes[-1] for sizes in several.values() if sizes), default=0)
    networks = [name for name in networks if largest in several[name]]
    if not networks:
        return missing
    core = task.cores(networks[0], largest)[0]
    networks = [name for name in networks if core in task.cores(name, largest)]
    terms = {
        name: [Term(1, task.of(name, largest, core)), Term(-1, task.of(name, largest, largest))]
        for name in networks
    }
    mean, claim, value, _ = over_networks(terms, Claim(0.0), "dsc")
    return Hypothesis(
        "ratio_at_equal_context",
        EXPLORATORY,
        statement,
        f"mean Dice, core {core} minus {largest}, patch {largest}, mean of {names(networks)}; raises: "
        "above 0",
        mean,
        claim,
        value,
    )


def _exchanged(task: ContextScores) -> Hypothesis:
    """With the shells exchanged a network that reads them takes the other ball."""
    statement = "With exchanged shells every network takes the other ball"
    _, networks = task.at_equal_core
    rows = task.variants[task.variants["variant"] == EXCHANGED]
    known = [name for name in networks if (rows["network"] == name).any()]
    if not known:
        reason = "no volumes with exchanged shells" if networks else NO_CORE
        return Hypothesis("exchanged_shells", EXPLORATORY, statement, "", missing=reason)
    largest = min(task.whole(name)[-1] for name in known)
    terms = {
        name: [
            Term(
                -1,
                rows[(rows["network"] == name) & (rows["patch_size"] == largest) & (rows["core"] == largest)],
            )
        ]
        for name in known
    }
    return Hypothesis(
        "exchanged_shells",
        EXPLORATORY,
        statement,
        f"mean false - hit of volumes with exchanged shells, {listed([largest])}, mean of {names(known)}; "
        "takes: above 0, in every network",
        *over_networks(terms, Claim(0.0), CONTEXT),
    )


def _recipe(task: ContextScores) -> Hypothesis:
    """The same windows hold the same context: a difference is that of loss and sampling."""
    statement = "With the published loss and sampling, networks use less of the context in the same windows"
    models = {str(name) for name in task.cells["model"].unique()}
    pairs = [(name, name + RECIPE) for name in sorted(models) if name + RECIPE in models]
    terms: list[Term] = []
    sizes: list[PatchSize] = []
    for network, other in pairs:
        sizes = [size for size in task.whole(network) if size in task.whole(other)]
        for size in sizes:
            both = [Term(1, task.of(network, size, size)), Term(-1, task.of(other, size, size))]
            terms += scaled(both, 1 / len(sizes) / len(pairs))
    missing = "" if terms else "no model with the published recipe at a patch of its network"
    return Hypothesis(
        "published_recipe",
        EXPLORATORY,
        statement,
        f"mean hit - false with the task's recipe minus the published one, mean of {listed(sizes)} and of "
        f"{', '.join(name_of(network) for network, _ in pairs)}; less: above 0",
        terms,
        Claim(0.0),
        CONTEXT,
        missing=missing,
    )
