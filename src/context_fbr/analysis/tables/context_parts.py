"""The published comparison of patch sizes as the sum of context and ratio: metrics/compare/context_parts.csv.

diagonal(P) - diagonal(p) = [cell(P, p) - cell(p, p)] + [cell(P, P) - cell(P, p)], with cell(patch, core). The
first difference is at equal supervised voxels, the second at equal windows.
"""

from collections.abc import Mapping

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.foreground_ranges import columns
from context_fbr.analysis.tables.core_cells import CONTEXT
from context_fbr.core.patch_size import PatchSize, plain

PARTS: Mapping[str, tuple[tuple[int, str, str], ...]] = {
    "published": ((1, "large", "large"), (-1, "small", "small")),
    "context": ((1, "large", "small"), (-1, "small", "small")),
    "ratio": ((1, "large", "large"), (-1, "large", "small")),
}
"""Signs, patch and core of the cells of each part; the first is the sum of the others."""


def parts_table(cells: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return a row for each (task, network), score (dice, hit_minus_false) and part.

    The small and the large patch are the first and the last that a network has as whole patches. A network
    that lacks the large one with the small core has no rows.

    Columns: task, network, score, part, small, large (sizes in voxels), and `difference` with its limits.
    """
    table = []
    for (task, network), rows in cells.groupby(["task", "network"], sort=False):
        sizes = diagonal(rows)
        if len(sizes) < 2:
            continue
        edges = {"small": sizes[0], "large": sizes[-1]}
        if cell(rows, edges["large"], edges["small"]).empty:
            continue
        for name, score in (("dice", "dsc"), (CONTEXT, CONTEXT)):
            if score not in rows or rows[score].isna().all():
                continue
            for part, signed in PARTS.items():
                terms = [Term(sign, cell(rows, edges[p], edges[c])) for sign, p, c in signed]
                found = interval(terms, score, confidence)
                row: dict[str, object] = {"task": task, "network": network, "score": name, "part": part}
                table.append(row | edges | columns("difference", found))
    names = ["task", "network", "score", "part", "small", "large"]
    return pd.DataFrame(table, columns=[*names, "difference", "difference_low", "difference_high"])


def diagonal(rows: pd.DataFrame) -> list[PatchSize]:
    """Return the patch sizes of which the whole patch is supervised, in ascending order."""
    return sorted(plain(size) for size in rows.loc[rows["patch_size"] == rows["core"], "patch_size"].unique())


def cell(rows: pd.DataFrame, patch_size: PatchSize, core: PatchSize) -> pd.DataFrame:
    """Return the rows of a patch and a core."""
    return rows[(rows["patch_size"] == patch_size) & (rows["core"] == core)]
