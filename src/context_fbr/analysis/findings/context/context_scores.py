"""Scores of a task by network, patch and core, and the cells that hypotheses compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from context_fbr.analysis.tables.context import within
from context_fbr.analysis.tables.context_parts import cell
from context_fbr.analysis.tables.core_cells import core_cells, has_distractor
from context_fbr.analysis.tables.variants import with_drawn
from context_fbr.config.analysis import Analysis
from context_fbr.core.patch_size import PatchSize, plain

EQUAL = "_equal"
"""Ending of the task in which nothing tells the foreground from the distractor."""


@dataclass(frozen=True)
class ContextScores:
    """One task's scores, and the settings by which they are judged."""

    name: str
    cells: pd.DataFrame
    """Cases as drawn, as `core_cells` returns them."""
    variants: pd.DataFrame
    """Rows as `with_drawn` returns them; none if there are no variants."""
    groups: tuple[tuple[int, int], ...]
    """Groups of needed distances."""
    small: float
    """Greatest difference that is called small, in Dice; for a control, in hit - false too."""

    @property
    def needs_context(self) -> bool:
        """Return true if there is a distractor that only context separates from the foreground."""
        return has_distractor(self.cells)

    def of(self, network: str, patch_size: PatchSize, core: PatchSize) -> pd.DataFrame:
        """Return the scores of a cell."""
        return cell(self.cells[self.cells["network"] == network], patch_size, core)

    def model(self, name: str) -> pd.DataFrame:
        """Return the scores of a model at all its patch sizes."""
        return self.cells[self.cells["model"] == name]

    def patches(self, network: str, core: PatchSize) -> list[PatchSize]:
        """Return the patch sizes of a network with this core, in ascending order."""
        own = self.cells[(self.cells["network"] == network) & (self.cells["core"] == core)]
        return sorted(plain(size) for size in own["patch_size"].unique())

    def cores(self, network: str, patch_size: PatchSize) -> list[PatchSize]:
        """Return the cores of a network with this patch, in ascending order."""
        own = self.cells[(self.cells["network"] == network) & (self.cells["patch_size"] == patch_size)]
        return sorted(plain(core) for core in own["core"].unique())

    @property
    def at_equal_core(self) -> tuple[PatchSize, tuple[str, ...]]:
        """Smallest core that a network has both as whole patch and in a larger one, and these networks.

        Without any network the core is 0.
        """
        cored = self.cells[self.cells["core"] < self.cells["patch_size"]]
        for core in sorted(plain(size) for size in cored["core"].unique()):
            networks = cored.loc[cored["core"] == core, "network"].unique()
            known = tuple(str(name) for name in networks if core in self.patches(name, core))
            if known:
                return core, known
        return 0, ()

    def shared_patches(self, networks: Sequence[str], core: PatchSize) -> list[PatchSize]:
        """Return the patch sizes greater than the core that each of these networks has with it."""
        found = [set(self.patches(network, core)) for network in networks]
        return sorted(size for size in set.intersection(*found) if size > core) if found else []

    def whole(self, network: str) -> list[PatchSize]:
        """Return the patch sizes of a network whose whole patch is supervised, in ascending order."""
        own = self.cells[self.cells["network"] == network]
        return sorted(plain(p) for p in own.loc[own["core"] == own["patch_size"], "patch_size"].unique())

    def near_and_far(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Split rows by the groups below and above the middle one, which is in neither."""
        half = len(self.groups) // 2
        return within(rows, self.groups[:half]), within(rows, self.groups[len(self.groups) - half :])


def context_scores(
    scores: pd.DataFrame, variants: pd.DataFrame | None, settings: Analysis
) -> dict[str, ContextScores]:
    """Split scores of cells into tasks, in their order.

    Args:
        scores: as `Results.scores`, of one or several tasks.
        variants: as `Results.variants`; None if there are none.
        settings: names of cores, groups and limits.
    """
    cells = core_cells(scores, settings.supervised_cores)
    others = cells.iloc[:0].assign(variant="")
    if variants is not None and len(variants):
        others = core_cells(variants, settings.supervised_cores)
    found = {}
    for name, own in cells.groupby("task", sort=False):
        both = with_drawn(own, others[others["task"] == name])
        found[str(name)] = ContextScores(str(name), own, both, settings.distance_groups, settings.small_loss)
    return found
