"""Everything that differs between two snapshots, and what of it is a regression."""

from collections.abc import Iterator
from dataclasses import dataclass

from context_fbr.config.analysis import Analysis, Regression
from context_fbr.config.cell import Cell
from context_fbr_tools.diff import inputs as inputs_module
from context_fbr_tools.diff import lost
from context_fbr_tools.diff.inputs import Inputs, compare_inputs
from context_fbr_tools.diff.lost import place
from context_fbr_tools.diff.renames import Names, renamed, renames
from context_fbr_tools.diff.results import Results, read_results
from context_fbr_tools.diff.scores import (
    BETTER,
    SIGNS,
    WORSE,
    Configuration,
    ScoreChange,
    compare_scores,
    compare_structures,
    corrected,
)
from context_fbr_tools.diff.snapshot import Snapshot, changed_files
from context_fbr_tools.diff.verdicts import changed_verdicts
from context_fbr_tools.study.markdown_text import Line, Name, joined

RESULTS = ("metrics/", "plots/")
MOST_RULES = 20
WORDS = {1: BETTER, -1: WORSE}
UNITS = {"dice": ("Dice", ""), "hausdorff": ("Hausdorff distance", " voxels")}


@dataclass(frozen=True)
class Cells:
    """Cells that came, went, or train otherwise than before; all in the order of the tables."""

    new: tuple[Cell, ...]
    gone: tuple[Cell, ...]
    not_converged: tuple[Cell, ...]
    """Cells after the change that have not converged."""
    no_longer_converged: tuple[Cell, ...]
    """Cells that had converged before the change."""
    converged_again: tuple[Cell, ...]
    """Cells that had not converged before the change."""


@dataclass(frozen=True)
class Report:
    """Differences of two snapshots."""

    base: Snapshot
    head: Snapshot
    inputs: Inputs
    configurations: tuple[Configuration, ...]
    cells: Cells
    figures: tuple[str, ...]
    """PNG files under plots/ that differ."""
    other_results: tuple[str, ...]
    """Other files of metrics/ and plots/ that differ."""
    regressions: tuple[Line, ...]
    suspicions: tuple[Line, ...]
    """Scores that are worse beyond the limits, but may be so by chance."""
    improvements: tuple[Line, ...]
    """Scores that are better by more than a limit, and not by chance."""
    verdicts: tuple[Line, ...]
    """Findings whose verdict differs."""
    notes: tuple[Line, ...]
    """Notes on parts that could not be compared, with the reason."""

    @property
    def same(self) -> bool:
        """Return true if nothing differs: every result is in one of the files."""
        return not (self.inputs or self.figures or self.other_results)

    @property
    def networks(self) -> list[Configuration]:
        """The configurations without the baselines, of all structures together."""
        return [c for c in self.configurations if c.patch_size is not None and not c.structure]

    def count(self, verdict: str) -> int:
        """Networks' configurations whose Dice has this verdict."""
        return sum(c.dice.verdict == verdict for c in self.networks)


def compare(base: Snapshot, head: Snapshot, settings: Analysis, limits: Regression) -> Report:
    """Compare two snapshots by the files that git keeps.

    Raises:
        UserError: if one of these files is damaged.
    """
    before, after = read_results(base, settings), read_results(head, settings)
    names = renames(before, after)
    before = renamed(before, names)
    sides = (before.scores, after.scores), (before.structures, after.structures)
    configurations = corrected(
        [
            *compare_scores(*sides[0], settings.confidence),
            *compare_structures(*sides[1], settings.confidence),
        ]
    )
    cells = _cells(before, after)
    inputs = compare_inputs(base, head)
    results = [path for path in changed_files(base, head) if path.startswith(RESULTS)]
    figures = tuple(path for path in results if path.startswith("plots/") and path.endswith(".png"))
    beyond = list(_beyond(configurations, limits, settings.confidence))
    return Report(
        base,
        head,
        inputs,
        configurations,
        cells,
        figures,
        tuple(path for path in results if path not in figures),
        (
            *(line for line, sign, certain in beyond if sign < 0 and certain),
            *lost.lost(base, head, before, after, configurations, inputs_module.products(head)),
            *_unconverged(cells, limits),
        ),
        tuple(line for line, sign, certain in beyond if sign < 0 and not certain),
        tuple(line for line, sign, certain in beyond if sign > 0 and certain),
        tuple(changed_verdicts(base, head)),
        (*_renamed(names), *_notes(base, head, before, after, inputs, configurations)),
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


def _beyond(
    configurations: tuple[Configuration, ...], limits: Regression, confidence: float
) -> Iterator[tuple[Line, int, bool]]:
    """Yield what differs by more than a limit; 1 if it is better, -1 if worse; and true if this is certain.

    It is if the interval excludes no change: that over seeds and cases or, where a side has a single seed,
    that over the cases, after Holm's correction: new seeds of the same training may not fail a comparison of
    many configurations more often than one of a single one. Without either interval, the limit alone decides.
    """
    allowed = {"dice": limits.dice, "hausdorff": limits.hausdorff_voxels}
    for configuration in configurations:
        if configuration.patch_size is None:
            continue  # a baseline is as good as the data let it be
        for score, limit in allowed.items():
            change: ScoreChange = getattr(configuration, score)
            found, (word, unit) = change.difference, UNITS[score]
            if found.estimate is None or abs(found.estimate) <= limit:
                continue
            sign = 1 if SIGNS[score] * found.estimate > 0 else -1
            certain = sign < 0 if change.p_holm is None else change.p_holm <= 1 - confidence
            note = ", over the cases alone: one seed" if change.one_seed else ""
            text = f": {word} {found.estimate:+.3f}{unit}, more than {limit:g} {WORDS[sign]}{note}"
            yield (*place(configuration), text), sign, certain


def _unconverged(cells: Cells, limits: Regression) -> Iterator[Line]:
    keys = [cell.key for cell in cells.no_longer_converged]
    if len(keys) > limits.unconverged_cells:
        yield (f"no longer converged, more than {limits.unconverged_cells} cells: ", *joined(keys))


def _renamed(names: Names) -> Iterator[Line]:
    for (task, old), new in names.items():
        yield Name(task), ": ", Name(old), " has the name ", Name(new), " now, and the same scores"


def _notes(
    base: Snapshot,
    head: Snapshot,
    before: Results,
    after: Results,
    inputs: Inputs,
    configurations: tuple[Configuration, ...],
) -> Iterator[Line]:
    if base.commit == head.commit:
        yield Name(base), " and ", Name(head), " are the same commit"
    for snapshot, results in ((base, before), (head, after)):
        if results.missing:
            yield Name(snapshot), f" has no {' and no '.join(results.missing)}"
    rules = [c.name for c in inputs.parameters if c.name.startswith(("analysis.", "regression."))]
    if rules:
        shown = joined(rules[:MOST_RULES])
        more = f" and {len(rules) - MOST_RULES} more" if len(rules) > MOST_RULES else ""
        yield "the rules differ, too (", *shown, f"{more}); both sides are judged by this params.yaml"
    pairs = {c.task: (c.paired_cases, c.cases) for c in configurations}
    for task, (paired, cases) in pairs.items():
        if paired < cases:
            yield (
                Name(task),
                f": {paired} of {cases} test cases are the same on both sides, the rest is unpaired",
            )
