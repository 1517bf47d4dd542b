"""Differences of single structures between two commits: rows, regressions, and scores that are gone."""

import json

import pandas as pd
import pytest
from result_repository import LEVELS, SHIFTS, Repository, scores

PARTS = ("whole", "anterior", "posterior")


def by_structure(shifts: dict[str, object]) -> pd.DataFrame:
    """Scores of each structure: `LEVELS`, and a shift of its own."""
    return pd.concat([scores(LEVELS + shift).assign(structure=name) for name, shift in shifts.items()])


def commit(repository: Repository, structures: pd.DataFrame | None) -> str:
    path = repository.path / "metrics/spheres/structure_cases.csv"
    if structures is None:
        path.unlink()
        return repository.commit(None)
    repository.commit(structures[structures["structure"] == "whole"].drop(columns="structure"))
    structures.to_csv(path, index=False)
    return repository.commit(None)


@pytest.fixture
def base(repository: Repository) -> str:
    return commit(repository, by_structure(dict.fromkeys(PARTS, 0.0)))


def test_each_structure_has_its_own_difference_and_the_union_is_counted_once(
    repository: Repository, base: str
) -> None:
    commit(repository, by_structure({"whole": 0.0, "anterior": SHIFTS, "posterior": 0.0}))
    text = repository.diff(base, "HEAD").stdout
    assert "Mean Dice of networks by patch size: 1 unchanged." in text
    (row,) = (line for line in text.splitlines() if line.startswith("| spheres, anterior |"))
    assert "+0.060 [" in row
    assert "**better**" in row
    found = json.loads(repository.diff(base, "HEAD", "--json", "-").stdout)["configurations"]
    assert [(c["structure"], c["dice"]["verdict"]) for c in found] == [
        (None, "unchanged"), ("anterior", "better"), ("posterior", "unchanged"),
    ]  # fmt: skip


def test_a_structure_that_is_worse_beyond_the_limit_is_a_regression_although_the_whole_is_not(
    repository: Repository, base: str
) -> None:
    commit(repository, by_structure({"whole": 0.0, "anterior": 0.0, "posterior": -0.03}))
    done = repository.diff(base, "HEAD", "--fail-on-regression", expect=1)
    assert done.stderr.splitlines() == [
        "regression: spheres, UNet, patch 16, posterior: Dice -0.030, more than 0.02 worse"
    ]


@pytest.mark.parametrize("left", [("whole", "anterior"), None], ids=["one structure", "all"])
def test_scores_of_a_structure_that_are_gone_are_a_regression(
    repository: Repository, base: str, left: tuple[str, ...] | None
) -> None:
    commit(repository, None if left is None else by_structure(dict.fromkeys(left, 0.0)))
    lost = [name for name in PARTS[1:] if left is None or name not in left]
    done = repository.diff(base, "HEAD", "--fail-on-regression", expect=1)
    assert done.stderr.splitlines() == [
        f"regression: spheres, {name}: the scores of this structure are gone" for name in lost
    ]


def test_a_network_with_another_name_keeps_its_structures(repository: Repository, base: str) -> None:
    renamed = by_structure(dict.fromkeys(PARTS, 0.0)).assign(model="unet_small")
    commit(repository, renamed)
    found = json.loads(repository.diff(base, "HEAD", "--json", "-").stdout)["configurations"]
    assert {c["dice"]["verdict"] for c in found} == {"unchanged"}
    assert len(found) == len(PARTS)
