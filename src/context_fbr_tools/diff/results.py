"""The results that git keeps of a snapshot: scores, which cells have converged, figures."""

from dataclasses import dataclass, field

import pandas as pd

from context_fbr.analysis.observations import is_baseline
from context_fbr.analysis.result_files import MAX_HEADER, parse_table
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.analysis.summary import has_converged
from context_fbr.config.analysis import Analysis
from context_fbr.config.cell import Cell
from context_fbr.config.prepare.preprocessing import WHOLE
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import plain
from context_fbr.metrics.columns import DESIGN, SCORES, STRUCTURE
from context_fbr_tools.diff.snapshot import Snapshot

CASES, CELLS, STRUCTURES = "cases.csv", "cells.csv", "structure_cases.csv"
"""Tables of each task, see `Snapshot.tables`."""
COLUMNS = [*CELL_COLUMNS, *SCORES]
VALIDATION = ["best_validation_dice", "last_validation_change"]


@dataclass(frozen=True)
class Results:
    """Results of a snapshot."""

    scores: pd.DataFrame
    """Rows of metrics/TASK/cases.csv, of all tasks; none if there is no such table."""
    converged: dict[Cell, bool]
    """Cells of which it is known."""
    missing: tuple[str, ...]
    """Tables that this snapshot has of no task."""
    structures: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Scores of single structures, with a column `structure`; without rows if no task has several."""

    @property
    def cells(self) -> list[Cell]:
        """The cells that have scores, in the order of the table."""
        trained = self.scores[self.scores["seed"].notna()][CELL_COLUMNS].drop_duplicates()
        return _cells(trained)


def read_results(snapshot: Snapshot, settings: Analysis) -> Results:
    """Read the tables; one that is missing is named, not an error: older commits have fewer.

    Convergence is judged by `settings` and not as it was at the time, or another rule would look like a
    change of the trainings.

    Raises:
        UserError: if a table is damaged, or lacks a column.
    """
    cases, cells = _table(snapshot, CASES, COLUMNS), _table(snapshot, CELLS, [*CELL_COLUMNS, *VALIDATION])
    missing = tuple(name for name, frame in ((CASES, cases), (CELLS, cells)) if frame is None)
    structures = _table(snapshot, STRUCTURES, [*COLUMNS, STRUCTURE.name])
    if structures is None:
        structures, _ = parse_table("", [*COLUMNS, STRUCTURE.name])
    if cases is None:
        cases, _ = parse_table("", COLUMNS)
    converged = {}
    if cells is not None:
        converged = dict(zip(_cells(cells), has_converged(cells, settings).map(bool), strict=True))
    parts = structures[structures[STRUCTURE.name] != WHOLE].reset_index(drop=True)
    return Results(cases, converged, missing, parts)


def _table(snapshot: Snapshot, name: str, columns: list[str]) -> pd.DataFrame | None:
    """Read a table of every task; None if the snapshot has none; errors as in `read_results`."""
    frames = [
        _read(snapshot, path, text, columns)
        for path in snapshot.tables(name)
        if (text := snapshot.text(path)) is not None
    ]
    if not frames:
        return None
    table = pd.concat(frames, ignore_index=True)
    # One type on both sides, or a first size of three edges would make all others look different.
    known = [None if pd.isna(size) else plain(size) for size in table["patch_size"]]
    return table.assign(patch_size=pd.Series(known, table.index, object))


def _read(snapshot: Snapshot, path: str, text: str, columns: list[str]) -> pd.DataFrame:
    """Read a table of any version; errors as in `read_results`."""
    # Older commits have no designed cases.
    header = text[:MAX_HEADER].partition("\n")[0].strip().split(",")
    design = [DESIGN.name] if path.endswith(f"/{CASES}") and DESIGN.name in header else []
    frame, problems = parse_table(text, [*columns, *design], lenient=True)
    keyless = ~frame["model"].map(is_baseline).astype(bool) & frame[["patch_size", "seed"]].isna().any(axis=1)
    problems += [f"{line}: a network without patch size or seed" for line in frame.index[keyless][:1]]
    if problems:
        raise UserError(
            f"{snapshot.place(path)}:{problems[0]}; it cannot be compared: it is damaged, or of another "
            "version of this project"
        )
    task = path.split("/")[1]
    own = (
        frame if task == path.rpartition("/")[2] else frame[frame["task"] == task]
    )  # or two tables have a row
    return own.reset_index(drop=True)


def _cells(frame: pd.DataFrame) -> list[Cell]:
    keys = frame[CELL_COLUMNS].itertuples(index=False, name=None)
    return [Cell(task, model, plain(size), int(seed)) for task, model, size, seed in keys]
