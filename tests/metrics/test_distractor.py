"""Scores beside the foreground, against counts voxel by voxel."""

import numpy as np
import pytest

from context_fbr.metrics.distractor import DistractorScores, score_distractor


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_counting_voxel_by_voxel(seed: int) -> None:
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, 3, (4, 5, 6))
    prediction = generator.integers(0, 2, drawn.shape).astype(np.uint8)
    found = score_distractor(prediction, (drawn == 1).astype(np.uint8), (drawn == 2).astype(np.uint8))
    of_distractor = taken = elsewhere = 0
    for place in np.ndindex(drawn.shape):
        of_distractor += drawn[place] == 2
        taken += drawn[place] == 2 and prediction[place] == 1
        elsewhere += drawn[place] == 0 and prediction[place] == 1
    assert found == DistractorScores(pytest.approx(taken / of_distractor), elsewhere)
    assert 0 < taken < of_distractor
    assert elsewhere > 0


def test_predictions_of_one_ball_of_both_and_of_nothing() -> None:
    label, distractor = np.zeros((2, 6, 6, 6), np.uint8)
    label[:2], distractor[4:] = 1, 1
    assert score_distractor(label, label, distractor) == DistractorScores(0.0, 0.0)
    assert score_distractor(distractor, label, distractor) == DistractorScores(1.0, 0.0)
    assert score_distractor(np.ones_like(label), label, distractor) == DistractorScores(1.0, 2 * 36)
    assert score_distractor(np.zeros_like(label), label, distractor) == DistractorScores(0.0, 0.0)


@pytest.mark.parametrize("distractor", [None, np.zeros((3, 3, 3), np.uint8)])
def test_without_a_distractor_there_are_no_scores(distractor: np.ndarray | None) -> None:
    mask = np.ones((3, 3, 3), np.uint8)
    assert score_distractor(mask, mask, distractor) == DistractorScores(None, None)
