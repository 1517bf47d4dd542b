"""Results that were there and are not: regressions, or deleting a result would pass the gate."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.results import CELL_COLUMNS, CONFIG_COLUMNS
from context_fbr.config.cell import AXES, Cell
from context_fbr.metrics.columns import STRUCTURE
from context_fbr_tools.diff.results import CASES, CELLS, Results
from context_fbr_tools.diff.scores import Configuration
from context_fbr_tools.diff.snapshot import Snapshot
from context_fbr_tools.study.markdown_text import Line, Name, joined

SHOWN = 10  # names in a line
_PARTS = ["task", STRUCTURE.name]
Product = dict[str, list[Any]]
"""Lists of `grid` or of an arm."""


def lost(
    base: Snapshot,
    head: Snapshot,
    before: Results,
    after: Results,
    configurations: Sequence[Configuration],
    products: Sequence[Product] | None,
) -> Iterator[Line]:
    """A line for each kind of loss.

    Args:
        base: the snapshot before.
        head: the snapshot after.
        before: its results.
        after: the same after the change.
        configurations: that both have.
        products: `grid` and `arms` of the snapshot after; None if its params.yaml has none: then every cell
            counts as in them.
    """
    for path in (CASES, CELLS):
        if path in after.missing and path not in before.missing:
            yield (f"{path} is gone, of every task",)
    if not any(c.patch_size is not None for c in configurations):
        empty = [Name(side) for side, found in ((base, before), (head, after)) if not found.cells]
        reason = "no network with its patch size is on both sides"
        yield ("nothing is compared: ", *(_without(empty) if empty else (reason,)))
    yield from _cells(before, after, products)
    yield from _networks(before, after)
    yield from _rows(before.scores, after.scores)
    yield from _structures(before, after)
    for configuration in configurations:
        yield from _undefined(configuration)
    known = set(after.converged)
    unknown = [cell.key for cell in after.cells if cell in before.converged and cell not in known]
    if unknown:
        yield (f"{CELLS} no longer tells whether they converged: ", *_some(unknown))


def place(configuration: Configuration) -> Line:
    """Return the beginning of a line about a configuration."""
    size = "" if configuration.patch_size is None else f", patch {configuration.patch_size}"
    part = (", ", Name(configuration.structure)) if configuration.structure else ()
    return Name(configuration.task), ", ", Name(name_of(configuration.model)), size, *part


def _without(sides: Sequence[Name]) -> Line:
    return (*joined(list(sides)), " has no results" if len(sides) == 1 else " have no results")


def _cells(before: Results, after: Results, products: Sequence[Product] | None) -> Iterator[Line]:
    there = set(after.cells)
    gone = [cell for cell in before.cells if cell not in there]
    missing = [
        cell for cell in gone if _planned(cell, products) or _has_fewer_seeds(cell, before, after, products)
    ]
    if missing:
        yield (
            "cells that are gone, with their configuration in the grid: ",
            *_some([c.key for c in missing]),
        )


def _planned(cell: Cell, products: Sequence[Product] | None, axes: Sequence[str] = CELL_COLUMNS) -> bool:
    return products is None or any(
        all(str(getattr(cell, axis)) in map(str, product[AXES[axis]]) for axis in axes)
        for product in products
    )


def _has_fewer_seeds(cell: Cell, before: Results, after: Results, products: Sequence[Product] | None) -> bool:
    """Other seeds are no loss, fewer are: the one that did badly could be left out."""
    if not _planned(cell, products, CONFIG_COLUMNS):
        return False
    old, new = (_seeds(results, cell) for results in (before, after))
    return new < old


def _seeds(results: Results, cell: Cell) -> int:
    key = (cell.task, cell.model, cell.patch_size)
    return sum((other.task, other.model, other.patch_size) == key for other in results.cells)


def _networks(before: Results, after: Results) -> Iterator[Line]:
    """A network that is gone while another is new: it can be the same one, and is compared with nothing."""
    old, new = ({(cell.task, cell.model) for cell in results.cells} for results in (before, after))
    for task in dict.fromkeys(cell.task for cell in after.cells):
        gone, came = (
            sorted(model for own, model in pairs if own == task) for pairs in (old - new, new - old)
        )
        if gone and came:
            yield (
                Name(task),
                ": renamed or replaced, and so not compared: ",
                *_some([name_of(model) for model in gone]),
                "; new: ",
                *_some([name_of(model) for model in came]),
            )
    tasks = [{task for task, _ in pairs} for pairs in (old, new)]
    if tasks[0] - tasks[1] and tasks[1] - tasks[0]:
        yield (
            "tasks renamed or replaced, and so not compared: ",
            *_some(sorted(tasks[0] - tasks[1])),
            "; new: ",
            *_some(sorted(tasks[1] - tasks[0])),
        )


def _rows(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[Line]:
    """Test cases that a cell or a baseline had, and has no longer."""
    keys = [*CELL_COLUMNS, "filename"]
    merged = before[keys].merge(
        after[CELL_COLUMNS].drop_duplicates(), on=CELL_COLUMNS
    )  # pandas takes NA for equal to NA
    merged = merged.merge(after[keys], on=keys, how="left", indicator=True)
    absent = merged[merged["_merge"] == "left_only"]
    for (task, model, size), rows in absent.groupby(CONFIG_COLUMNS, sort=False, dropna=False):
        patch = "" if pd.isna(size) else f", patch {size}"
        cases = list(dict.fromkeys(rows["filename"]))
        yield (
            Name(task),
            ", ",
            Name(name_of(model)),
            f"{patch}: {len(rows)} scores are gone, of the test cases ",
            *_some(cases),
        )
    baselines = [set(map(tuple, f[f["seed"].isna()][["task", "model"]].to_numpy())) for f in (before, after)]
    tasks = set(after["task"])
    for task, model in sorted(baselines[0] - baselines[1]):
        if task in tasks:
            yield Name(task), ", ", Name(name_of(model)), ": the baseline is gone"


def _structures(before: Results, after: Results) -> Iterator[Line]:
    """Structures of a task that were scored, and are no longer."""
    tasks = set(after.scores["task"])
    there = set(after.structures[_PARTS].itertuples(index=False, name=None))
    for task, name in before.structures[_PARTS].drop_duplicates().itertuples(index=False, name=None):
        if task in tasks and (task, name) not in there:
            yield Name(task), ", ", Name(name), ": the scores of this structure are gone"


def _undefined(c: Configuration) -> Iterator[Line]:
    for score, change in {"Dice": c.dice, "Hausdorff distance": c.hausdorff}.items():
        if change.before.estimate is not None and change.after.estimate is None:
            yield (*place(c), f": {score} was defined and is not")
        elif change.lost > 0 and c.patch_size is not None:
            yield (*place(c), f": {score} of {change.lost} test scores was defined and is not")


def _some(names: Sequence[str]) -> Line:
    more = len(names) - SHOWN
    return (*joined(list(names[:SHOWN])), *([f" and {more} more"] if more > 0 else []))
