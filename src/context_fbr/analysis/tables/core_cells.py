"""Scores by network, patch and supervised core: the cells of a task in which context and ratio are apart.

A cell is (network, p, c): windows of size p, a loss on their central core of size c. For one c the supervised
voxels are the same at every p, so that p changes the context alone. For one p, c changes the foreground
ratio. c = p is the published protocol.
"""

from collections.abc import Sequence

import pandas as pd

from context_fbr.analysis.result_files import sizes
from context_fbr.analysis.results import CONFIG_COLUMNS

Core = tuple[str, str, int]
"""[whole, cored, edge], see `config.analysis.Analysis.supervised_cores`."""
KEYS = ["task", "network", "patch_size", "core"]
HIT, FALSE = "recall", "distractor_recall"
CONTEXT = "hit_minus_false"
"""Share of the foreground that is found, minus that of the distractor: 0 without context."""


def core_cells(scores: pd.DataFrame, cores: Sequence[Core]) -> pd.DataFrame:
    """Add the columns `network`, `core` and, where there is a distractor, `hit_minus_false`.

    Args:
        scores: rows of trained cells, as `Results.scores`; rows without a seed (baselines) are left out.
        cores: of `analysis`; a model that is not named has its loss on the whole patch.

    Returns:
        The rows, `network` the model with a loss on the whole patch, `core` a size in voxels. A model whose
        core is its whole patch is left out where the network has that patch, too.
    """
    networks = {cored: whole for whole, cored, _ in cores}
    edges = {cored: edge for _, cored, edge in cores}
    rows = scores[scores["seed"].notna()]
    rows = rows.assign(
        network=rows["model"].map(lambda model: networks.get(model, model)),
        core=sizes(rows["model"].map(edges).astype(object).fillna(rows["patch_size"])),
    )
    if FALSE in rows:
        rows[CONTEXT] = rows[HIT].astype(float) - rows[FALSE].astype(float)
    whole = set(rows.loc[~rows["model"].isin(networks), CONFIG_COLUMNS].itertuples(index=False, name=None))
    places = rows[["task", "network", "patch_size"]].itertuples(index=False, name=None)
    again = pd.Series([place in whole for place in places], rows.index, dtype=bool)
    again &= rows["model"].isin(networks) & (rows["core"] == rows["patch_size"])
    return rows[~again]


def has_distractor(rows: pd.DataFrame) -> bool:
    """Return true if there is a distractor that could be taken for the foreground."""
    return FALSE in rows and bool(rows[FALSE].notna().any())
