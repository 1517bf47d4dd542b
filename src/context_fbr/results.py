"""The tables of finished cells as data frames, every one of them checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pandas.errors import EmptyDataError, ParserError

from context_fbr import score_columns
from context_fbr.cells import Cell
from context_fbr.errors import UserError, raise_problems

GROUP = ["task", "model", "patch_size"]
"""A configuration: what seeds repeat."""
KEYS = [*GROUP, "seed"]

HISTORY = {"epoch": "int64", "learning_rate": "float64", "loss": "float64", "validation_dice": "float64"}
FOREGROUND_RATIOS = {"epoch": "int64", "case": "str", "foreground_ratio": "float64"}
SCORES = {
    "filename": "str",
    "dsc": "float64",
    "hausdorff": "float64",
    "abs_diff": "float64",
    "fg_ratio": "float64",
}
"""The published columns of a test case."""
CASE_SCORES = {name: SCORES.get(name, "float64") for name in score_columns.CASE_SCORES}
CELL_SCORES = {name: CASE_SCORES.get(name, "int64") for name in score_columns.CELL_SCORES}
BASELINES = {"baseline": "str", "threshold": "float64"}


@dataclass(frozen=True)
class Results:
    """All tables of a grid; the first four columns of the cells' tables are `KEYS`."""

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

    def gather(path: Callable[[Cell], Path], columns: dict[str, str]) -> pd.DataFrame:
        frames = [
            read_table(path(cell), columns, problems).assign(
                task=cell.task, model=cell.model, patch_size=cell.patch_size, seed=cell.seed
            )
            for cell in cells
        ]
        return pd.concat(frames, ignore_index=True)[[*KEYS, *columns]]

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
    raise_problems(problems)
    return results


def read_table(path: Path, columns: dict[str, str], problems: list[str]) -> pd.DataFrame:
    """Read a table with exactly these columns and types; an empty field of a number is missing.

    A table that is missing or damaged is added to `problems`, and an empty one returned.
    """
    empty = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})
    try:
        # Names are text, whatever they look like; numbers come back to the last bit (pandas 3).
        names = {name: str for name, dtype in columns.items() if dtype == "str"}
        frame = pd.read_csv(
            path,
            dtype=names,
            keep_default_na=False,
            na_values={name: [""] for name in columns if name not in names},
        )
        if list(frame.columns) != list(columns):
            raise UserError(f"{path}:1: columns {list(frame.columns)}, expected {list(columns)}")
        if frame.empty:
            raise UserError(f"{path}: holds no rows")
        return frame.astype(columns)
    except FileNotFoundError:
        problems.append(f"{path}: not found; run `dvc repro`")
    except (OSError, ValueError, EmptyDataError, ParserError, UserError) as error:
        problems.append(f"{path}: is damaged ({error}); bring it back with `dvc checkout` or `dvc repro`")
    return empty
