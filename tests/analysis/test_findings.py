"""Findings on studies that were made to have, or not to have, what is claimed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_study import RANGES, RATIOS, SIZES, study
from small_results import SETTINGS

from context_fbr.analysis import confidence_intervals as verdicts_module
from context_fbr.analysis.confidence_intervals import Interval
from context_fbr.analysis.findings.assembly import Finding, findings
from context_fbr.analysis.findings.hypothesis import CLAIM, RIVAL
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS


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
    keys = paired.scores[CELL_COLUMNS].astype(str).agg(" ".join, axis=1)
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


def constant(levels: dict[int, float], threshold: float, ratios: np.ndarray = RATIOS) -> Evidence:
    """UNet with a Dice by patch size, and a threshold with one of its own; little noise."""
    generator = np.random.default_rng(5)
    rows = [
        (
            "t",
            "unet",
            size,
            seed,
            f"case {n}",
            dice + 0.001 * generator.standard_normal(),
            10 * dice + 0.01 * n,
            0.1,
            r,
        )
        for size, dice in levels.items()
        for seed in range(3)
        for n, r in enumerate(ratios)
    ]
    rows += [
        (
            "t",
            "threshold",
            None,
            None,
            f"case {n}",
            threshold - 0.001 * generator.random(),
            6 + 0.01 * n,
            0.1,
            r,
        )
        for n, r in enumerate(ratios)
    ]
    scores = pd.DataFrame(
        rows, columns=[*CELL_COLUMNS, "filename", "dsc", "hausdorff", "abs_diff", "fg_ratio"]
    )
    patches = pd.DataFrame(
        [("t", "unet", size, seed, ratio) for size in levels for seed in range(3) for ratio in RANGES[size]],
        columns=[*CELL_COLUMNS, "foreground_ratio"],
    )
    return Evidence(scores.astype({"patch_size": "Int64", "seed": "Int64"}), patches, None)


@pytest.mark.parametrize(
    ("threshold", "verdict"),
    [
        (0.95, "supported"),
        (0.84, "supported"),
        (0.79, "not decided"),
        (0.7, "contradicted"),
        (0.5, "contradicted"),
    ],
)
def test_a_threshold_is_held_against_the_best_patch_size(threshold: float, verdict: str) -> None:
    """Patch 32 is the best, neither the first nor the last; as well is no worse than by 0.05: from 0.80 on."""
    noise = 0.02 if verdict == "not decided" else 0.0
    evidence = constant({16: 0.6, 32: 0.85, 48: 0.4}, threshold)
    sway = noise * np.random.default_rng(1).standard_normal(len(evidence.scores))
    finding = by_id(replace(evidence, scores=evidence.scores.assign(dsc=evidence.scores["dsc"] + sway)))[
        "no_context_unet"
    ]
    assert "minus that of patch 32" in finding.statistic
    assert finding.estimate == pytest.approx(threshold - 0.85, abs=0.02)
    assert finding.verdict == verdict


def test_the_distance_of_a_threshold_is_compared_at_the_patch_that_is_best_in_dice() -> None:
    found = by_id(constant({16: 0.6, 32: 0.85, 48: 0.4}, 0.7))["no_context_distance_unet"]
    assert "of patch 32, the best in Dice" in found.statistic
    assert found.estimate == pytest.approx(8.5 - 6, abs=1e-9)
    assert found.verdict == "supported"  # the network's distance is the greater one
    less = by_id(constant({16: 0.3, 32: 0.5, 48: 0.4}, 0.7))["no_context_distance_unet"]
    assert (less.estimate, less.verdict) == (pytest.approx(5 - 6, abs=1e-9), "contradicted")


def test_equal_size_compares_the_same_cases_up_to_the_largest_that_is_below_the_range() -> None:
    """By hand: patch 48 has 0.01 to 0.06 below its range from 0.06; 32 has them within, from 0.005 on."""
    ratios = np.array(
        [0.004, 0.01, 0.02, 0.06, 0.3]
    )  # 0.06 itself is below the range, and counts on both sides
    evidence = constant({32: 0.8, 48: 0.8}, 0.5, ratios)
    dice = {
        32: dict(zip(ratios, (0.10, 0.50, 0.60, 0.90, 0.2), strict=True)),
        48: dict(zip(ratios, (0.20, 0.30, 0.35, 0.40, 0.1), strict=True)),
    }
    own = evidence.scores[evidence.scores["patch_size"].notna()]
    own = own.assign(dsc=[dice[s][r] for s, r in zip(own["patch_size"], own["fg_ratio"], strict=True)])
    patches = pd.DataFrame(
        [
            ("t", "unet", size, seed, r)
            for size, r in ((32, 0.005), (32, 0.9), (48, 0.06), (48, 0.2))
            for seed in range(3)
        ],
        columns=[*CELL_COLUMNS, "foreground_ratio"],
    )
    found = by_id(Evidence(own, patches, None))["equal_size_unet"]
    assert found.estimate == pytest.approx((0.5 + 0.6 + 0.9) / 3 - (0.3 + 0.35 + 0.4) / 3)
    assert found.cells == 6


def test_a_wide_range_is_judged_on_the_cases_that_only_it_has_within() -> None:
    """Widest: patch 16, from 0 to 1; narrowest: 48, from 0.06 to 0.2. The cases at 0.06 and 0.2 are outside of it."""
    ratios = np.array([0.0, 0.03, 0.06, 0.1, 0.2, 0.5, 1.0])
    evidence = constant({16: 0.8, 48: 0.8}, 0.5, ratios)
    dice = {
        16: dict(zip(ratios, (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.0), strict=True)),
        48: dict(zip(ratios, (1.0, 0.1, 0.2, 0.9, 0.3, 0.4, 1.0), strict=True)),
    }
    own = evidence.scores[evidence.scores["patch_size"].notna()]
    own = own.assign(dsc=[dice[s][r] for s, r in zip(own["patch_size"], own["fg_ratio"], strict=True)])
    found = by_id(replace(evidence, scores=own))["wide_range_unet"]
    assert "patch 16 minus patch 48" in found.statistic
    assert found.estimate == pytest.approx((0.5 + 0.6 + 0.8 + 0.9) / 4 - (0.1 + 0.2 + 0.3 + 0.4) / 4)


def test_small_objects_are_those_below_the_range_and_large_ones_above() -> None:
    ratios = np.array([0.001, 0.06, 0.1, 0.2, 0.4])
    evidence = constant({48: 0.8}, 0.5, ratios)
    dice = dict(zip(ratios, (0.1, 0.3, 0.9, 0.6, 0.8), strict=True))
    own = evidence.scores[evidence.scores["patch_size"].notna()]
    own = own.assign(dsc=own["fg_ratio"].map(dice))
    found = by_id(replace(evidence, scores=own))["small_objects_unet"]
    assert found.estimate == pytest.approx(0.7 - 0.2)
    little = by_id(replace(evidence, scores=own))["loses_little_unet"]
    assert little.estimate is None  # a single case is within


@pytest.mark.parametrize(
    ("low", "high", "verdicts"),
    [
        # above 0.05, below 0.05, positive
        (0.051, 0.2, ("supported", "contradicted", "supported")),
        (0.05, 0.2, ("not decided", "not decided", "supported")),
        (0.01, 0.05, ("not decided", "not decided", "supported")),
        (0.01, 0.049, ("contradicted", "supported", "supported")),
        (0.0, 0.04, ("contradicted", "supported", "not decided")),
        (-0.1, 0.1, ("not decided", "not decided", "not decided")),
        (-0.1, 0.0, ("contradicted", "supported", "not decided")),
        (-0.1, -0.01, ("contradicted", "supported", "contradicted")),
    ],
)
def test_an_interval_decides_where_it_lies_as_a_whole_on_one_side(
    low: float, high: float, verdicts: tuple[str, str, str]
) -> None:
    found = Interval((low + high) / 2, low, high)
    assert (
        verdicts_module.above(found, 0.05), verdicts_module.below(found, 0.05), verdicts_module.positive(found)
    ) == verdicts  # fmt: skip


def test_converged_cells_that_say_the_opposite_leave_a_verdict_undecided() -> None:
    """All cells: the slope is positive. The converged ones, seeds 1 and 2 of each: it is negative."""
    evidence = constant({16: 0.5, 32: 0.6, 48: 0.7}, 0.5)
    own = evidence.scores[evidence.scores["patch_size"].notna()]
    sound = own["seed"] > 0
    falling = own["patch_size"].map({16: 0.52, 32: 0.51, 48: 0.50}).astype(float)
    rising = own["patch_size"].map({16: 0.0, 32: 0.4, 48: 0.8}).astype(float)
    sway = 0.001 * np.random.default_rng(4).standard_normal(len(own))
    scores = own.assign(dsc=np.where(sound, falling, rising) + sway)
    keys = scores[CELL_COLUMNS].drop_duplicates().itertuples(index=False, name=None)
    found = by_id(replace(evidence, scores=scores, converged={key: key[3] > 0 for key in keys}))
    slope = found["larger_patches_unet"]
    assert slope.estimate > 0 > slope.converged_high
    assert (slope.verdict, slope.cells, slope.not_converged) == ("not decided", 9, 3)


STATEMENTS = {
    "larger_patches_{}": (CLAIM, "{} does better with larger patches"),
    "loses_little_unet": (CLAIM, "UNet loses little outside of the training range"),
    "loses_more_attention_unet": (CLAIM, "Attention-UNet loses more outside of the training range than UNet"),
    "wide_range_{}": (CLAIM, "A wide range of foreground ratios in training makes {} robust"),
    "small_objects_{}": (RIVAL, "Of the test cases outside of the range, {} fails on the small ones"),
    "equal_size_{}": (
        RIVAL, "It is not the range: {} does no better on small objects where they are within it",
    ),
    "no_context_{}": (RIVAL, "No context is needed: a threshold has as good a Dice as {} at its best"),
    "no_context_distance_{}": (
        RIVAL, "No context is needed: a threshold's Hausdorff distance is smaller than that of {}",
    ),
}  # fmt: skip


def test_each_finding_has_its_kind_its_statement_and_its_place() -> None:
    """By claim, of the networks in the order of the results; the threshold's distance after its Dice."""
    expected: dict[str, tuple[str, str]] = {}
    for name, (kind, statement) in STATEMENTS.items():
        for model, called in (("unet", "UNet"), ("attention_unet", "Attention-UNet")):
            expected[name.format(model)] = (kind, statement.format(called))
    found = findings(study(), SETTINGS)
    assert [(f.id, (f.kind, f.statement)) for f in found] == list(expected.items())
    assert {f.task for f in found} == {"t"}
    assert {f.id for f in found if f.unit == "voxels"} == {
        f"no_context_distance_{m}" for m in ("unet", "attention_unet")
    }
    assert {f.unit for f in found} == {"Dice", "voxels"}


def test_each_statistic_names_the_patch_sizes_and_networks_that_it_is_of() -> None:
    found = {name: finding.statistic for name, finding in by_id(study()).items()}
    assert found["larger_patches_unet"].endswith(", patch 16, 32, 48")
    assert found["loses_little_unet"].endswith(", patch 32, 48; little: less than 0.05")
    assert found["loses_more_attention_unet"] == (
        "(mean Dice within minus outside) of Attention-UNet minus that of UNet, patch 32, 48"
    )
    assert ", patch 16 minus patch 48, " in found["wide_range_unet"]
    assert found["small_objects_unet"].endswith(", patch 48")
    assert "below the range of patch 48 " in found["equal_size_unet"]
    assert found["equal_size_unet"].endswith(
        ", patch 16, 32, minus that at patch 48; no better: by less than 0.05"
    )
    assert found["no_context_attention_unet"].endswith("of patch 48; as well: no worse than by 0.05")
    assert "of patch 48, the best in Dice, " in found["no_context_distance_attention_unet"]


def test_without_the_reference_network_nothing_is_held_against_it() -> None:
    own = study(threshold=False)
    alone = replace(
        own,
        scores=own.scores[own.scores["model"] == "attention_unet"],
        ratios=own.ratios[own.ratios["model"] == "attention_unet"],
    )
    assert [f.id for f in findings(alone, SETTINGS)] == [
        f"{name}_attention_unet" for name in ("larger_patches", "wide_range", "small_objects", "equal_size")
    ]


def test_a_network_that_cannot_be_compared_with_the_reference_says_why() -> None:
    """The reference has no case outside of its range."""
    own = study()
    wide = own.ratios["foreground_ratio"].where(
        own.ratios["model"] != "unet", [0.0, 1.0] * (len(own.ratios) // 2)
    )
    found = by_id(replace(own, ratios=own.ratios.assign(foreground_ratio=wide)))["loses_more_attention_unet"]
    assert (found.estimate, found.verdict, found.cells, found.not_converged) == (None, "not decided", 0, 0)
    assert found.reason == "no patch size has test cases within and outside for both networks"
    assert found.statistic.endswith(", no patch size")


WIDE = "mean Dice with the widest training range minus that with the narrowest"


def test_equally_wide_ranges_and_unknown_ranges_name_no_patch_size() -> None:
    own = constant({16: 0.8, 48: 0.8}, 0.5)
    equal = own.ratios.assign(foreground_ratio=[0.1, 0.3, 0.1, 0.3, 0.1, 0.3] * 2)
    shifted = own.ratios.assign(foreground_ratio=[0.25, 0.5] * 3 + [0.5, 0.75] * 3)
    for ratios in (equal, shifted, own.ratios.iloc[:0]):
        found = by_id(replace(own, ratios=ratios))["wide_range_unet"]
        assert (found.statistic, found.estimate, found.verdict) == (WIDE, None, "not decided")
    assert by_id(own)["wide_range_unet"].statistic.startswith(
        f"{WIDE}, patch 16 minus patch 48, on test cases "
    )


@pytest.mark.parametrize(
    ("ratios", "estimated"),
    [
        ((0.01, 0.02, 0.1, 0.3, 0.4), True),
        ((0.01, 0.1, 0.3, 0.4), False),  # one case below
        ((0.01, 0.02, 0.1, 0.4), False),  # one case above
    ],
)
def test_a_group_of_a_single_case_decides_nothing_on_small_objects(
    ratios: tuple[float, ...], estimated: bool
) -> None:
    found = by_id(constant({48: 0.8}, 0.5, np.array(ratios)))["small_objects_unet"]
    assert (found.estimate is not None) == estimated


def test_tasks_are_answered_in_the_order_of_the_results_each_from_its_own_rows() -> None:
    second = constant({16: 0.3, 32: 0.4}, 0.9)
    first = replace(constant({16: 0.9, 32: 0.6}, 0.2))
    both = replace(
        first,
        scores=pd.concat([first.scores.assign(task="z"), second.scores.assign(task="a")], ignore_index=True),
        ratios=pd.concat([first.ratios.assign(task="z"), second.ratios.assign(task="a")], ignore_index=True),
    )
    found = findings(both, SETTINGS)
    assert list(dict.fromkeys(f.task for f in found)) == ["z", "a"]
    slopes = {f.task: f.estimate for f in found if f.id == "larger_patches_unet"}
    assert slopes == pytest.approx({"z": -0.3, "a": 0.1}, abs=0.002)
    thresholds = {f.task: (f.estimate, f.verdict) for f in found if f.id == "no_context_unet"}
    assert thresholds["z"] == (pytest.approx(-0.7, abs=0.002), "contradicted")
    assert thresholds["a"] == (pytest.approx(0.5, abs=0.002), "supported")


def test_a_network_of_which_no_cell_has_converged_has_findings_without_a_converged_estimate() -> None:
    own = study()
    found = by_id(replace(own, converged={key: key[1] != "attention_unet" for key in own.converged}))
    slope = found["larger_patches_attention_unet"]
    assert (slope.verdict, slope.cells, slope.not_converged) == ("not decided", 9, 9)
    assert slope.estimate == pytest.approx(0.1 / np.log2(1.5), rel=0.5)
    assert (slope.converged_estimate, slope.converged_low, slope.converged_high) == (None, None, None)
    little = found["loses_little_unet"]
    assert (little.verdict, little.reason) == ("supported", "")
    assert little.low < little.estimate < little.high
    assert (little.converged_estimate, little.converged_low, little.converged_high) == (
        little.estimate, little.low, little.high,
    )  # fmt: skip
