"""All tables of a grid as data frames."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from context_fbr.analysis.result_files import BASELINES, FOREGROUND_RATIOS, HISTORY, read_table
from context_fbr.config.cell import Cell
from context_fbr.config.prepare.preprocessing import WHOLE
from context_fbr.core.errors import raise_problems
from context_fbr.core.patch_size import plain
from context_fbr.metrics.columns import CASE_SCORES, CELL_SCORES, STRUCTURE, VARIANT

CONFIG_COLUMNS = ["task", "model", "patch_size"]
"""A configuration: what seeds repeat."""
CELL_COLUMNS = [*CONFIG_COLUMNS, "seed"]


@dataclass(frozen=True)
class Results:
    """All tables of a grid; the first four columns of the cells' tables are `CELL_COLUMNS`."""

    history: pd.DataFrame
    """One row an epoch."""
    foreground_ratios: pd.DataFrame
    """One row a training patch."""
    scores: pd.DataFrame
    """One row a test case as drawn, of the primary window; an undefined score is missing."""
    baselines: pd.DataFrame
    """One row a test case: column `task` and what baseline.py writes."""
    windows: pd.DataFrame | None = None
    """Rows of `scores`, one a test case and inference window; None if the windows are not known."""
    variants: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of `scores`, of test cases that are another one with a change, named in column `variant`."""
    structures: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of `scores`, one a test case and structure, named in column `structure`, their union among them;
    no rows if the task has one. `scores` and all other tables are those of the union."""
    structure_variants: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of `structures`, of the cases of `variants`."""


def read_results(cells: Sequence[Cell]) -> Results:
    """Read the tables of the cells.

    Raises:
        UserError: with every table that is missing or damaged.
    """
    problems: list[str] = []
    tasks = list(dict.fromkeys(cell.task for cell in cells))

    def gather(path: Callable[[Cell], Path], names: Sequence[str]) -> pd.DataFrame:
        frames = [
            read_table(path(cell), names, problems, STRUCTURE.name).assign(
                task=cell.task, model=cell.model, patch_size=cell.patch_size, seed=cell.seed
            )
            for cell in cells
        ]
        every = pd.concat(frames, ignore_index=True)
        optional = [STRUCTURE.name] if STRUCTURE.name in every else []
        return every[[*CELL_COLUMNS, *names, *optional]]

    baselines = [
        read_table(
            Path(f"metrics/baselines/{task}.csv"), (*BASELINES, *CASE_SCORES), problems, STRUCTURE.name
        ).assign(task=task)
        for task in tasks
    ]
    by_structure, of_changed = _by_variant(gather(lambda cell: cell.scores, CELL_SCORES))
    scores, changed = _of_union(by_structure), _of_union(of_changed)
    results = Results(
        gather(lambda cell: cell.history, HISTORY),
        gather(lambda cell: cell.foreground_ratios, FOREGROUND_RATIOS),
        primary(scores),
        _by_variant(_of_union(pd.concat(baselines, ignore_index=True))[["task", *BASELINES, *CASE_SCORES]])[
            0
        ],
        scores,
        primary(changed),
        _structures(by_structure),
        _structures(of_changed),
    )
    raise_problems(problems or _different_cases(results, cells))
    return results


def _by_variant(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows of cases as drawn from those of cases with a change."""
    drawn = rows[VARIANT.name].isna()
    return rows[drawn].reset_index(drop=True), rows[~drawn].reset_index(drop=True)


def _of_union(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the union of all structures, without their column."""
    if STRUCTURE.name not in rows:
        return rows
    whole = rows[STRUCTURE.name].isna() | (rows[STRUCTURE.name] == WHOLE)  # none: a task with one structure
    return rows[whole].drop(columns=STRUCTURE.name).reset_index(drop=True)


def _structures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of tasks with several structures, of the primary window."""
    if STRUCTURE.name not in rows:
        return pd.DataFrame()
    known = rows[rows[STRUCTURE.name].notna()]
    return known.drop_duplicates([*CELL_COLUMNS, "filename", STRUCTURE.name], ignore_index=True)


def primary(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of the primary window, the first of each case, of a table of scores (of one or more cells)."""
    key = [name for name in (*CELL_COLUMNS, "filename") if name in scores]
    return scores.drop_duplicates(key, ignore_index=True)


def read_scores(cell: Cell, problems: list[str]) -> pd.DataFrame:
    """Read a cell's scores of the cases as drawn, with its primary window; errors as in `read_table`."""
    table = _of_union(read_table(cell.scores, CELL_SCORES, problems, STRUCTURE.name))
    return primary(_by_variant(table)[0])


def _different_cases(results: Results, cells: Sequence[Cell]) -> list[str]:
    """Tables without a test case that another one of the task has: cut at the end of a line."""
    arms = {cell: cell.arm for cell in cells}
    problems = _different_windows(results, arms)
    for task, rows in results.scores.groupby("task", sort=False):
        every = set(rows["filename"])
        for (model, patch_size, seed), own in rows.groupby(CELL_COLUMNS[1:], sort=False):
            if missing := sorted(every - set(own["filename"])):
                cell = Cell(str(task), model, patch_size, seed)
                stage = cell.in_arm(arms[cell]).stage("evaluate")
                problems.append(
                    f"{cell.scores}: is without {', '.join(missing[:3])}, which other cells have; "
                    f"bring it back with `dvc checkout` or `dvc repro {stage}`"
                )
    return problems


def _different_windows(results: Results, arms: Mapping[Cell, str]) -> list[str]:
    """Tables with fewer windows of a test case than another seed's: cut at the end of a line."""
    if results.windows is None:
        return []
    problems = []
    for (task, model, patch_size), rows in results.windows.groupby(CONFIG_COLUMNS, sort=False):
        counts = rows.groupby(["seed", "filename"], sort=False).size().unstack()
        for seed, own in counts.iterrows():
            if lost := sorted(counts.columns[own < counts.max()]):
                cell = Cell(str(task), str(model), plain(patch_size), int(seed))
                stage = cell.in_arm(arms[cell]).stage("evaluate")
                problems.append(
                    f"{cell.scores}: has fewer windows of {', '.join(lost[:3])} than other seeds; "
                    f"bring it back with `dvc checkout` or `dvc repro {stage}`"
                )
    return problems
