"""All hypotheses about context, by task, and what the results say about them."""

import pandas as pd

from context_fbr.analysis.findings.assembly import Findings, decide
from context_fbr.analysis.findings.context.context_scores import EQUAL, ContextScores, context_scores
from context_fbr.analysis.findings.context.controls import controls
from context_fbr.analysis.findings.context.exploratory import exploratory
from context_fbr.analysis.findings.context.primary import primary
from context_fbr.analysis.findings.hypothesis import Hypothesis
from context_fbr.analysis.observations import Evidence
from context_fbr.config.analysis import Analysis


def context_findings(evidence: Evidence, variants: pd.DataFrame | None, settings: Analysis) -> Findings:
    """Ask every hypothesis of every task with supervised cores or a distractor.

    Args:
        evidence: of this study.
        variants: as `Results.variants`, None if there are none.
        settings: names of cores, groups, limits and confidence.
    """
    return decide(hypotheses(evidence, variants, settings), evidence, settings.confidence)


def hypotheses(
    evidence: Evidence, variants: pd.DataFrame | None, settings: Analysis
) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses by task: first of tasks that need context; arguments as of `context_findings`.

    A task with equal shells is an arm of the task that it is a control of, without hypotheses of its own.
    """
    by_name = context_scores(evidence.cells, variants, settings)
    own = [task for task in by_name.values() if not _is_control(task, by_name)]
    asked = {
        task.name: [*primary(task), *exploratory(task), *controls(task, by_name.get(task.name + EQUAL))]
        for task in own
        if task.needs_context
    }
    return asked | {
        task.name: exploratory(task) for task in own if not task.needs_context and task.at_equal_core[1]
    }


def _is_control(task: ContextScores, by_name: dict[str, ContextScores]) -> bool:
    return task.name.endswith(EQUAL) and task.name.removesuffix(EQUAL) in by_name
