"""The loss, compared with MONAI's DiceLoss and DiceCELoss."""

from typing import Literal

import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss

from context_fbr.training.recipe.loss import loss


def batch(patches: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and labels; the last patch has no foreground."""
    generator = torch.Generator().manual_seed(5)
    outputs = torch.randn(patches, 2, 8, 8, 8, generator=generator, dtype=torch.float64)
    labels = (torch.rand(patches, 1, 8, 8, 8, generator=generator) < 0.2).to(torch.uint8)
    labels[-1] = 0
    return outputs, labels


@pytest.mark.parametrize("over", ["patch", "batch"])
@pytest.mark.parametrize("kind", ["dice", "dice_ce"])
def test_the_loss_and_its_gradient_are_monai_s(
    kind: Literal["dice", "dice_ce"], over: Literal["patch", "batch"]
) -> None:
    outputs, labels = batch()
    ours, theirs = (outputs.clone().requires_grad_() for _ in range(2))
    oracle = {"dice": DiceLoss, "dice_ce": DiceCELoss}[kind]
    value = loss(kind, over)(ours, labels)
    expected = oracle(softmax=True, to_onehot_y=True, batch=over == "batch")(theirs, labels)
    value.backward()
    expected.backward()
    # MONAI's one-hot labels are float32.
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-9)


def test_pooling_changes_the_loss_of_a_batch_with_an_empty_patch() -> None:
    outputs, labels = batch()
    assert loss("dice", "patch")(outputs, labels) != loss("dice", "batch")(outputs, labels)


@pytest.mark.parametrize("over", ["patch", "batch"])
@pytest.mark.parametrize("kind", ["dice", "dice_ce"])
def test_copies_are_counted_and_not_computed(
    kind: Literal["dice", "dice_ce"], over: Literal["patch", "batch"]
) -> None:
    outputs, labels = batch()
    once = outputs.clone().requires_grad_()
    repeated = outputs.repeat_interleave(4, dim=0).requires_grad_()
    value = loss(kind, over, copies=4)(once, labels)
    expected = loss(kind, over)(repeated, labels.repeat_interleave(4, dim=0))
    value.backward()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), abs=1e-13)
    assert once.grad is not None
    assert repeated.grad is not None
    torch.testing.assert_close(once.grad, repeated.grad.unflatten(0, (3, 4)).sum(1), rtol=0, atol=1e-14)
