"""Share of a distractor that is predicted: background that is easily taken for foreground."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DistractorScores:
    """Scores of a prediction outside of the foreground; None where there is no distractor."""

    recall: float | None
    """Voxels of the distractor that are predicted / all of them."""
    elsewhere: float | None
    """Number of voxels that are predicted in neither foreground nor distractor."""


def score_distractor(
    prediction: np.ndarray, label: np.ndarray, distractor: np.ndarray | None
) -> DistractorScores:
    """Score masks of one shape, foreground where above 0; a distractor without voxels counts as none."""
    if distractor is None or not distractor.any():
        return DistractorScores(None, None)
    predicted, known = prediction > 0, distractor > 0
    taken = int(np.count_nonzero(predicted & known))
    elsewhere = int(np.count_nonzero(predicted & ~known & ~(label > 0)))
    return DistractorScores(taken / int(np.count_nonzero(known)), float(elsewhere))
