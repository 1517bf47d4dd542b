"""Text of docs/explanation/hippocampus.md: every number from the files of metrics."""

import json
from pathlib import Path

import pandas as pd
import pytest

from context_fbr_tools.study.blocks import structure_blocks

MODELS, SIZES, NAMES = ("unet", "attention_unet"), (16, 32), ("whole", "anterior", "posterior")


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of two networks at two patch sizes; Dice of the anterior part is .80 to .89."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "metrics/hippocampus"
    folder.mkdir(parents=True)
    structures, shifted, cells = [], [], []
    for m, model in enumerate(MODELS):
        for s, size in enumerate(SIZES):
            key = {"task": "hippocampus", "model": model, "patch_size": size}
            for n, name in enumerate(NAMES):
                dice = 0.8 + 0.06 * s + 0.02 * m + 0.01 * n
                structures.append(
                    {**key, "structure": name, "seeds": 3, "cases": 110, "dice_mean": dice}
                    | {"dice_mean_low": dice - 0.02, "dice_mean_high": dice + 0.02}
                    | {"dice_seed_min": dice - 0.005, "dice_seed_max": dice + 0.005}
                )
                ends = {"difference": -0.01, "difference_low": -0.02, "difference_high": 0.003}
                shifted.append({**key, "structure": name, **ends})
            for seed in (1, 2, 3):
                cells.append({**key, "seed": seed})
                for stage, seconds in (("train", 10 * seed), ("evaluate", seed)):
                    path = tmp_path / f"metrics/provenance/{stage}/hippocampus-{model}-{size}-{seed}.json"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps({"seconds": seconds}))
    for name, rows in {"structures": structures, "shifted_crops": shifted, "cells": cells}.items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_each_network_and_patch_has_its_dice_by_structure_with_the_range_of_seeds(metrics: Path) -> None:
    lines = structure_blocks.structure_scores().splitlines()
    assert lines[0] == "| network | patch | whole | anterior | posterior |"
    assert len(lines) == 2 + len(MODELS) * len(SIZES)
    assert lines[-1].endswith(
        "| 32 | 0.880 (0.875 to 0.885) | 0.890 (0.885 to 0.895) | 0.900 (0.895 to 0.905) |"
    )


@pytest.mark.parametrize(("shift", "expected"), [(0.0, "-0.007, is within"), (-0.1, "-0.107, is not within")])
def test_the_reference_is_compared_with_the_best_mean_of_one_part(
    metrics: Path, shift: float, expected: str
) -> None:
    table = pd.read_csv(metrics / "structures.csv")
    table.assign(dice_mean=table["dice_mean"] + shift).to_csv(metrics / "structures.csv", index=False)
    text = structure_blocks.structure_reference()
    assert "patch 32, 3 seeds, 110 cases" in text
    assert expected in text


def test_losses_by_a_cut_and_costs_are_shown_for_each_network_and_patch(metrics: Path) -> None:
    cut, costs = structure_blocks.shifted_crops(), structure_blocks.structure_costs()
    assert cut.count("-0.010 [-0.020, +0.003]") == len(MODELS) * len(SIZES) * len(NAMES)
    assert costs.splitlines()[2].endswith("| 16 | 20 | 2 |")


def test_without_results_every_block_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [
        value for name, value in vars(structure_blocks).items() if name.startswith(("structure_", "shifted_"))
    ]
    assert len(blocks) == 6
    assert {block() for block in blocks} == {structure_blocks.ABSENT}
