"""The columns of a table of scores, one row a test case: names, types, ranges and meaning, stated once.

A new score is a row here and a value in evaluation/case_scores.py. Readers check tables by it, and
docs/how_to/data_sets.md shows it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # it imports scipy, which reading a table does not need
    from context_fbr.metrics.overlap import Scores


@dataclass(frozen=True)
class Column:
    """A column of a result table."""

    name: str
    kind: Literal["str", "int64", "float64", "size"]
    """Type of the values; a size is a whole number, or three edges as `32x32x16`."""
    meaning: str
    """Meaning in a few words, with its unit."""
    low: float = -math.inf
    """Least value."""
    high: float = math.inf
    """Greatest value; nothing is infinite."""
    nullable: bool = False
    """True if a value can be undefined: an empty field."""
    words: tuple[str, ...] = ()
    """Text that a size can be, too."""


def _number(name: str, meaning: str, low: float = 0.0, high: float = math.inf) -> Column:
    return Column(name, "float64", meaning, low, high, nullable=True)


PUBLISHED = (
    Column("filename", "str", "test case"),
    _number("dsc", "Dice on the prepared grid", high=1),
    _number("hausdorff", "greatest distance between the surfaces on the prepared grid, in voxels"),
    _number("abs_diff", "voxels that differ / foreground voxels of the label"),
    Column("fg_ratio", "float64", "foreground voxels / all voxels of the prepared volume", 0, 1),
)
"""Columns of the published tables."""
DETECTION = (
    _number("recall", "foreground voxels of the label that are found / all of them", high=1),
    Column("false_positives", "int64", "voxels that are predicted and not in the label", 0),
    _number("false_positive_share", "false positives / background voxels of the label", high=1),
    Column("label_voxels", "int64", "foreground voxels of the label", 0),
)
"""Columns of scores on the prepared grid."""
PHYSICAL = (
    _number("hausdorff_mm", "greatest distance between the surfaces, in mm"),
    _number("hd95_mm", "95th percentile of the distance between the surfaces, in mm"),
    _number("surface_dice", "share of both surfaces within `surface_tolerance_mm` of each other", high=1),
    _number("volume_difference_ml", "prediction - label, in ml", low=-math.inf),
)
ORIGINAL = tuple(
    replace(column, name=f"original_{column.name}", meaning=f"{column.name} on the grid of the original scan")
    for column in (PUBLISHED[1], *PHYSICAL)
)
DESIGN = _number("design", "value of the design variable, as the radius; none: a random case", low=-math.inf)
DISTRACTOR = (
    _number("distractor_recall", "voxels of the distractor that are predicted / all of them", high=1),
    _number("elsewhere", "voxels that are predicted in neither foreground nor distractor"),
)
"""Columns of scores on the grid of the original scan; none: the task has no distractor."""
VARIANT = Column("variant", "str", "change of another test case; none: a case as drawn", nullable=True)
PADDED = Column("padded", "int64", "1 if the volume was smaller than the window, and padded", 0, 1)
VOLUME = "volume"
"""Name of the window that covers a volume."""
WINDOW = Column(
    "window", "size", "inference window: edge in voxels, three edges, or `volume`", 1, words=(VOLUME,)
)

STRUCTURE = Column("structure", "str", "of the scores; whole: the union of all")

SCORES = tuple(column.name for column in PUBLISHED)
CASE_SCHEMA = (*PUBLISHED, *DETECTION, *PHYSICAL, *ORIGINAL, DESIGN, *DISTRACTOR, VARIANT)
"""Columns of any prediction."""
CASE_SCORES = tuple(column.name for column in CASE_SCHEMA)
AVERAGED = tuple(name for name in CASE_SCORES if name not in (*SCORES, DESIGN.name, VARIANT.name))
"""Scores that the published tables lack, in tables of means."""
OPTIONAL = tuple(column.name for column in DISTRACTOR)
"""Columns that only some tasks have."""
CELL_SCHEMA = (*CASE_SCHEMA, PADDED, WINDOW)
"""Columns of a network's prediction; one row a test case and window, those of the primary window first."""
CELL_SCORES = tuple(column.name for column in CELL_SCHEMA)


Row = tuple[object, ...]


def with_window(row: Row, padded: int, window: int | str) -> Row:
    """Return a row of `CELL_SCORES` from one of `CASE_SCORES`; the name of a structure stays at its end."""
    count = len(CASE_SCORES)
    return (*row[:count], padded, window, *row[count:])


def of_cells(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns of rows of `with_window`."""
    return (*CELL_SCORES, STRUCTURE.name) if len(rows[0]) > len(CELL_SCORES) else CELL_SCORES


def of_cases(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns of rows of `case_scores.score_structures`."""
    return (*CASE_SCORES, STRUCTURE.name) if len(rows[0]) > len(CASE_SCORES) else CASE_SCORES


def score_row(name: str, scores: "Scores", foreground_ratio: float) -> tuple[object, ...]:
    """Return a row of `SCORES`."""
    return name, scores.dice, scores.hausdorff_voxels, scores.absolute_difference, foreground_ratio
