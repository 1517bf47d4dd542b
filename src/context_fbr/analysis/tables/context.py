"""Scores against the needed distance, with what windows hold: metrics/TASK/context.csv."""

from collections.abc import Mapping, Sequence

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.foreground_ranges import columns
from context_fbr.analysis.result_files import sizes
from context_fbr.analysis.tables.core_cells import CONTEXT, FALSE, HIT
from context_fbr.metrics.columns import DESIGN

SCORES: Mapping[str, tuple[str, tuple[float, float]]] = {
    "dice": ("dsc", (0.0, 1.0)),
    "hit": (HIT, (0.0, 1.0)),
    "false": (FALSE, (0.0, 1.0)),
    CONTEXT: (CONTEXT, (-1.0, 1.0)),
    "elsewhere": ("elsewhere", (0.0, float("inf"))),
}
"""Prefix of the table's columns, the score that it is of, and its bounds."""
UNUSED = "unused_context"
"""hit - false of the ideal observer of the same windows minus that of the network."""
ALL = "all"
Group = tuple[int, int]


def context_table(
    cells: pd.DataFrame, observer: pd.DataFrame, groups: Sequence[Group], confidence: float
) -> pd.DataFrame:
    """Return a row for each (network, patch, core) and group of needed distances, and one for all distances.

    Columns: task, network, model, patch_size, core, distance (`6-8`, or `all`), seeds, cases; means with
    limits of Dice, hit, false, hit - false, and of voxels elsewhere; `unused_context` with its limits; and
    dice, hit, false and hit - false of the ideal observer.

    Args:
        cells: of one task, as `core_cells` returns them, the distance of a case as `design`.
        observer: as `ideal_observer.observer_table` returns it, of all patches and cores.
        groups: of distances, [lowest, highest].
        confidence: of the intervals.
    """
    table = []
    best = observer.assign(**{CONTEXT: observer["hit"] - observer["false"]})
    cells = _unused(cells, best)
    for key, rows in cells.groupby(["task", "network", "model", "patch_size", "core"], sort=False):
        for name, own in by_distance(rows, groups):
            row: dict[str, object] = dict(
                zip(("task", "network", "model", "patch_size", "core"), key, strict=True)
            )
            row |= {
                "distance": name,
                "seeds": own["seed"].nunique(),
                "cases": own["filename"].nunique(),
            }
            for prefix, (score, bounds) in SCORES.items():
                row |= columns(prefix, interval([Term(1, own)], score, confidence, bounds=bounds))
            row |= columns(UNUSED, interval([Term(1, own)], UNUSED, confidence))
            of_windows = best[
                (best["patch_size"] == row["patch_size"])
                & (best["core"] == row["core"])
                & best["filename"].isin(own["filename"])
            ]
            row |= {
                f"observer_{score}": of_windows[score].mean() for score in ("dice", "hit", "false", CONTEXT)
            }
            table.append(row)
    return pd.DataFrame(table)


def by_distance(rows: pd.DataFrame, groups: Sequence[Group]) -> list[tuple[str, pd.DataFrame]]:
    """Return the name and the rows of each group that has any, and of all distances."""
    found = [(f"{low}-{high}", within(rows, [(low, high)])) for low, high in groups]
    return [(name, own) for name, own in found if len(own)] + [(ALL, rows)]


def within(rows: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """Return the rows whose distance is in one of the groups."""
    keep = pd.Series(False, rows.index)
    for low, high in groups:
        keep |= rows[DESIGN.name].between(low, high)
    return rows[keep]


def _unused(cells: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """Add what each case's prediction lacks of the ideal observer's hit - false."""
    keys = ["filename", "patch_size", "core"]
    known = best.set_index(keys)[CONTEXT]
    places = pd.MultiIndex.from_frame(
        cells[keys].assign(**{name: sizes(cells[name]) for name in ("patch_size", "core")})
    )
    return cells.assign(**{UNUSED: known.reindex(places).to_numpy() - cells[CONTEXT].to_numpy(float)})
