"""What benchmarks/ measures of bf16, and of DVC."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import bf16_gradients, bf16_trainings, pipeline
from context_fbr.networks import convolutions, precision


def test_bf16_and_float32_are_paired_by_case_and_by_training() -> None:
    """bf16 is better by 0.01 in each case but one, however much cases and trainings differ."""
    draw = np.random.default_rng(1)
    tables, rows = [], []
    for model in ("unet", "unetr"):
        for seed in (1, 2, 3):
            exact = draw.uniform(0.2, 0.9, 20)
            better = exact + 0.01
            better[0] += 0.2
            names = [f"c{i}" for i in range(20)]
            table = pd.DataFrame({"filename": names, "float32": exact, "bf16": better})
            tables.append(table.assign(task="spheres", model=model, patch_size=32, seed=seed))
            for kind, seconds in (("float32", 30.0), ("bf16", 20.0)):
                rows.append((model, 32, seed, kind, 0.5, 0.5, seconds, "a device", "a day"))
    found = pd.DataFrame(
        bf16_trainings.difference_rows(rows, pd.concat(tables)),
        columns=list(bf16_trainings.DIFFERENCE_COLUMNS),
    )
    assert list(found["model"]) == ["unet", "unetr", "all"]
    assert list(found["trainings"]) == [3, 3, 6]
    assert found["difference"].to_numpy() == pytest.approx(0.02)
    assert ((found["low"] < 0.02) & (found["high"] > 0.02)).all()
    assert (found["high"] - found["low"]).max() < 0.1  # cases alone differ by 0.7
    assert set(found["train_s_ratio_median"]) == {1.5}


def test_an_unguarded_convolution_is_pytorch_s_own_with_the_same_weights() -> None:
    guarded = convolutions.guard(nn.Sequential(nn.Conv3d(1, 2, 3, padding=1)))[0]
    plain = bf16_gradients.unguarded(guarded)
    assert (type(guarded), type(plain)) == (convolutions.GUARDS[nn.Conv3d], nn.Conv3d)
    assert plain.weight is guarded.weight
    small = torch.rand(1, 1, 2, 2, 2)
    with precision.autocast(torch.device("cpu"), "bf16"):
        assert (guarded(small).dtype, plain(small).dtype) == (torch.float32, torch.bfloat16)


def test_a_stage_that_does_nothing_leaves_its_results() -> None:
    stage = {"outs": ["models/a", {"metrics/b.csv": {"cache": False}}], "metrics": ["metrics/c.json"]}
    assert pipeline.touching(stage) == (
        "mkdir -p models/a && echo 1 > models/a/file && mkdir -p metrics && echo 1 > metrics/b.csv"
        " && mkdir -p metrics && echo 1 > metrics/c.json"
    )
