"""Tables of the report: chosen columns of a file of results, rounded."""

import csv
from dataclasses import dataclass
from pathlib import Path

from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import parse, written

Value = str | float | None
SIZE = -1
"""Value in place of a number of decimals: a patch size, a number or three edges as text."""


@dataclass(frozen=True)
class Column:
    """A column that the report shows."""

    name: str
    """Name in the file."""
    title: str
    """Heading in the report."""
    digits: int | None = None
    """Number of decimals; None: text; `SIZE`: a patch size."""


@dataclass(frozen=True)
class Copy:
    """Rows of a table, as far as the report shows them."""

    file: str
    """Path in the project."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]


CASES = (
    Column("model", "network"),
    Column("patch_size", "patch", SIZE),
    Column("seed", "seed", 0),
    Column("filename", "case"),
    Column("dsc", "Dice", 4),
    Column("surface_dice", "surface Dice", 4),
    Column("hausdorff", "Hausdorff, voxels", 2),
    Column("recall", "recall", 4),
    Column("fg_ratio", "foreground ratio", 6),
)
CELLS = (
    Column("model", "network"),
    Column("patch_size", "patch", SIZE),
    Column("seed", "seed", 0),
    Column("cases", "cases", 0),
    Column("dice", "mean Dice", 4),
    Column("surface_dice", "mean surface Dice", 4),
    Column("hausdorff_voxels", "mean Hausdorff, voxels", 2),
    Column("best_validation_dice", "best validation Dice", 4),
    Column("converged", "converged"),
    Column("training_ratio_mean", "mean foreground ratio of training patches", 4),
)
OVERLAYS = (
    Column("model", "network"),
    Column("patch_size", "patch", SIZE),
    Column("seed", "seed", 0),
    Column("place", "place"),
    Column("filename", "case"),
    Column("dsc", "Dice", 3),
    Column("hausdorff", "Hausdorff, voxels", 1),
)


def read_copy(root: Path, file: str, columns: tuple[Column, ...]) -> Copy:
    """Read the rows of networks from a table: baselines have no seed.

    Args:
        root: folder of the project.
        file: path of the table in it.
        columns: to keep.

    Raises:
        UserError: if the table is missing, damaged or of another version.
    """
    try:
        with (root / file).open(encoding="utf-8", newline="") as lines:
            rows = tuple(_row(row, columns) for row in csv.DictReader(lines) if row["seed"])
    except FileNotFoundError:
        raise UserError(f"{root / file}: not found; run `dvc repro`") from None
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UserError(f"{root / file}: cannot be read ({error!r}); run `dvc repro`") from error
    return Copy(file, columns, rows)


def _row(row: dict[str, str], columns: tuple[Column, ...]) -> tuple[Value, ...]:
    return tuple(_value(row[column.name], column.digits) for column in columns)


def _value(text: str, digits: int | None) -> Value:
    if digits is None or not text:
        return text or None
    if digits == SIZE:
        return written(parse(text))
    value = round(float(text), digits)
    return int(value) if digits == 0 else value
