"""Found and falsely labelled voxels from the published scores, against counts of random masks."""

import numpy as np
import pandas as pd
import pytest

from context_fbr.analysis.findings.detection import dice_lost
from context_fbr.metrics.overlap import score


def test_what_is_derived_from_two_scores_is_what_counting_voxels_gives() -> None:
    generator = np.random.default_rng(3)
    rows, expected = [], []
    for level in (0.0, 0.2, 0.9, 1.0):
        label = generator.random((9, 8, 7)) < 0.3
        prediction = np.where(
            generator.random(label.shape) < level, label, generator.random(label.shape) < 0.4
        )
        if level == 0.0:
            prediction &= ~label
        scores = score(prediction, label)
        rows.append((scores.dice, scores.absolute_difference, label.mean()))
        false, missed = (prediction & ~label).sum(), (label & ~prediction).sum()
        expected.append(
            (
                1 - missed / label.sum(),
                false / (~label).sum(),
                (false - missed) / (prediction.sum() + label.sum()),
            )
        )
    found = dice_lost(pd.DataFrame(rows, columns=["dsc", "abs_diff", "fg_ratio"]))
    names = ["recall", "false_positive_share", "lost_by_false_positives_more"]
    np.testing.assert_allclose(found[names].to_numpy(), expected, atol=1e-12)


def test_scores_that_are_there_are_kept_and_an_undefined_dice_gives_nothing() -> None:
    rows = pd.DataFrame(
        {"dsc": [0.5, np.nan], "abs_diff": [1.0, np.nan], "fg_ratio": [0.1, 0.0], "recall": 0.25}
    )
    found = dice_lost(rows)
    assert found["recall"].tolist() == [0.25, 0.25]
    assert found["lost_by_false_positives_more"].iloc[0] == pytest.approx(0.0)
    assert found[["false_positive_share", "lost_by_false_positives_more"]].iloc[1].isna().all()
