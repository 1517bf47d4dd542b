"""`context-fbr experiments`: DVC's experiments as a table that fits a terminal, a row a number."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from context_fbr_tools.dvc import process
from context_fbr_tools.study.text_tables import Row, table

DIGITS = 4
WORKSPACE = "workspace"


@dataclass(frozen=True)
class Column:
    """One state of the study: the workspace, a commit or an experiment."""

    name: str
    metrics: Mapping[str, Any]
    """Values by dotted name."""
    parameters: Mapping[str, Any]
    state: str
    """Empty if it is finished."""


def show(options: Sequence[str], width: int | None) -> int:
    """Print the table; with options on the format (--csv, --md, --json...) DVC prints its own.

    Args:
        options: of `dvc exp show`, such as --all-commits or -n 3.
        width: columns of the terminal; None is no limit.

    Returns:
        The exit status.
    """
    if any(option.startswith(("--csv", "--md", "--json", "--html", "--pcp", "--drop")) for option in options):
        # Not the hashes of a hundred dependencies, whose names have slashes.
        columns = ("--only-changed", "--keep", "dice_|cells_not_converged", "--drop", ".*/|Executor")
        return process.call("exp", "show", *columns, *options)
    shown = read(json.loads(process.ask("exp", "show", "--json", *options)))
    print(render(shown, width))
    return 0


def read(shown: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of what `dvc exp show --json` prints."""
    found: list[Column] = []
    for state in shown:
        rev = state["rev"] if state["rev"] == WORKSPACE else state["rev"][:7]
        found.append(_column(state, state.get("name") or rev))
        for experiment in state.get("experiments") or ():
            executor = (experiment.get("executor") or {}).get("state") or ""
            for own in experiment["revs"][:1]:
                found.append(_column(own, experiment.get("name") or own["rev"][:7], executor))
    return found


def render(columns: Sequence[Column], width: int | None) -> str:
    """Return the table: all metrics, and the parameters that are not the same everywhere.

    Columns that have no room go into a further table below.
    """
    metrics = list(dict.fromkeys(name for column in columns for name in column.metrics))
    names = dict.fromkeys(name for column in columns for name in column.parameters)
    varied = [name for name in names if len({_text(column.parameters.get(name)) for column in columns}) > 1]
    rows: list[list[str]] = [["", *(column.name for column in columns)]]
    if any(column.state for column in columns):
        rows.append(["state", *(column.state or "finished" for column in columns)])
    rows += [[name, *(_text(column.metrics.get(name)) for column in columns)] for name in metrics]
    rows += [[name, *(_text(column.parameters.get(name)) for column in columns)] for name in varied]
    return "\n\n".join(table(part, markdown=False) for part in _parts(rows, width))


def _parts(rows: Sequence[Row], width: int | None) -> Iterator[list[Row]]:
    """Yield the table in parts that fit, each with the names of its rows."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    first = 1
    while first < len(widths):
        last, used = first, widths[0]
        while last < len(widths) and (last == first or width is None or used + 2 + widths[last] <= width):
            used += 2 + widths[last]
            last += 1
        yield [[row[0], *row[first:last]] for row in rows]
        first = last


def _column(state: Mapping[str, Any], name: str, executor: str = "") -> Column:
    data = state.get("data") or {}
    error = "failed" if state.get("error") else ""
    return Column(
        name,
        _dotted(data.get("metrics")),
        _dotted(data.get("params")),
        executor if executor and executor != "success" else error,
    )


def _dotted(files: Any) -> dict[str, Any]:
    """Return the values of metrics or parameters of all files by dotted name; a list is one value."""
    merged: dict[str, Any] = {}
    for content in (files or {}).values():
        merged |= content.get("data") or {}
    rows = pd.json_normalize(merged).to_dict("records")
    return {str(name): value for row in rows for name, value in row.items()}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
