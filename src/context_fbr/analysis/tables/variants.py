"""Volumes with exchanged and without shells, with the same volumes as drawn: metrics/TASK/variants.csv."""

import pandas as pd

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.foreground_ranges import columns
from context_fbr.analysis.tables.core_cells import CONTEXT

AS_DRAWN, EXCHANGED, REMOVED = "as drawn", "exchanged", "removed"
SCORES = {"dice": ("dsc", (0.0, 1.0)), CONTEXT: (CONTEXT, (-1.0, 1.0))}


def variant_table(cells: pd.DataFrame, variants: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return a row for each (network, patch, core) and variant, `as drawn` first, all on the same volumes.

    Columns: task, network, model, patch_size, core, variant, seeds, cases, and means with limits of Dice and
    of hit - false. Without any variant the table has no rows.

    Args:
        cells: the cases as drawn, as `core_cells` returns them.
        variants: as `core_cells` of `Results.variants`, which has the column `variant`.
        confidence: of the intervals.
    """
    keys = ["task", "network", "model", "patch_size", "core"]
    names = [*keys, "variant", "seeds", "cases"]
    for prefix in SCORES:
        names += [prefix, f"{prefix}_low", f"{prefix}_high"]
    table = []
    for key, rows in with_drawn(cells, variants).groupby([*keys, "variant"], sort=False):
        row: dict[str, object] = dict(zip([*keys, "variant"], key, strict=True))
        row |= {"seeds": rows["seed"].nunique(), "cases": rows["filename"].nunique()}
        for prefix, (score, bounds) in SCORES.items():
            row |= columns(prefix, interval([Term(1, rows)], score, confidence, bounds=bounds))
        table.append(row)
    frame = pd.DataFrame(table, columns=names)
    order = frame["variant"].map({AS_DRAWN: 0, EXCHANGED: 1, REMOVED: 2})
    return frame.assign(order=order).sort_values([*keys, "order"], ignore_index=True).drop(columns="order")


def with_drawn(cells: pd.DataFrame, variants: pd.DataFrame) -> pd.DataFrame:
    """Return the variants and the same volumes as drawn; only volumes that have every variant of the task.

    `filename` is that of the volume as drawn, so that variants of one volume are paired.
    """
    if variants.empty:
        return cells.iloc[:0].assign(variant="")
    named = variants.assign(
        filename=[
            _drawn_name(name, variant)
            for name, variant in zip(variants["filename"], variants["variant"], strict=True)
        ]
    )
    volumes = [set(own) for _, own in named.groupby("variant")["filename"]]
    shared = set.intersection(*volumes) & set(cells["filename"])
    drawn = cells.assign(variant=AS_DRAWN)
    both = pd.concat([drawn, named], ignore_index=True)
    return both[both["filename"].isin(shared)]


def _drawn_name(name: str, variant: str) -> str:
    """Return `twins_136` of `twins_136_exchanged`, with the ending that the name has."""
    head, _, tail = name.rpartition(f"_{variant}")
    return head + tail
