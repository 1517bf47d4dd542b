"""Differences between patch sizes and between networks, with confidence intervals."""

from collections.abc import Iterator
from itertools import combinations

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term, defined_pairs, interval
from context_fbr.analysis.foreground_ranges import SCORES, columns
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.result_files import sizes
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.core.patch_size import PatchSize


def difference_table(evidence: Evidence, confidence: float) -> pd.DataFrame:
    """A row for each two configurations that differ in one thing: scores of the second minus the first.

    Columns: task, `varied` (patch_size or model), model and patch size of both (`_a`, `_b`; a baseline has no
    patch size), cells that have not converged, scores that are undefined, and the differences of mean Dice
    and Hausdorff distance with their intervals: paired by test case (of those where no score of the two is
    undefined), unless every cell has cases of its own; seeds are never paired.
    """
    table = []
    for task, rows in evidence.scores.groupby("task", sort=False):
        groups = dict(iter(rows.groupby(CONFIG_COLUMNS, sort=False, dropna=False)))
        nested = task in evidence.nested
        for varied, (_, model_a, size_a), (_, model_b, size_b) in _pairs(list(groups)):
            a, b = groups[task, model_a, size_a], groups[task, model_b, size_b]
            row: dict[str, object] = {
                "task": task,
                "varied": varied,
                "model_a": model_a,
                "patch_size_a": size_a,
                "model_b": model_b,
                "patch_size_b": size_b,
                "not_converged": evidence.not_converged(pd.concat([a, b])),
            }
            for name, score in SCORES.items():
                row[f"{name}_undefined"] = int(pd.concat([a, b])[score].isna().sum())
                first, second = (a, b) if nested else defined_pairs(a, b, score)
                found = interval([Term(1, second), Term(-1, first)], score, confidence, nested=nested)
                row |= columns(f"{name}_difference", found)
            table.append(row)
    frame = pd.DataFrame(table)
    for name in ("patch_size_a", "patch_size_b") if table else ():
        frame[name] = sizes(frame[name], nullable=True)  # whole numbers, not 32.0 next to a missing one
    return frame


Key = tuple[str, str, PatchSize]


def _pairs(keys: list[Key]) -> Iterator[tuple[str, Key, Key]]:
    for a, b in combinations(keys, 2):
        same_size = a[2] == b[2] if pd.notna(a[2]) and pd.notna(b[2]) else True  # a baseline is at every size
        if a[1] == b[1]:
            yield "patch_size", a, b
        elif same_size:
            yield "model", a, b
