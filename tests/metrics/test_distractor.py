"""Scores of a distractor, against a loop over voxels."""

import numpy as np
import pytest

from context_fbr.metrics.distractor import score_distractor


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_a_loop_over_voxels(seed: int) -> None:
    generator = np.random.default_rng(seed)
    kinds = generator.integers(0, 4, (5, 6, 7))
    prediction = generator.integers(0, 2, kinds.shape).astype(np.uint8)
    label, distractor = ((kinds == kind).astype(np.uint8) for kind in (1, 2))
    taken = known = elsewhere = 0
    for place in np.ndindex(kinds.shape):
        known += kinds[place] == 2
        taken += kinds[place] == 2 and prediction[place] == 1
        elsewhere += kinds[place] in (0, 3) and prediction[place] == 1
    found = score_distractor(prediction, label, distractor)
    assert (found.recall, found.elsewhere) == (taken / known, elsewhere)
    assert 0 < taken < known


def test_without_a_distractor_nothing_is_scored() -> None:
    mask = np.ones((3, 3, 3), np.uint8)
    for distractor in (None, np.zeros_like(mask)):
        found = score_distractor(mask, mask, distractor)
        assert (found.recall, found.elsewhere) == (None, None)
