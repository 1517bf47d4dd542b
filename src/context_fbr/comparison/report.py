"""Everything that differs between two snapshots, and what of it is a regression."""

from collections.abc import Iterator
from dataclasses import dataclass

from context_fbr.cells import Cell
from context_fbr.comparison.inputs import Inputs, compare_inputs
from context_fbr.comparison.results import CASES, Results, read_results
from context_fbr.comparison.scores import (
    SIGNS,
    WORSE,
    Configuration,
    ScoreChange,
    compare_scores,
)  # fmt: skip
from context_fbr.comparison.snapshot import Snapshot, changed_files
from context_fbr.names import name_of
from context_fbr.study.analysis import Analysis
from context_fbr.study.regression import Regression

RESULTS = ("metrics/", "plots/")
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
    other_results: tuple[str, ...]
    """Other files of metrics/ and plots/ that differ."""
    regressions: tuple[str, ...]
    suspicions: tuple[str, ...]
    """What is worse beyond the limits, but may be chance."""
    notes: tuple[str, ...]
    """What could not be compared, and why."""

    @property
    def same(self) -> bool:
        """Whether nothing differs: every result stands in one of the files."""
        return not (self.inputs or self.figures or self.other_results)

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
    inputs = compare_inputs(base, head)
    results = [path for path in changed_files(base, head) if path.startswith(RESULTS)]
    figures = tuple(path for path in results if path.endswith(".png"))
    worse = list(_worse(configurations, limits))
    return Report(
        base,
        head,
        inputs,
        configurations,
        cells,
        figures,
        tuple(path for path in results if path not in figures),
        (*(text for text, certain in worse if certain), *_lost(cells, limits, before, after)),
        tuple(text for text, certain in worse if not certain),
        tuple(_notes(base, head, before, after, inputs, configurations)),
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


def _worse(configurations: tuple[Configuration, ...], limits: Regression) -> Iterator[tuple[str, bool]]:
    """What is worse by more than a limit, and whether the interval, if there is one, excludes no change."""
    allowed = {"dice": limits.dice, "hausdorff": limits.hausdorff_voxels}
    for configuration in configurations:
        if configuration.patch_size is None:
            continue  # a baseline is as good as the data let it be
        place = f"{configuration.task}, {name_of(configuration.model)}, patch {configuration.patch_size}"
        for name, limit in allowed.items():
            change: ScoreChange = getattr(configuration, name)
            found, (word, unit) = change.difference, UNITS[name]
            if found.estimate is None or SIGNS[name] * found.estimate >= -limit:
                continue
            text = f"{place}: {word} {found.estimate:+.3f}{unit}, more than {limit:g} worse"
            yield text, found.low is None or change.verdict == WORSE


def _lost(cells: Cells, limits: Regression, before: Results, after: Results) -> Iterator[str]:
    lost = [cell.key for cell in cells.no_longer_converged]
    if len(lost) > limits.unconverged_cells:
        yield f"no longer converged, more than {limits.unconverged_cells} cells: {', '.join(lost)}"
    if CASES in after.missing and CASES not in before.missing:
        yield f"{CASES} is gone"


def _notes(
    base: Snapshot,
    head: Snapshot,
    before: Results,
    after: Results,
    inputs: Inputs,
    configurations: tuple[Configuration, ...],
) -> Iterator[str]:
    if base.commit == head.commit:
        yield f"{base} and {head} are the same commit"
    for snapshot, results in ((base, before), (head, after)):
        if results.missing:
            yield f"{snapshot} has no {' and no '.join(results.missing)}"
    if before.cells and after.cells and not set(before.cells) & set(after.cells):
        yield "no cell stands in both: nothing is compared"
    rules = [c.name for c in inputs.parameters if c.name.startswith(("analysis.", "regression."))]
    if rules:
        yield f"the rules differ, too ({', '.join(rules)}); both sides are judged by this params.yaml"
    pairs = {c.task: (c.paired_cases, c.cases) for c in configurations}
    for task, (paired, cases) in pairs.items():
        if paired < cases:
            yield f"{task}: {paired} of {cases} test cases are the same on both sides, the rest is unpaired"
