"""Recall and false positives against a brute force and MONAI's confusion matrix."""

import itertools

import numpy as np
import pytest
import torch
from monai.metrics import compute_confusion_matrix_metric, get_confusion_matrix

from context_fbr.metrics.overlap import detect

SHAPES = [(5, 4, 3), (1, 1, 1), (8, 8, 8), (7, 1, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("density", "label_density"), [(0.3, 0.3), (0.02, 0.9), (1.0, 0.5), (0.0, 0.4)])
def test_detection_is_that_of_a_brute_force_and_of_monai(
    shape: tuple[int, int, int], density: float, label_density: float
) -> None:
    generator = np.random.default_rng(9)
    prediction, label = ((generator.random(shape) < d).astype(np.uint8) for d in (density, label_density))
    voxels = list(itertools.product(*map(range, shape)))
    positives = [v for v in voxels if label[v]]
    negatives = [v for v in voxels if not label[v]]
    found = detect(prediction, label)
    assert found.label_voxels == len(positives)
    assert found.false_positives == sum(bool(prediction[v]) for v in negatives)
    masks = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, label)]
    matrix = get_confusion_matrix(*masks)
    if positives:
        assert found.recall == sum(bool(prediction[v]) for v in positives) / len(positives)
        assert found.recall == pytest.approx(float(compute_confusion_matrix_metric("recall", matrix)))
    else:
        assert found.recall is None
    if negatives:
        assert found.false_positive_share == found.false_positives / len(negatives)
        specificity = float(compute_confusion_matrix_metric("specificity", matrix))
        assert found.false_positive_share == pytest.approx(1 - specificity, abs=1e-6)
    else:
        assert found.false_positive_share is None


def test_an_empty_or_a_full_label_has_no_share_of_nothing() -> None:
    empty, full = np.zeros((3, 3, 3), np.uint8), np.ones((3, 3, 3), np.uint8)
    assert detect(full, empty) == detect(full * 2, empty)
    assert (detect(full, empty).recall, detect(full, empty).false_positive_share) == (None, 1.0)
    assert (detect(empty, empty).recall, detect(empty, empty).false_positives) == (None, 0)
    assert (detect(full, full).recall, detect(full, full).false_positive_share) == (1.0, None)
    assert (detect(empty, full).recall, detect(empty, full).label_voxels) == (0.0, 27)
    with pytest.raises(ValueError, match="shape"):
        detect(empty, full[1:])
