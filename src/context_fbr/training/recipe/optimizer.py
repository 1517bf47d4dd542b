"""Optimizer and learning rates of a training."""

from collections.abc import Iterable

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from context_fbr.config.training import Training


def optimizer(weights: Iterable[torch.Tensor], settings: Training) -> torch.optim.Optimizer:
    """Return the optimizer of the settings; `weight_decay` is Adam's L2 term, or AdamW's and SGD's decay."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    momentum = settings.momentum
    return torch.optim.SGD(weights, lr=rate, weight_decay=decay, momentum=momentum, nesterov=momentum > 0)


def learning_rates(settings: Training, epochs: int) -> tuple[float, ...]:
    """Return the learning rate of each epoch, to the last bit that of PyTorch's schedule.

    It rises linearly over `warmup_epochs`, and falls on a cosine from `learning_rate` to
    `final_learning_rate` over the epochs after them.
    """
    steps = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=settings.learning_rate)
    warmup = settings.warmup_epochs
    schedule: LRScheduler
    if warmup:  # before the cosine, whose construction would start from its own first rate
        rise = LinearLR(steps, start_factor=1 / (warmup + 1), total_iters=warmup)
    fall = CosineAnnealingLR(steps, T_max=epochs - warmup, eta_min=settings.final_learning_rate)
    schedule = SequentialLR(steps, [rise, fall], [warmup]) if warmup else fall
    rates = []
    for _ in range(epochs):
        rates.append(float(schedule.get_last_lr()[0]))
        steps.step()  # or the schedule warns
        schedule.step()
    return tuple(rates)
