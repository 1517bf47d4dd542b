"""Networks that have another name and the same scores: the same trainings, compared with themselves."""

from dataclasses import replace

import pandas as pd

from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.metrics.columns import SCORES
from context_fbr_tools.diff.results import Results

Names = dict[tuple[str, str], str]
"""New names by task and old name."""


def renames(before: Results, after: Results) -> Names:
    """Find each network that is gone, and whose every score a new network of the task has."""
    old, new = (_networks(results.scores) for results in (before, after))
    found: Names = {}
    for (task, name), rows in old.items():
        same = [
            model
            for (other, model), own in new.items()
            if other == task and (task, model) not in old and model not in found.values() and own.equals(rows)
        ]
        if (task, name) not in new and same:
            found[task, name] = same[0]
    return found


def renamed(results: Results, names: Names) -> Results:
    """Return the results with new names."""
    scores, structures = results.scores.copy(), results.structures.copy()
    for (task, old), new in names.items():
        for rows in (scores, structures):
            rows.loc[(rows["task"] == task) & (rows["model"] == old), "model"] = new
    converged = {
        replace(cell, model=names.get((cell.task, cell.model), cell.model)): value
        for cell, value in results.converged.items()
    }
    return replace(results, scores=scores, converged=converged, structures=structures)


def _networks(scores: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The sorted rows of each network, without its name."""
    columns = [name for name in (*CELL_COLUMNS, *SCORES) if name not in ("task", "model")]
    trained = scores[scores["seed"].notna()]
    return {
        (str(task), str(model)): rows[columns].sort_values(columns[:3], ignore_index=True)
        for (task, model), rows in trained.groupby(["task", "model"], sort=False)
    }
