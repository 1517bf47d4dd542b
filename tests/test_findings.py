"""Findings on studies that were made to have, or not to have, what is claimed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import SETTINGS

from context_fbr.claims import CLAIM, RIVAL
from context_fbr.evidence import Evidence
from context_fbr.findings import Finding, findings
from context_fbr.results import KEYS

SIZES = (16, 32, 48)
RATIOS = np.geomspace(0.001, 0.5, 20)
RANGES = {16: (0.0, 1.0), 32: (0.01, 0.6), 48: (0.06, 0.2)}


def dice_of(model: str, size: int, ratio: float) -> float:
    """UNet: the same at all sizes. Attention-UNet: grows with the patch, loses more on small objects."""
    small = ratio <= 0.06
    if model == "unet":
        return 0.93 if small else 0.95
    lost = 0.4 if small else 0.0
    return 0.5 + 0.1 * SIZES.index(size) - lost


def study(seeds: int = 3, noise: float = 0.004, threshold: bool = True) -> Evidence:
    generator = np.random.default_rng(8)
    rows, patches = [], []
    for model in ("unet", "attention_unet"):
        for size in SIZES:
            for seed in range(seeds):
                patches += [("t", model, size, seed, ratio) for ratio in RANGES[size]]
                for number, ratio in enumerate(RATIOS):
                    dice = dice_of(model, size, ratio) + noise * generator.standard_normal()
                    rows.append(("t", model, size, seed, f"case {number}", dice, 1.0, 0.1, ratio))
    if threshold:
        for number, ratio in enumerate(RATIOS):
            dice = 0.999 - noise * generator.random()
            rows.append(("t", "threshold", None, None, f"case {number}", dice, 1.0, 0.1, ratio))
    scores = pd.DataFrame(rows, columns=[*KEYS, "filename", "dsc", "hausdorff", "abs_diff", "fg_ratio"])
    scores = scores.astype({"patch_size": "Int64", "seed": "Int64"})
    cells = scores.dropna(subset=["seed"])[KEYS].drop_duplicates().itertuples(index=False, name=None)
    converged = {key: key != ("t", "attention_unet", 16, 0) for key in cells}
    return Evidence(scores, pd.DataFrame(patches, columns=[*KEYS, "foreground_ratio"]), converged)


def by_id(evidence: Evidence) -> dict[str, Finding]:
    return {finding.id: finding for finding in findings(evidence, SETTINGS)}


def test_claims_that_were_built_in_are_supported_and_their_opposites_contradicted() -> None:
    found = by_id(study())
    verdicts = {
        "larger_patches_attention_unet": "supported",
        "loses_little_unet": "supported",
        "loses_more_attention_unet": "supported",
        # Patch 16 has the widest range, and the lowest Dice of Attention-UNet.
        "wide_range_attention_unet": "contradicted",
        "small_objects_attention_unet": "supported",
        # The loss is the same where small objects are within the range of a smaller patch.
        "equal_size_attention_unet": "supported",
        "equal_size_unet": "supported",
        "no_context_unet": "supported",
        "no_context_attention_unet": "supported",
    }
    assert {name: found[name].verdict for name in verdicts} == verdicts
    assert found["larger_patches_unet"].verdict == "not decided"


def test_the_slope_is_that_of_a_straight_line_through_the_means() -> None:
    finding = by_id(study())["larger_patches_attention_unet"]
    rows = study().scores
    means = rows[rows["model"] == "attention_unet"].groupby("patch_size")["dsc"].mean()
    slope = np.polyfit(np.log2(np.array(SIZES)), means.to_numpy(float), 1)[0]
    assert finding.estimate == pytest.approx(slope)
    assert finding.low is not None
    assert finding.low < slope


def test_if_the_range_itself_costs_dice_the_rival_explanation_is_contradicted() -> None:
    """Now small objects are only lost where they lie below the range, not where they are within."""
    evidence = study()
    low = evidence.scores["patch_size"].map({size: low for size, (low, _) in RANGES.items()}).astype(float)
    lost = 0.4 * (evidence.scores["fg_ratio"] <= low)
    scores = evidence.scores.assign(
        dsc=0.95 - lost + 0.002 * np.random.default_rng(1).standard_normal(len(lost))
    )
    found = by_id(replace(evidence, scores=scores))
    assert found["equal_size_unet"].verdict == "contradicted"
    assert found["wide_range_unet"].verdict == "supported"
    assert found["loses_little_unet"].verdict == "contradicted"


def test_a_finding_counts_its_cells_and_those_that_have_not_converged() -> None:
    found = by_id(study())
    slope = found["larger_patches_attention_unet"]
    assert (slope.cells, slope.not_converged, slope.kind) == (9, 1, CLAIM)
    pair = found["loses_more_attention_unet"]  # patch 16 has no case outside of its range
    assert (pair.cells, pair.not_converged) == (12, 0)
    assert "patch 32, 48" in pair.statistic


def test_losing_more_is_the_difference_of_the_losses_averaged_over_patch_sizes() -> None:
    evidence = study()
    loss = {}
    for model in ("unet", "attention_unet"):
        of_sizes = []
        for size in (32, 48):
            own = evidence.scores.query("model == @model and patch_size == @size")
            low, high = RANGES[size]
            within = (own["fg_ratio"] > low) & (own["fg_ratio"] < high)
            of_sizes.append(own["dsc"][within].mean() - own["dsc"][~within].mean())
        loss[model] = np.mean(of_sizes)
    found = by_id(evidence)
    assert found["loses_little_unet"].estimate == pytest.approx(loss["unet"])
    assert found["loses_more_attention_unet"].estimate == pytest.approx(loss["attention_unet"] - loss["unet"])


def test_a_rival_explanation_is_marked_as_such() -> None:
    found = by_id(study())
    assert found["no_context_unet"].kind == RIVAL


def test_without_spread_between_trainings_nothing_is_decided_and_the_reason_is_given() -> None:
    found = by_id(study(seeds=1))
    slope = found["larger_patches_attention_unet"]
    assert slope.estimate is not None
    assert (slope.low, slope.verdict) == (None, "not decided")
    assert slope.reason == "a single training or test case has no interval"


def test_what_cannot_be_asked_of_the_data_is_not_decided() -> None:
    evidence = study(threshold=False)
    one = evidence.scores[evidence.scores["patch_size"] == 16]
    found = by_id(replace(evidence, scores=one, ratios=evidence.ratios[evidence.ratios["patch_size"] == 16]))
    for name, reason in {
        "larger_patches_unet": "one patch size only",
        "loses_little_unet": "no patch size has test cases within and outside",
        "small_objects_unet": "no patch size has test cases below and above",
        "equal_size_unet": "no test case is below the range of the largest patch",
        "wide_range_unet": "all ranges are equally wide",
    }.items():
        assert found[name].verdict == "not decided"
        assert found[name].estimate is None
        assert found[name].reason.startswith(reason)
    assert "no_context_unet" not in found


def test_with_test_sets_of_their_own_equal_names_pair_nothing() -> None:
    """The findings are those of cells whose cases have names that occur once; paired, they are others."""
    paired = study(noise=0.02, threshold=False)
    nested = replace(paired, nested=frozenset({"t"}))
    keys = paired.scores[KEYS].astype(str).agg(" ".join, axis=1)
    renamed = replace(nested, scores=paired.scores.assign(filename=keys + paired.scores["filename"]))
    assert findings(nested, SETTINGS) == findings(renamed, SETTINGS)
    assert findings(nested, SETTINGS) != findings(paired, SETTINGS)


def test_a_verdict_that_rests_on_cells_that_have_not_converged_is_not_decided() -> None:
    """The slope comes from patch 16 alone, whose trainings failed."""
    evidence = study()
    failed = (evidence.scores["patch_size"] == 16).fillna(False) & (
        evidence.scores["model"] == "attention_unet"
    )
    noise = 0.004 * np.random.default_rng(3).standard_normal(len(failed))
    scores = evidence.scores.assign(dsc=np.where(failed, 0.2, 0.8) + noise)
    converged = {key: key[1:3] != ("attention_unet", 16) for key in evidence.converged}
    sound = by_id(replace(evidence, scores=scores))["larger_patches_attention_unet"]
    found = by_id(replace(evidence, scores=scores, converged=converged))["larger_patches_attention_unet"]
    assert (sound.verdict, found.verdict) == ("supported", "not decided")
    assert found.reason == "supported only if cells count that have not converged"
    assert found.estimate == sound.estimate
    assert found.not_converged == 3
    assert abs(found.converged_estimate) < 0.01


def test_a_patch_size_with_a_single_case_in_a_group_is_left_out_and_takes_no_interval_away() -> None:
    evidence = study()
    few = evidence.ratios.assign(
        foreground_ratio=evidence.ratios["foreground_ratio"].where(
            evidence.ratios["patch_size"] != 32,
            evidence.ratios["foreground_ratio"].map({0.01: 0.0011, 0.6: 0.6}),
        )
    )
    found = by_id(replace(evidence, ratios=few))["loses_little_unet"]
    assert found.statistic.startswith("mean Dice within minus outside, patch 48;")
    assert found.low is not None


def test_the_threshold_s_distance_is_a_claim_of_its_own_on_pairs_of_cases() -> None:
    evidence = study()
    far = evidence.scores.assign(
        hausdorff=np.where(evidence.scores["model"] == "threshold", 9.0, 2.0)
        + 0.1 * np.random.default_rng(2).random(len(evidence.scores))
    )
    empty = (far["model"] == "unet") & (far["filename"] == "case 0")
    found = by_id(replace(evidence, scores=far.assign(hausdorff=far["hausdorff"].mask(empty))))
    finding = found["no_context_distance_unet"]
    assert (finding.unit, finding.verdict) == ("voxels", "contradicted")
    assert finding.estimate == pytest.approx(-7, abs=0.1)
