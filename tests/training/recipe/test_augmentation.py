"""Augmentation: a pure function of seed, epoch, case and patch."""

import numpy as np
import pytest
import torch

from context_fbr.training.recipe import augmentation
from context_fbr.training.recipe.augmentation import Change, Kind, apply, changes


def test_without_augmentation_a_patch_is_the_same_tensor() -> None:
    image, label = torch.rand(4, 4, 4), torch.ones(4, 4, 4, dtype=torch.uint8)
    (change,) = changes("none", "case", 1, 1, 1)
    assert [a is b for a, b in zip(apply(image, label, change), (image, label), strict=True)] == [True, True]


def test_a_change_depends_on_seed_epoch_case_and_patch_and_on_nothing_else() -> None:
    first = changes("flips_intensity", "case", 3, 1, 1)
    np.random.seed(9)  # noqa: NPY002
    torch.manual_seed(9)
    assert changes("flips_intensity", "case", 3, 1, 1) == first
    assert changes("flips_intensity", "case", 2, 1, 1) == first[:2]
    assert len(set(first)) == 3
    for other in (("other", 3, 1, 1), ("case", 3, 2, 1), ("case", 3, 1, 2)):
        assert changes("flips_intensity", *other) != first


def test_both_kinds_flip_the_same_patches_and_only_one_changes_intensity() -> None:
    flips, both = (changes(kind, "case", 50, 1, 1) for kind in ("flips", "flips_intensity"))
    assert [change.flipped_axes for change in flips] == [change.flipped_axes for change in both]
    assert {(change.scale, change.shift) for change in flips} == {(1.0, 0.0)}


@pytest.mark.parametrize("kind", ["flips", "flips_intensity"])
def test_flips_are_as_frequent_as_they_should_be_and_intensities_uniform(kind: Kind) -> None:
    drawn = [change for case in range(400) for change in changes(kind, f"case {case}", 5, 1, 1)]
    for axis in range(3):
        share = np.mean([axis in change.flipped_axes for change in drawn])
        assert abs(share - 0.5) < 4 * 0.5 / len(drawn) ** 0.5
    if kind == "flips_intensity":
        scales = np.array([change.scale for change in drawn])
        shifts = np.array([change.shift for change in drawn])
        for values, centre, reach in ((scales, 1, augmentation.SCALE), (shifts, 0, augmentation.SHIFT)):
            assert abs(values - centre).max() <= reach
            assert abs(values - centre).max() > 0.99 * reach
            assert abs(values.mean() - centre) < 4 * reach / 3**0.5 / len(values) ** 0.5
        assert abs(np.corrcoef(scales, shifts)[0, 1]) < 0.1


def test_image_and_label_are_flipped_together_and_only_the_image_changes_intensity() -> None:
    label = torch.zeros(4, 5, 6, dtype=torch.uint8)
    label[0, 1, 2] = 1
    image, mask = apply(label.float(), label, Change((0, 2), 1.1, -0.05))
    expected = np.flip(label.numpy(), (0, 2))
    assert np.array_equal(mask.numpy(), expected)
    assert np.allclose(image.numpy(), expected * 1.1 - 0.05)
