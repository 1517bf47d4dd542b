"""Optimizers and learning rates, compared with PyTorch's own and with their formulas."""

import math
from pathlib import Path

import pytest
import torch

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.config.training import Training
from context_fbr.core.errors import UserError
from context_fbr.training.recipe.optimizer import learning_rates, optimizer


def settings(params: Path, **changes: object) -> Training:
    common = Document.read(params).section(("train",), Training)
    return Training.model_validate(common.model_dump() | changes)


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({}, torch.optim.Adam, {"weight_decay": 0.0, "betas": (0.9, 0.999)}),
        ({"optimizer": "adamw", "weight_decay": 0.01}, torch.optim.AdamW, {"weight_decay": 0.01}),
        ({"optimizer": "sgd", "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        ({"optimizer": "sgd"}, torch.optim.SGD, {"momentum": 0.0, "nesterov": False}),
    ],
)
def test_the_optimizer_is_pytorch_s_with_the_settings(
    params: Path, changes: dict[str, object], kind: type, expected: dict[str, object]
) -> None:
    made = optimizer([torch.zeros(1, requires_grad=True)], settings(params, **changes))
    assert type(made) is kind
    assert made.defaults["lr"] == 0.005
    assert {name: made.defaults[name] for name in expected} == expected


@pytest.mark.parametrize("warmup", [1, 2, 5])
def test_the_rate_rises_in_equal_steps_and_falls_on_a_cosine(params: Path, warmup: int) -> None:
    chosen = settings(params, warmup_epochs=warmup)
    rates = learning_rates(chosen, 12)
    high, low = chosen.learning_rate, chosen.final_learning_rate
    rise = [high * (number + 1) / (warmup + 1) for number in range(warmup)]
    left = 12 - warmup
    fall = [low + (high - low) * (1 + math.cos(math.pi * number / left)) / 2 for number in range(left)]
    assert rates == pytest.approx([*rise, *fall], rel=1e-12)


def test_a_warm_up_as_long_as_the_training_is_refused_with_its_line(params: Path) -> None:
    params.write_text(params.read_text().replace("warmup_epochs: 0", "warmup_epochs: 24"))
    with pytest.raises(UserError) as raised:
        read_study(Document.read(params))
    assert [problem.partition(": ")[2].partition(":")[0] for problem in raised.value.problems] == [
        "tasks.spheres.train.epochs"
    ]
