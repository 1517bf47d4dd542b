"""Test scores, training foreground ratios and convergence, from this study or the published one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from context_fbr.analysis.result_files import sizes
from context_fbr.analysis.results import CELL_COLUMNS, Results
from context_fbr.core.patch_size import PatchSize
from context_fbr.evaluation.baselines import BASELINES


@dataclass(frozen=True)
class Evidence:
    """Scores of test cases and ratios of training patches. The run of a published cell is its seed."""

    scores: pd.DataFrame
    """Columns `KEYS`, filename, dsc, hausdorff, abs_diff, fg_ratio and, of this study's own results, those
    in mm and on the original grid; one row a test case of a cell.

    The baselines have rows too, with neither patch size nor seed: nothing about them is trained.
    """
    ratios: pd.DataFrame
    """Columns `KEYS`, foreground_ratio; one row a training patch."""
    converged: Mapping[tuple[str, str, PatchSize, int], bool] | None
    """Values by cell; None if they are not known."""
    nested: frozenset[str] = field(default=frozenset())
    """Tasks of which every cell has test cases of its own: nothing is paired."""
    windows: pd.DataFrame | None = None
    """Rows of `scores` without the baselines, one a test case and inference window, and its size as column
    `window`; None if only one window was scored."""
    structures: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of `scores` without baselines, one a test case and structure, with their union; without rows if
    there is one structure."""

    def of_task(self, task: str) -> "Evidence":
        """Return the evidence of one task."""
        windows = None if self.windows is None else self.windows[self.windows["task"] == task]
        scores, ratios = (frame[frame["task"] == task] for frame in (self.scores, self.ratios))
        parts = self.structures
        parts = parts if parts.empty else parts[parts["task"] == task]
        return replace(self, scores=scores, ratios=ratios, windows=windows, structures=parts)

    @property
    def cells(self) -> pd.DataFrame:
        """The scores of networks, without those of the baselines."""
        return self.scores[self.scores["seed"].notna()]

    def without(self, models: Collection[str]) -> "Evidence":
        """Return the evidence without some models."""
        scores, ratios = (rows[~rows["model"].isin(models)] for rows in (self.scores, self.ratios))
        windows = None if self.windows is None else self.windows[~self.windows["model"].isin(models)]
        return replace(self, scores=scores, ratios=ratios, windows=windows)

    def converged_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows without those of cells that are known not to have converged."""
        if self.converged is None:
            return rows
        keys = rows[CELL_COLUMNS].itertuples(index=False, name=None)
        return rows[[self.converged.get(key, True) for key in keys]]

    def not_converged(self, rows: pd.DataFrame) -> int | None:
        """Return the number of cells of these rows that have not converged; None if it is not known."""
        if self.converged is None:
            return None
        keys = (
            rows.loc[rows["seed"].notna(), CELL_COLUMNS].drop_duplicates().itertuples(index=False, name=None)
        )
        return sum(not self.converged[key] for key in keys)


def from_results(results: Results, converged: Mapping[tuple[str, str, PatchSize, int], bool]) -> Evidence:
    """Return this study's results as evidence; `converged` by cell."""
    baselines = results.baselines.rename(columns={"baseline": "model"}).drop(columns="threshold")
    baselines = baselines.assign(patch_size=pd.NA, seed=pd.NA)
    scores = pd.concat(
        [
            frame.astype({"seed": "Int64"}).assign(patch_size=sizes(frame["patch_size"], nullable=True))
            for frame in (results.scores, baselines)
        ],
        ignore_index=True,
    )[[name for name in results.scores.columns if name not in ("padded", "window", "variant")]]
    return Evidence(
        scores,
        results.foreground_ratios,
        converged,
        windows=results.windows,
        structures=results.structures,
    )


def is_baseline(model: str) -> bool:
    """Return true if this is the name of a baseline and not of a network."""
    return model in BASELINES
