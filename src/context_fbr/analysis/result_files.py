"""Files of results: the only reader of tables, which checks values by the columns' schema, and writers."""

import csv
import io
import json
import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from context_fbr.core import atomic, bounded
from context_fbr.core.errors import on_one_line
from context_fbr.core.patch_size import Edges, parse, plain
from context_fbr.metrics.columns import CELL_SCHEMA, STRUCTURE, Column

HISTORY_COLUMNS = (
    Column("epoch", "int64", "number, from 1", low=1),
    Column("learning_rate", "float64", "in this epoch", low=0),
    Column("loss", "float64", "mean over the steps", nullable=True),
    Column(
        "validation_dice", "float64", "mean over the validation cases, where validated", 0, 1, nullable=True
    ),
)
RATIO_COLUMNS = (
    HISTORY_COLUMNS[0],
    Column("case", "str", "training case"),
    Column("foreground_ratio", "float64", "foreground voxels / all voxels of the patch", 0, 1),
)
BASELINE_COLUMNS = (
    Column("baseline", "str", "everything or threshold"),
    Column("threshold", "float64", "intensity from which a voxel is foreground"),
)
KEY_COLUMNS = (
    Column("task", "str", "of params.yaml"),
    Column("model", "str", "of params.yaml, or a baseline"),
    Column("patch_size", "size", "edge in voxels, or three edges; none of a baseline", low=1, nullable=True),
    Column("seed", "int64", "of the training; none of a baseline", low=0, nullable=True),
    Column("best_validation_dice", "float64", "of a cell", nullable=True),
    Column("last_validation_change", "float64", "of the Dice of a cell", nullable=True),
)
COLUMNS = {
    column.name: column
    for column in (*KEY_COLUMNS, *HISTORY_COLUMNS, *RATIO_COLUMNS, *BASELINE_COLUMNS, *CELL_SCHEMA, STRUCTURE)
}
"""Every column that a reader needs, by name."""
HISTORY, FOREGROUND_RATIOS, BASELINES = (
    tuple(column.name for column in schema) for schema in (HISTORY_COLUMNS, RATIO_COLUMNS, BASELINE_COLUMNS)
)
MAX_BYTES, MAX_ROWS = 64 * 2**20, 2_000_000
"""Limits of a table, unpacked."""
MAX_HEADER = 10_000  # characters
MAX_SHOWN = 200  # characters of a field or of a header in a message
MAX_PROBLEMS = 50
"""After so many problems a table is not read any further."""
MAX_INTEGER = 2**53
DIGITS = 6  # of the numbers that are written
UNIQUE_KEYS = (
    ["baseline", "filename", "structure"],
    ["filename", "window", "structure"],
    ["task", "model", "patch_size", "seed", "filename", "structure"],
    ["baseline", "filename"],
    ["task", "model", "patch_size", "seed", "filename", "window"],
    ["filename", "window"],
    ["task", "model", "patch_size", "seed", "filename"],
    ["filename"],
    ["epoch", "learning_rate"],
)
"""Columns in which no two rows of a table agree: the first of these that the table has."""


def read_table(
    path: Path, names: Iterable[str], problems: list[str], optional: str | None = None
) -> pd.DataFrame:
    """Read a table with exactly these columns; an undefined value is missing.

    A table that is missing or damaged is added to `problems`, and what is returned is not complete.

    Args:
        path: of the file.
        names: of its columns, as in `COLUMNS`.
        problems: receives what is wrong.
        optional: a further column that it may have at the end.
    """
    remedy = "bring it back with `dvc checkout` or `dvc repro`"
    text, found = "", []
    try:
        content = bounded.read(path, MAX_BYTES)
        text = (bounded.gunzip(content, MAX_BYTES) if path.suffix == ".gz" else content).decode()
    except FileNotFoundError:
        found = [f"{path}: not found; run `dvc repro`"]
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        found = [f"{path}: is damaged ({error}); {remedy}"]
    if optional is not None and text.partition("\n")[0].endswith(f",{optional}"):
        names = (*names, optional)
    frame, wrong = parse_table(text, names)
    problems += found or [f"{path}:{problem}; the table is damaged, {remedy}" for problem in wrong[:1]]
    return frame.reset_index(drop=True)


def parse_table(
    text: str, names: Iterable[str], lenient: bool = False, undefined: Collection[str] = ("",)
) -> tuple[pd.DataFrame, list[str]]:
    """Read the valid rows of a table.

    Args:
        text: of the file.
        names: of its columns, as in `COLUMNS`.
        lenient: accept more columns, another order, blank lines, no rows, and a last line without an end.
        undefined: fields that mean an undefined value, in lower case.

    Returns:
        The rows, by line; and a problem for every other line, "2: dsc is 1.5, expected 0 to 1".
    """
    schema = [COLUMNS[name] for name in names]
    rows: dict[int, list[object]] = {}
    problems: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        if text.find("\n", 0, MAX_HEADER) < 0 <= len(text) - MAX_HEADER:
            raise ValueError("the header is longer than any")
        header, expected = next(reader, []), [column.name for column in schema]
        if header != expected and not (lenient and {*expected} <= {*header}):
            raise ValueError(on_one_line(f"columns {header}", MAX_SHOWN) + f", expected {expected}")
        places = [(column, header.index(column.name)) for column in schema]
        key = next((k for k in UNIQUE_KEYS if {*k} <= {*expected}), [])
        seen: set[tuple[object, ...]] = set()
        for fields in reader:
            if lenient and not fields:
                continue
            try:
                if len(fields) != len(header):
                    raise ValueError(f"{len(fields)} fields, expected {len(header)}: {fields}")
                row = [_value(column, fields[place], undefined) for column, place in places]
                case = tuple(row[expected.index(name)] for name in key)
                if case and case in seen:
                    raise ValueError(f"{', '.join(map(str, case))} is there twice")
            except ValueError as error:
                problems.append(f"{reader.line_num}: {on_one_line(str(error), MAX_SHOWN)}")
                if len(problems) == MAX_PROBLEMS:
                    raise ValueError("the table is not read any further") from None
                continue
            if reader.line_num > MAX_ROWS:
                raise ValueError(f"holds more than {MAX_ROWS:,} rows")
            seen.add(case)
            rows[reader.line_num] = row
        if not lenient and not (rows and text.endswith("\n")):
            raise ValueError("the last line is cut" if rows else "holds no rows")
    except (ValueError, csv.Error) as error:
        problems.append(f"{max(reader.line_num, 1)}: {error}")
    values = zip(*rows.values(), strict=True) if rows else [[]] * len(schema)
    frame = {c.name: _series(c, list(v), [*rows]) for c, v in zip(schema, values, strict=True)}
    return pd.DataFrame(frame), problems


def _series(column: Column, values: list[object], lines: list[int]) -> pd.Series:
    if column.kind == "size":
        return sizes(pd.Series(values, lines, object), column.nullable)
    kind = "Int64" if column.kind == "int64" and column.nullable else column.kind
    return pd.Series(values, lines, kind)


def sizes(values: pd.Series, nullable: bool = False) -> pd.Series:
    """Return sizes in the type of their column: whole numbers, or objects if there are `Edges` or words.

    Args:
        values: sizes; missing ones if `nullable`, as of baselines.
        nullable: return pandas' own type of whole numbers, which knows missing ones.
    """
    if any(isinstance(value, Edges | str) for value in values):
        known = [pd.NA if pd.isna(v) else v if isinstance(v, str) else plain(v) for v in values]
        return pd.Series(known, values.index, object, name=values.name)
    return values.astype("Int64" if nullable else "int64")


def _value(column: Column, text: str, undefined: Collection[str]) -> object:
    """Return the value of a field, a number to its last bit; None if it is undefined.

    Raises:
        ValueError: if it is not a value of the column.
    """
    if column.kind == "str":
        if column.nullable and not text:
            return None
        if not text or "\0" in text:
            raise ValueError(f"{column.name} is {text[:MAX_SHOWN]!r}, expected a name")
        return text
    if column.nullable and text.strip().lower() in undefined:
        return None
    if text in column.words:
        return text
    if column.kind == "size" and "x" in text:
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{column.name} {error}") from None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{column.name} is {text[:MAX_SHOWN]!r}, expected a number") from None
    if math.isnan(value) and column.nullable:
        return None
    if not column.low <= value <= column.high or math.isinf(value):
        raise ValueError(f"{column.name} is {value}, expected {_range(column.low, column.high)}")
    if column.kind == "float64":
        return value
    if not value.is_integer() or abs(value) > MAX_INTEGER:
        raise ValueError(f"{column.name} is {value}, expected a whole number")
    return int(value)


def _range(low: float, high: float) -> str:
    if math.isinf(low):
        return "a number"
    return f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"


def read_frame(path: Path, text: Collection[str] = ()) -> pd.DataFrame:
    """Read a table of our own for reports, without its schema; some columns stay text, as patch sizes."""
    return pd.read_csv(path, dtype=dict.fromkeys(text, "str"))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table whole or not at all, numbers rounded, undefined ones as empty fields."""
    atomic.write_text(path, frame.round(DIGITS).to_csv(index=False, lineterminator="\n"))


def write_json(path: Path, tree: Mapping[str, object]) -> None:
    """Write JSON whole or not at all; NaN and infinity are errors of the caller."""
    atomic.write_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")
