"""The hypothesis about structures: where along an object is another question than what is object.

A voxel of the whole is known by what is around it. Which part it belongs to depends on its place along the
object, so a part should gain more from a larger patch than the whole does.
"""

from collections.abc import Sequence

from context_fbr.analysis.confidence_intervals import Term
from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.hypothesis import PRIMARY, Claim, Hypothesis, Part
from context_fbr.analysis.findings.task_scores import TaskScores, have_slope, listed, scaled, slope_weights
from context_fbr.config.prepare.preprocessing import WHOLE

ID = "parts_need_more_context"


def structures(task: TaskScores) -> list[Hypothesis]:
    """Return it, of a task with several structures."""
    if task.structures.empty:
        return []
    statement = "Dice of a part rises more with the patch than Dice of the whole, in every structure"
    models = [model for model in task.models if have_slope(task.sizes(model))]
    names = [name for name in task.structures["structure"].unique() if name != WHOLE]
    if not models:
        return [Hypothesis(ID, PRIMARY, statement, "", missing="no network with several patch sizes")]
    parts = [
        Part(str(name), _mean([_slope_of_part(task, model, str(name)) for model in models]), Claim(0.0))
        for name in names
    ]
    sizes = listed(sorted({size for model in models for size in task.sizes(model)}))
    statistic = (
        f"slope of Dice for each doubling of the patch ({sizes}), mean of {', '.join(map(str, names))}, "
        f"minus that of the whole, mean of {'; '.join(map(name_of, models))}; more: above 0, in each"
    )
    return [
        Hypothesis(
            ID, PRIMARY, statement, statistic, _mean([p.terms for p in parts]), Claim(0.0), parts=parts
        )
    ]


def _slope_of_part(task: TaskScores, model: str, structure: str) -> list[Term]:
    sizes = task.sizes(model)
    terms: list[Term] = []
    for size, weight in zip(sizes, slope_weights(sizes), strict=True):
        terms += [Term(weight, task.structure(model, size, structure))]
        terms += [Term(-weight, task.structure(model, size, WHOLE))]
    return terms


def _mean(groups: Sequence[Sequence[Term]]) -> list[Term]:
    return [term for group in groups for term in scaled(group, 1 / len(groups))]
