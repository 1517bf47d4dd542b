"""Loss and gradient norm of each step, read from the device in batches, and checked for NaN and infinity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from context_fbr.core.errors import UserError

LAST = 8
"""Number of losses in a message."""


@dataclass(frozen=True)
class Step:
    """The record of one step."""

    cases: tuple[str, ...]
    """Case of each patch."""
    foreground_voxels: tuple[int, ...]
    """Count in each patch."""
    loss: float
    gradient_norm: float
    """Euclidean, over all weights."""
    skipped: bool
    """True if the weights were left as they were, because loss or gradient is not finite."""

    @property
    def is_finite(self) -> bool:
        """True if loss and gradient are finite."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


@dataclass(frozen=True)
class PendingStep:
    """A step with values that are still on the device: reading one would make a GPU wait."""

    cases: tuple[str, ...]
    foreground_voxels: torch.Tensor
    """(batch) of each patch, int64."""
    loss: torch.Tensor
    gradient_norm: torch.Tensor
    skipped: bool

    @classmethod
    def of(
        cls,
        cases: tuple[str, ...],
        labels: torch.Tensor,
        loss: torch.Tensor,
        norm: torch.Tensor,
        skipped: bool,
        copies: int = 1,
    ) -> "PendingStep":
        """Return the record of a batch with labels (batch, 1, p, p, p) of classes, with every copy."""
        counts = (labels > 0).flatten(1).sum(dim=1, dtype=torch.int64).repeat_interleave(copies)
        return cls(tuple(case for case in cases for _ in range(copies)), counts, loss, norm, skipped)


def gradient_norm(network: torch.nn.Module) -> torch.Tensor:
    """Return the Euclidean norm of all gradients, on their device."""
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def read(steps: Sequence[PendingStep]) -> list[Step]:
    """Fetch the numbers, all at once."""
    if not steps:
        return []
    losses = torch.stack([step.loss for step in steps]).tolist()
    norms = torch.stack([step.gradient_norm for step in steps]).tolist()
    counts = torch.cat([step.foreground_voxels for step in steps]).tolist()
    found = []
    for step, loss, norm in zip(steps, losses, norms, strict=True):
        of_step, counts = counts[: len(step.cases)], counts[len(step.cases) :]
        found.append(Step(step.cases, tuple(of_step), loss, norm, step.skipped))
    return found


def check(steps: Sequence[Step], epoch: int, epoch_losses: Sequence[float]) -> None:
    """Check that every step that changed the weights had a finite loss and gradient.

    Args:
        steps: of an epoch, from its first.
        epoch: its number.
        epoch_losses: mean losses of the epochs before.

    Raises:
        UserError: with the first step that had not, its cases, and the losses before it.
    """
    bad = next((i for i, step in enumerate(steps) if not step.is_finite and not step.skipped), None)
    if bad is None:
        return
    step = steps[bad]
    text = f"the loss is {step.loss:g}"
    if math.isfinite(step.loss):
        text = f"the gradient's norm is {step.gradient_norm:g} at a loss of {step.loss:g}"
    before = ", ".join(f"{s.loss:.4g}" for s in steps[max(bad - LAST, 0) : bad]) or "none"
    means = ", ".join(f"{loss:.4g}" for loss in epoch_losses[-LAST:]) or "none"
    raise UserError(
        f"epoch {epoch}, step {bad + 1}: {text} on cases {sorted(set(step.cases))}; losses of the "
        f"steps before it: {before}; mean losses of the epochs before: {means}. The last good state is kept. "
        "Lower train.learning_rate in params.yaml, look at these cases, or leave such steps out with "
        "train.on_nonfinite: skip"
    )


def mean_loss(steps: Sequence[Step], epoch: int) -> float:
    """Return the mean loss over the steps of an epoch that were not skipped.

    Raises:
        UserError: if all were.
    """
    losses = [step.loss for step in steps if not step.skipped]
    if not losses:
        raise UserError(
            f"epoch {epoch}: all {len(steps)} steps were skipped, because loss or gradient is no number; "
            "lower train.learning_rate in params.yaml, or look at the data"
        )
    return math.fsum(losses) / len(losses)
