"""Everything that differs between two snapshots, and what of it is a regression."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from context_fbr.cells import Cell
from context_fbr.comparison.inputs import Inputs, compare_inputs
from context_fbr.comparison.results import CASES, Results, read_results
from context_fbr.comparison.scores import (
    SIGNS,
    UNCHANGED,
    WORSE,
    Configuration,
    ScoreChange,
    compare_scores,
)  # fmt: skip
from context_fbr.comparison.snapshot import Snapshot, changed_files
from context_fbr.names import name_of
from context_fbr.study.analysis import Analysis
from context_fbr.study.regression import Regression

UNITS = {"dice": ("Dice", ""), "hausdorff": ("Hausdorff distance", " voxels")}


@dataclass(frozen=True)
class Cells:
    """Cells that came, went, or train otherwise than before; all in the order of the tables."""

    new: tuple[Cell, ...]
    gone: tuple[Cell, ...]
    not_converged: tuple[Cell, ...]
    """Of those after."""
    no_longer_converged: tuple[Cell, ...]
    """They had, before."""
    converged_again: tuple[Cell, ...]
    """They had not, before."""


@dataclass(frozen=True)
class Report:
    """What differs."""

    base: Snapshot
    head: Snapshot
    inputs: Inputs
    configurations: tuple[Configuration, ...]
    cells: Cells
    figures: tuple[str, ...]
    """PNG files under plots/ that differ."""
    regressions: tuple[str, ...]
    notes: tuple[str, ...]
    """What could not be compared, and why."""

    @property
    def same(self) -> bool:
        """Whether nothing differs that this report is about."""
        scores = (change for c in self.configurations for change in (c.dice, c.hausdorff))
        return not (
            self.inputs
            or self.figures
            or self.cells.new
            or self.cells.gone
            or any(change.verdict != UNCHANGED for change in scores)
        )

    def count(self, verdict: str) -> int:
        """Networks' configurations whose Dice has this verdict."""
        return sum(c.dice.verdict == verdict for c in self.configurations if c.patch_size is not None)


def compare(base: Snapshot, head: Snapshot, settings: Analysis, limits: Regression) -> Report:
    """Compare two snapshots by the files that git keeps.

    Raises:
        UserError: if one of these files is damaged.
    """
    before, after = read_results(base, settings), read_results(head, settings)
    configurations = tuple(compare_scores(before.scores, after.scores, settings.confidence))
    cells = _cells(before, after)
    figures = [
        path
        for path in changed_files(base, head)
        if PurePosixPath(path).parts[0] == "plots" and path.endswith(".png")
    ]
    return Report(
        base,
        head,
        compare_inputs(base, head),
        configurations,
        cells,
        tuple(figures),
        tuple(_regressions(configurations, cells, limits, before, after)),
        tuple(_notes(base, head, before, after)),
    )


def _cells(before: Results, after: Results) -> Cells:
    def which(was: bool, now: bool) -> tuple[Cell, ...]:
        return tuple(
            cell
            for cell, converged in after.converged.items()
            if converged is now and before.converged.get(cell) is was
        )

    old, new = before.cells, after.cells
    return Cells(
        tuple(cell for cell in new if cell not in set(old)),
        tuple(cell for cell in old if cell not in set(new)),
        tuple(cell for cell, converged in after.converged.items() if not converged),
        which(was=True, now=False),
        which(was=False, now=True),
    )


def _regressions(
    configurations: tuple[Configuration, ...],
    cells: Cells,
    limits: Regression,
    before: Results,
    after: Results,
) -> Iterator[str]:
    allowed = {"dice": limits.dice, "hausdorff": limits.hausdorff_voxels}
    for configuration in configurations:
        if configuration.patch_size is None:
            continue  # a baseline is as good as the data let it be
        place = f"{configuration.task}, {name_of(configuration.model)}, patch {configuration.patch_size}"
        for name, limit in allowed.items():
            change: ScoreChange = getattr(configuration, name)
            word, unit = UNITS[name]
            if _is_regression(change, SIGNS[name], limit):
                yield f"{place}: {word} {change.difference.estimate:+.3f}{unit}, more than {limit:g} worse"
    lost = [cell.key for cell in cells.no_longer_converged]
    if len(lost) > limits.unconverged_cells:
        yield f"no longer converged, more than {limits.unconverged_cells} cells: {', '.join(lost)}"
    if CASES in after.missing and CASES not in before.missing:
        yield f"{CASES} is gone"


def _is_regression(change: ScoreChange, sign: int, limit: float) -> bool:
    """Worse by more than the limit, and not by chance as far as the interval tells, if there is one."""
    found = change.difference
    if found.estimate is None or sign * found.estimate >= -limit:
        return False
    return found.low is None or change.verdict == WORSE


def _notes(base: Snapshot, head: Snapshot, before: Results, after: Results) -> Iterator[str]:
    if base.commit == head.commit:
        yield f"{base} and {head} are the same commit"
    for snapshot, results in ((base, before), (head, after)):
        if results.missing:
            yield f"{snapshot} has no {' and no '.join(results.missing)}"
    if before.cells and after.cells and not set(before.cells) & set(after.cells):
        yield "no cell stands in both: nothing is compared"
