"""Leave one test case out: does a verdict depend on a single case?"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pandas as pd

from context_fbr.analysis.confidence_intervals import UNDEFINED
from context_fbr.analysis.findings.hypothesis import Evaluate, Hypothesis
from context_fbr.analysis.results import CONFIG_COLUMNS

Keep = Callable[[pd.DataFrame], pd.DataFrame]


def deciding_case(
    hypothesis: Hypothesis, evaluate: Evaluate, confidence: float, verdict: str, nested: bool
) -> str:
    """Return the first case without which the verdict at this confidence is another one; "" if there is none.

    A removal that leaves the statistic without limits (a group with one case left) is no test of the verdict.

    Args:
        hypothesis: what is asked.
        evaluate: computes intervals.
        confidence: at which the verdict was reached.
        verdict: with all cases.
        nested: every training has test cases of its own. Then only the lowest and highest score of each
            configuration are tried, since these move its mean the furthest.
    """
    for name, keep in _removals(hypothesis, nested):
        remaining = hypothesis.only(keep)
        limits = evaluate(remaining.terms, remaining.value, confidence)
        if limits == UNDEFINED or limits.low is None:
            continue
        if remaining.verdict(evaluate, confidence) != verdict:
            return name
    return ""


def _removals(hypothesis: Hypothesis, nested: bool) -> Iterator[tuple[str, Keep]]:
    rows = hypothesis.rows
    if not nested:
        for case in rows["filename"].drop_duplicates():
            yield str(case), partial(_without, {"filename": case})
        return
    keys = [*CONFIG_COLUMNS, "seed", "filename"]
    for (_, model, size), own in rows.dropna(subset=[hypothesis.value]).groupby(CONFIG_COLUMNS, sort=False):
        for row in (own[hypothesis.value].idxmin(), own[hypothesis.value].idxmax()):
            key = dict(own.loc[row, keys])
            name = f"{key['filename']} of {model}, patch {size}, seed {key['seed']}"
            yield name, partial(_without, key)


def _without(key: Mapping[str, object], rows: pd.DataFrame) -> pd.DataFrame:
    same = pd.Series(True, index=rows.index)
    for name, value in key.items():
        same &= rows[name] == value
    return rows[~same]
