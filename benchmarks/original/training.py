"""Train a network as a MONAI tutorial does."""

from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader
from monai.losses import DiceLoss
from monai.metrics import DiceMetric

from benchmarks.original import evaluation
from context_fbr.training.batches import Protocol


def step(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_function: torch.nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """One step on images and labels (batch, 1, p, p, p) float32, of which nothing is cast; its loss."""
    optimizer.zero_grad()
    loss = loss_function(network(images), labels)
    loss.backward()
    optimizer.step()
    return float(loss.item())


def train(
    network: torch.nn.Module,
    loader: DataLoader,
    validation_loader: DataLoader,
    protocol: Protocol,
    weights_path: Path,
) -> None:
    """Train a network in place and leave it with the weights of its best validated epoch.

    The last epoch is validated whatever its number, as ours is: a short training has weights too.
    """
    settings = protocol.settings
    device = next(network.parameters()).device
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=protocol.epochs, eta_min=settings.final_learning_rate
    )
    loss_function = DiceLoss(to_onehot_y=True, softmax=True)
    best = -1.0
    for epoch in range(1, protocol.epochs + 1):
        network.train()
        for batch in loader:
            step(network, optimizer, loss_function, batch["image"].to(device), batch["label"].to(device))
        schedule.step()
        if epoch % settings.validate_every_epochs == 0 or epoch == protocol.epochs:
            score = validate(network, validation_loader, protocol)
            if score > best:
                best = score
                torch.save(network.state_dict(), weights_path)
    network.load_state_dict(torch.load(weights_path, weights_only=True))


def validate(network: torch.nn.Module, loader: DataLoader, protocol: Protocol) -> float:
    """Mean Dice of the foreground over the volumes of a loader."""
    network.eval()
    device = next(network.parameters()).device
    metric = DiceMetric(include_background=False)
    for batch in loader:
        outputs = evaluation.logits(network, batch["image"].to(device), protocol.patch_size, protocol.window)
        metric(*evaluation.one_hot(outputs, batch["label"].to(device)))
    mean: Any = metric.aggregate()
    return float(mean.item())
