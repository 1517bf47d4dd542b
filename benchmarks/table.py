"""The tables of measurements: a run replaces the rows that it measured again and keeps the others."""

import csv
import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from context_fbr.core import atomic
from context_fbr.core.csv_text import csv_text
from context_fbr.core.errors import UserError
from context_fbr.networks.device import describe
from context_fbr.runtime import git

FOLDER = Path("benchmarks")
RESULTS = (".csv", ".png", "paper_cells/")
"""What a file of this folder ends in, or a new folder, that is no code."""
STAMP = ("machine", "date", "commit")
Row = Mapping[str, object]


@dataclass(frozen=True)
class Table:
    """A file, its columns, and those of them that name what was measured."""

    path: Path
    columns: tuple[str, ...]
    key: tuple[str, ...]


def stamp(device: torch.device) -> dict[str, object]:
    """Machine, date and commit, which ends in `+` if code differs from it."""
    number = torch.get_num_threads()
    threads = "" if device.type == "cuda" else f", {number} thread{'s' if number > 1 else ''}"
    commit = git.revision()
    changed = [f for f in git.changed_files(("src", "benchmarks")) if not f.endswith(RESULTS)]
    return {
        "machine": describe(device) + threads,
        "date": datetime.date.today().isoformat(),
        "commit": commit and commit[:7] + ("+" if changed else ""),
    }


def read(table: Table) -> list[dict[str, str]]:
    """The rows of a table; none if there is no file.

    Raises:
        UserError: if it has other columns.
    """
    if not table.path.exists():
        return []
    with table.path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        rows = list(reader)
    if tuple(reader.fieldnames or ()) != table.columns or any(None in (*row, *row.values()) for row in rows):
        raise UserError(f"{table.path}: expected the columns {', '.join(table.columns)}; remove the file")
    return rows


def replace(table: Table, rows: Iterable[Row]) -> None:
    """Write rows in the place of those with the same key; the table is sorted by it.

    Raises:
        UserError: as `read`, or if the file cannot be written.
    """
    new = [{name: _text(row[name]) for name in table.columns} for row in rows]
    measured = {_key(table, row) for row in new}
    kept = [row for row in read(table) if _key(table, row) not in measured]
    every = sorted([*kept, *new], key=lambda row: [_order(value) for value in _key(table, row)])
    atomic.write_text(
        table.path, csv_text(table.columns, ([row[name] for name in table.columns] for row in every))
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _key(table: Table, row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in table.key)


def _order(value: str) -> tuple[int, str]:
    return (int(value), "") if value.isdigit() else (0, value)
