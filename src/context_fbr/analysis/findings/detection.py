"""Found and falsely labelled voxels of each case, from the two published scores `dsc` and `abs_diff`.

With prediction P, label L and D voxels that differ: dsc = 1 - D / (|P| + |L|) and abs_diff = D / |L|. So
|P| + |L| = |L| abs_diff / (1 - dsc), and the rest follows: nothing else is needed of the published tables.
"""

import numpy as np
import pandas as pd


def dice_lost(scores: pd.DataFrame) -> pd.DataFrame:
    """Add what each case's prediction found, and what it lost.

    Args:
        scores: columns dsc, abs_diff and fg_ratio; a row without dsc has none of the new values.

    Returns:
        The rows with the columns `recall`, found voxels / label (kept, if it is there already);
        `false_positive_share`, falsely labelled voxels / background (kept where it is there); and
        `lost_by_false_positives_more`: (false positives - misses) / (|P| + |L|). The sum of these two is
        1 - Dice.
    """
    dice, differing = scores["dsc"].astype(float), scores["abs_diff"].astype(float)
    ratio = scores["fg_ratio"].astype(float)
    perfect = (differing == 0) & dice.notna()
    with np.errstate(divide="ignore", invalid="ignore"):
        both = (differing / (1 - dice)).where(~perfect, 2.0)  # (|P| + |L|) / |L|
        recall = (dice * both / 2).clip(0, 1)
        false = (differing - (1 - recall)).clip(lower=0)  # false positives / |L|
        added = {
            "recall": recall,
            "false_positive_share": (false * ratio / (1 - ratio)).where(ratio < 1),
            "lost_by_false_positives_more": (false - (1 - recall)) / both,
        }
    kept = [name for name in added if name in scores and name != "lost_by_false_positives_more"]
    return scores.assign(**{name: values for name, values in added.items() if name not in kept})
