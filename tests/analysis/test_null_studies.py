"""Studies without an effect must not find one: simulated about the curves of the committed results."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mutations import TIMES
from null_studies import PUBLISHED, Curves, draw, evidence, read_curves
from scipy import stats
from workspace import ROOT

from context_fbr.analysis.findings.assembly import verdicts
from context_fbr.analysis.observations import Evidence
from context_fbr.config.analysis import Analysis, Regression
from context_fbr.config.document import Document
from context_fbr_tools.diff import report
from context_fbr_tools.diff.scores import compare_scores, corrected

PAIRS = tuple((name, f"{name}_again") for name in PUBLISHED)
WRONG = {
    "norm_at_smallest_patch": {"supported"},  # contradicted is true: 0 is less than a small loss
    "loss_outside_by_norm": {"supported", "contradicted"},
    "slope_by_norm": {"supported", "contradicted"},
    "wide_range": {"supported", "contradicted"},
    "window": {"supported", "contradicted"},
    "by_surface_dice": {"supported"},
    "modern_recipe": {"supported"},
}
"""Verdicts that claim an effect, of the findings that compare what is the same."""


@pytest.fixture(scope="module")
def curves() -> Curves:
    return read_curves()


def settings() -> Analysis:
    document = Document.read(ROOT / "params.yaml")
    changed = {"exchanged_norms": PAIRS, "modern_recipe": (("attention_unet", "unrelated"),)}
    return document.section(("analysis",), Analysis).model_copy(update=changed)


def halves(curves: Curves, generator: np.random.Generator) -> Evidence:
    """Every comparison is of two draws of the same: norms, range arm, recipe; windows differ by noise."""
    names = [(model, name) for model, again in PAIRS for name in (model, again)]
    rows = draw(curves, generator, [*names, ("attention_unet", "unrelated")])
    larger = rows[rows["patch_size"] < 48].assign(window=48)
    larger["dsc"] = (larger["dsc"] + 0.02 * generator.standard_normal(len(larger))).clip(0, 1)
    wide = draw(curves, generator, [("attention_unet", "attention_unet")], task="spheres_wide", sizes=[48])
    of = {name: model for model, name in names} | {"unrelated": "attention_unet"}
    windows = pd.concat([rows.assign(window=rows["patch_size"]), larger], ignore_index=True)
    made = evidence(curves, pd.concat([rows, wide], ignore_index=True), of)
    return replace(made, windows=windows)


def wrong(found: dict[tuple[str, str], str]) -> Iterator[str]:
    for (task, name), verdict in found.items():
        if task == "spheres" and verdict in WRONG.get(name, set()):
            yield name


def most(studies: int) -> int:
    """Errors that a rate of 5 % exceeds in one of a thousand simulations."""
    return int(stats.binom.ppf(0.999, studies, 0.05))


@pytest.mark.parametrize("studies", [4, pytest.param(120 * TIMES, marks=pytest.mark.long)])
def test_two_halves_of_the_same_seeds_are_not_found_to_differ(curves: Curves, studies: int) -> None:
    generator = np.random.default_rng(21)
    errors: Counter[str] = Counter()
    asked = set()
    for _ in range(studies):
        found = verdicts(halves(curves, generator), settings())
        asked |= {name for task, name in found if task == "spheres"}
        claimed = list(wrong(found))
        errors.update(claimed)
        errors["any primary"] += any(
            name in ("norm_at_smallest_patch", "loss_outside_by_norm") for name in claimed
        )
        errors["any exploratory"] += any(
            name not in ("norm_at_smallest_patch", "loss_outside_by_norm") for name in claimed
        )
    assert asked >= set(WRONG)
    assert {name: count for name, count in errors.items() if count > most(studies)} == {}


def test_a_renamed_configuration_differs_from_itself_in_nothing(curves: Curves) -> None:
    rows = draw(curves, np.random.default_rng(1), [(name, name) for name in PUBLISHED])
    again = rows.assign(model=rows["model"] + "_again")
    of = {f"{name}_again": name for name in PUBLISHED}
    same = evidence(curves, pd.concat([rows, again], ignore_index=True), of)
    assert list(wrong(verdicts(same, settings()))) == []


@pytest.mark.parametrize("studies", [4, pytest.param(120 * TIMES, marks=pytest.mark.long)])
def test_other_seeds_of_the_same_are_no_regression(curves: Curves, studies: int) -> None:
    """Of all nine configurations and both scores together, as `diff --fail-on-regression` judges them."""
    limits = Document.read(ROOT / "params.yaml").section(("regression",), Regression)
    generator = np.random.default_rng(22)
    names = [(name, name) for name in PUBLISHED]
    failed = uncorrected = 0
    for _ in range(studies):
        before, after = draw(curves, generator, names), draw(curves, generator, names)
        alone = compare_scores(before, after, 0.95)
        failed += is_worse(report._beyond(corrected(alone), limits, 0.95))
        uncorrected += is_worse(report._beyond(tuple(alone), limits, 0.95))
    print(f"of {studies} comparisons {failed} fail, without Holm's correction {uncorrected}")
    assert failed <= most(studies)
    assert studies < 100 or failed < uncorrected


def is_worse(changes: Iterable[tuple[object, int, bool]]) -> bool:
    return any(certain and sign < 0 for _, sign, certain in changes)
