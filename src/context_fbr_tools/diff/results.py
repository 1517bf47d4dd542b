"""The results that git keeps of a snapshot: scores, which cells have converged, figures."""

import io
from dataclasses import dataclass

import pandas as pd

from context_fbr.analysis.observations import is_baseline
from context_fbr.analysis.results import CELL_COLUMNS, MOST_ROWS, SCORES, first_invalid_value
from context_fbr.analysis.summary import has_converged
from context_fbr.config.analysis import Analysis
from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError, on_one_line
from context_fbr.metrics.columns import DESIGN
from context_fbr_tools.diff.snapshot import Snapshot

CASES, CELLS = "metrics/cases.csv", "metrics/cells.csv"
COLUMNS = [*CELL_COLUMNS, *SCORES]
LONGEST_HEADER = 10_000  # characters
VALIDATION = {"best_validation_dice": "float64", "last_validation_change": "float64"}


@dataclass(frozen=True)
class Results:
    """Results of a snapshot."""

    scores: pd.DataFrame
    """As metrics/cases.csv; without rows if there is none."""
    converged: dict[Cell, bool]
    """Cells of which it is known."""
    missing: tuple[str, ...]
    """Files that this snapshot lacks."""

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
    if cases is None:
        cases = pd.DataFrame({name: pd.Series(dtype="str") for name in COLUMNS})
        cases = cases.astype({"patch_size": "Int64", "seed": "Int64"} | SCORES)
    converged = {}
    if cells is not None:
        converged = dict(zip(_cells(cells), has_converged(cells, settings).map(bool), strict=True))
    return Results(cases, converged, missing)


def _table(snapshot: Snapshot, path: str, columns: list[str]) -> pd.DataFrame | None:
    text = snapshot.text(path)
    if text is None:
        return None
    kinds: dict[str, str] = {
        "task": "str",
        "model": "str",
        "patch_size": "Int64",
        "seed": "Int64",
        **SCORES,
        **VALIDATION,
        DESIGN.name: DESIGN.kind,
    }
    names = {name: str for name in columns if kinds.get(name) == "str"}
    try:
        if text.find("\n", 0, LONGEST_HEADER) < 0 <= len(text) - LONGEST_HEADER:
            raise ValueError("its header is longer than any")
        frame = pd.read_csv(
            io.StringIO(text),
            dtype=names,
            keep_default_na=False,
            na_values={name: [""] for name in (*columns, DESIGN.name) if name not in names},
            nrows=MOST_ROWS + 1,
        )
        if len(frame) > MOST_ROWS:
            raise ValueError(f"holds more than {MOST_ROWS:,} rows")
        absent = [name for name in columns if name not in frame.columns]
        if absent:
            raise ValueError(f"lacks the columns {', '.join(absent)}")
        # Older commits have no designed cases.
        optional = [DESIGN.name] if path == CASES and DESIGN.name in frame.columns else []
        frame = frame[[*columns, *optional]].astype(
            {name: kinds[name] for name in [*columns, *optional] if name in kinds}
        )
        trained = ~frame["model"].map(is_baseline).astype(bool)
        keyless = trained & frame[["patch_size", "seed"]].isna().any(axis=1)
        if keyless.any():
            raise ValueError(f"line {keyless.to_numpy().argmax() + 2} has no patch size or no seed")
        if found := first_invalid_value(frame):
            raise ValueError(found)
        return frame
    except (ValueError, TypeError, OverflowError) as error:  # pandas' own errors are ValueErrors
        reason = on_one_line(" ".join(str(error).split()))
        raise UserError(
            f"{snapshot.place(path)}: cannot be compared: {reason}; it is damaged, or of another version "
            "of this project"
        ) from error


def _cells(frame: pd.DataFrame) -> list[Cell]:
    keys = frame[CELL_COLUMNS].itertuples(index=False, name=None)
    return [Cell(task, model, int(size), int(seed)) for task, model, size, seed in keys]
