"""Tables as CSV text, the same wherever a cell was run; an undefined value is an empty field."""

import csv
import io
from collections.abc import Iterable, Sequence

from context_fbr.scoring import Scores

SCORES = ("filename", "dsc", "hausdorff", "abs_diff", "fg_ratio")
"""The published columns: Dice, greatest surface distance in voxels, voxels that differ / foreground voxels,
foreground ratio of the prepared volume."""


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A header and rows as CSV; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def score_table(rows: Iterable[tuple[str, Scores, float]]) -> str:
    """One row a test case, from its name, its scores and its foreground ratio."""
    return csv_text(
        SCORES,
        ((name, s.dice, s.hausdorff_voxels, s.absolute_difference, ratio) for name, s, ratio in rows),
    )
