"""The tables of finished cells as data frames, every one of them checked."""

import csv
import io
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from context_fbr.config.cell import Cell
from context_fbr.core import bounded
from context_fbr.core.errors import raise_problems
from context_fbr.metrics import columns
from context_fbr.metrics.columns import Column

CONFIG_COLUMNS = ["task", "model", "patch_size"]
"""A configuration: what seeds repeat."""
CELL_COLUMNS = [*CONFIG_COLUMNS, "seed"]

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
COLUMNS = {
    column.name: column
    for column in (*HISTORY_COLUMNS, *RATIO_COLUMNS, *BASELINE_COLUMNS, *columns.CELL_SCHEMA)
}
"""Every column of a cell's and a task's tables."""


def _kinds(own: Sequence[Column]) -> dict[str, str]:
    return {column.name: column.kind for column in own}


HISTORY, FOREGROUND_RATIOS, BASELINES = map(_kinds, (HISTORY_COLUMNS, RATIO_COLUMNS, BASELINE_COLUMNS))
SCORES, CASE_SCORES, CELL_SCORES = map(_kinds, (columns.PUBLISHED, columns.CASE_SCHEMA, columns.CELL_SCHEMA))
"""Types by name."""
AVERAGED = [name for name in CASE_SCORES if name not in SCORES and name != columns.DESIGN.name]
"""Our own scores: those that the published tables lack."""
MOST_BYTES, MOST_ROWS = 64 * 2**20, 2_000_000
"""Of a table, unpacked."""
LONGEST_HEADER = 500  # characters that are shown
UNIQUE_KEYS = (
    ["baseline", "filename"],
    [*CELL_COLUMNS, "filename"],
    ["filename"],
    ["epoch", "learning_rate"],
)
"""Columns of which no two rows of a table have the same values; the first that the table has."""


@dataclass(frozen=True)
class Results:
    """All tables of a grid; the first four columns of the cells' tables are `CELL_COLUMNS`."""

    history: pd.DataFrame
    """One row an epoch."""
    foreground_ratios: pd.DataFrame
    """One row a training patch."""
    scores: pd.DataFrame
    """One row a test case; an undefined score is missing."""
    baselines: pd.DataFrame
    """One row a test case: column `task` and what baseline.py writes."""


def read_results(cells: Sequence[Cell]) -> Results:
    """Read the tables of the cells.

    Raises:
        UserError: with every table that is missing or damaged.
    """
    problems: list[str] = []
    tasks = list(dict.fromkeys(cell.task for cell in cells))

    def gather(path: Callable[[Cell], Path], kinds: dict[str, str]) -> pd.DataFrame:
        frames = [
            read_table(path(cell), kinds, problems).assign(
                task=cell.task, model=cell.model, patch_size=cell.patch_size, seed=cell.seed
            )
            for cell in cells
        ]
        return pd.concat(frames, ignore_index=True)[[*CELL_COLUMNS, *kinds]]

    baselines = [
        read_table(Path("metrics/baselines") / f"{task}.csv", BASELINES | CASE_SCORES, problems).assign(
            task=task
        )
        for task in tasks
    ]
    results = Results(
        gather(lambda cell: cell.history, HISTORY),
        gather(lambda cell: cell.foreground_ratios, FOREGROUND_RATIOS),
        gather(lambda cell: cell.scores, CELL_SCORES),
        pd.concat(baselines, ignore_index=True)[["task", *BASELINES, *CASE_SCORES]],
    )
    raise_problems(problems or _different_cases(results))
    return results


def _different_cases(results: Results) -> list[str]:
    """Tables without a test case that another one of the task has: cut at the end of a line."""
    problems = []
    for task, rows in results.scores.groupby("task", sort=False):
        every = set(rows["filename"])
        for (model, patch_size, seed), own in rows.groupby(CELL_COLUMNS[1:], sort=False):
            if missing := sorted(every - set(own["filename"])):
                cell = Cell(str(task), model, patch_size, seed)
                problems.append(
                    f"{cell.scores}: is without {', '.join(missing[:3])}, which other cells have; "
                    f"bring it back with `dvc checkout` or `dvc repro evaluate@{cell.key}`"
                )
    return problems


def read_table(path: Path, kinds: dict[str, str], problems: list[str]) -> pd.DataFrame:
    """Read a table with exactly these columns and types, by name; an empty field of a score is missing.

    A table that is missing or damaged is added to `problems`, and an empty one returned.
    """
    try:
        rows = _rows(path, kinds)
        values = zip(kinds.items(), zip(*rows, strict=True), strict=True)
        frame = pd.DataFrame({name: _column(name, kind, texts) for (name, kind), texts in values})
        if found := first_invalid_value(frame):
            raise ValueError(found)
        return frame
    except FileNotFoundError:
        problems.append(f"{path}: not found; run `dvc repro`")
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, csv.Error) as error:
        problems.append(f"{path}: is damaged ({error}); bring it back with `dvc checkout` or `dvc repro`")
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


def first_invalid_value(frame: pd.DataFrame) -> str | None:
    """The first value of a table that cannot be, with its line; None if there is none."""
    for name in frame.columns.intersection([name for name in COLUMNS if COLUMNS[name].kind != "str"]):
        low, high = COLUMNS[name].low, COLUMNS[name].high
        column = frame[name].astype("float64")
        wrong = ~column.between(low, high) & ~(column.isna() & COLUMNS[name].nullable)
        wrong |= column.abs() == math.inf
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            return f"line {row + 2}: {name} is {frame[name].iloc[row]}, expected {_range(low, high)}"
    key = next((key for key in UNIQUE_KEYS if set(key) <= {*frame.columns}), None)
    if key and frame.duplicated(key).any():
        row = int(frame.duplicated(key).to_numpy().argmax())
        return f"line {row + 2}: {', '.join(str(frame[n].iloc[row]) for n in key)} stands there twice"
    return None


def _range(low: float, high: float) -> str:
    if math.isinf(low):
        return "a number"
    return f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"


def _rows(path: Path, names: Iterable[str]) -> list[list[str]]:
    """The rows below the header, every one as wide as it."""
    content = bounded.read(path, MOST_BYTES)
    text = (bounded.gunzip(content, MOST_BYTES) if path.suffix == ".gz" else content).decode()
    if "\0" in text:
        raise ValueError("holds a NUL byte")
    if not text.endswith("\n"):
        raise ValueError("its last line is cut")
    expected = list(names)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader)
    if header != expected:
        raise ValueError(f"columns {str(header)[:LONGEST_HEADER]}, expected {expected}")
    rows: list[list[str]] = []
    for line, row in enumerate(reader, start=2):
        if len(row) != len(expected):
            raise ValueError(f"line {line} has {len(row)} fields, expected {len(expected)}")
        if len(rows) == MOST_ROWS:
            raise ValueError(f"holds more than {MOST_ROWS:,} rows")
        rows.append(row)
    if not rows:
        raise ValueError("holds no rows")
    return rows


def _column(name: str, kind: str, texts: Sequence[str]) -> pd.Series:
    """A column; names are text, whatever they look like, and numbers come back to the last bit."""
    if kind == "str":
        if "" in texts:
            raise ValueError(f"line {texts.index('') + 2}: {name} is empty")
        return pd.Series(texts, dtype="str")
    numbers = []
    for line, text in enumerate(texts, start=2):
        try:
            numbers.append((int if kind == "int64" else float)(text) if text else math.nan)
        except ValueError:
            raise ValueError(f"line {line}: {name} is {text[:100]!r}, expected a number") from None
    return pd.Series(numbers).astype(kind)
