"""Evidence of a study that is made to show the claims."""

import numpy as np
import pandas as pd

from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS

SIZES = (16, 32, 48)
RATIOS = np.geomspace(0.001, 0.5, 20)
RANGES = {16: (0.0, 1.0), 32: (0.01, 0.6), 48: (0.06, 0.2)}


def dice_of(model: str, size: int, ratio: float) -> float:
    """UNet: the same at all sizes. Attention-UNet: grows with the patch, loses more on small objects."""
    small = ratio <= 0.06
    if model == "unet":
        return 0.93 if small else 0.95
    lost = 0.4 if small else 0.0
    return 0.5 + 0.1 * SIZES.index(size) - lost


def study(seeds: int = 3, noise: float = 0.004, threshold: bool = True) -> Evidence:
    """Return scores, training patches and convergence of two networks and the threshold."""
    generator = np.random.default_rng(8)
    rows, patches = [], []
    for model in ("unet", "attention_unet"):
        for size in SIZES:
            for seed in range(seeds):
                patches += [("t", model, size, seed, ratio) for ratio in RANGES[size]]
                for number, ratio in enumerate(RATIOS):
                    dice = dice_of(model, size, ratio) + noise * generator.standard_normal()
                    rows.append(("t", model, size, seed, f"case {number}", dice, 1.0, 0.1, ratio))
    if threshold:
        for number, ratio in enumerate(RATIOS):
            dice = 0.999 - noise * generator.random()
            rows.append(("t", "threshold", None, None, f"case {number}", dice, 1.0, 0.1, ratio))
    scores = pd.DataFrame(
        rows, columns=[*CELL_COLUMNS, "filename", "dsc", "hausdorff", "abs_diff", "fg_ratio"]
    )
    scores = scores.astype({"patch_size": "Int64", "seed": "Int64"})
    cells = scores.dropna(subset=["seed"])[CELL_COLUMNS].drop_duplicates().itertuples(index=False, name=None)
    converged = {key: key != ("t", "attention_unet", 16, 0) for key in cells}
    return Evidence(scores, pd.DataFrame(patches, columns=[*CELL_COLUMNS, "foreground_ratio"]), converged)
