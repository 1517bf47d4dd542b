"""Findings on studies that were made to have, or not to have, what is claimed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_study import RANGES, SIZES, study
from small_results import SETTINGS

from context_fbr.analysis import confidence_intervals
from context_fbr.analysis.confidence_intervals import Interval
from context_fbr.analysis.findings import assembly
from context_fbr.analysis.findings.assembly import findings, findings_across, verdicts
from context_fbr.analysis.findings.finding import Finding, Findings
from context_fbr.analysis.findings.hypothesis import Claim
from context_fbr.analysis.findings.magnitudes import magnitudes, published_magnitudes
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.result_files import write_json
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.core.errors import UserError


def asked(
    evidence: Evidence, published: object = None, *, influence: bool = False, **settings: object
) -> Findings:
    """Return the findings; without `influence`, no case is left out to see what depends on it: that is slow."""
    more = () if published is None else (published,)
    with pytest.MonkeyPatch.context() as patch:
        if not influence:
            patch.setattr(assembly, "deciding_case", lambda *_: "")
        return findings(evidence, SETTINGS.model_copy(update=settings), *more)


def by_id(evidence: Evidence, *, influence: bool = False, **settings: object) -> dict[str, Finding]:
    found = asked(evidence, influence=influence, **settings)
    return {finding.id: finding for finding in found.findings}


def reasons(found: Findings) -> dict[str, str]:
    return {absent.id: absent.reason for absent in found.not_asked}


@pytest.fixture(scope="module")
def made() -> dict[str, Finding]:
    """UNet with batch norm; Attention-UNet, with instance norm, is worse at small patches and on small objects."""
    return by_id(study())


def mean(evidence: Evidence, model: str, size: int, *cases: object) -> float:
    rows = evidence.scores[(evidence.scores["model"] == model) & (evidence.scores["patch_size"] == size)]
    return float(rows["dsc"].mean())


def test_what_was_built_in_is_supported_and_what_was_not_is_contradicted(made: dict[str, Finding]) -> None:
    assert {name: finding.verdict for name, finding in made.items()} == {
        "norm_at_smallest_patch": "supported",
        "loss_outside_by_norm": "supported",
        "slope_by_norm": "supported",
        "small_slope": "supported",
        "small_objects": "contradicted",  # half of each small object is missed
    }
    swapped = by_id(study(), exchanged_norms=(("attention_unet", "unet"),))
    for name in ("norm_at_smallest_patch", "loss_outside_by_norm", "slope_by_norm"):
        assert swapped[name].verdict == "contradicted"
        assert swapped[name].estimate == pytest.approx(-made[name].estimate)
    steep = study()
    rising = 0.1 * np.log2(steep.scores["patch_size"].astype(float)).fillna(0)
    assert (
        by_id(replace(steep, scores=steep.scores.assign(dsc=rising)))["small_slope"].verdict == "contradicted"
    )


def test_a_task_by_itself_has_at_most_eight_findings_two_of_them_primary() -> None:
    found = asked(study())
    assert len(found.findings) + len(found.not_asked) == 8
    roles = [h.role for h in (*found.findings, *found.not_asked)]
    assert roles.count("primary") == 2
    assert reasons(found) == {
        "window": "one window a training",
        "by_surface_dice": "no surface Dice",
        "modern_recipe": "no model with a modern recipe",
    }


def test_the_magnitudes_are_those_by_hand(made: dict[str, Finding]) -> None:
    own = study()
    assert made["norm_at_smallest_patch"].estimate == pytest.approx(
        mean(own, "unet", 16) - mean(own, "attention_unet", 16)
    )
    slopes = {
        model: np.polyfit(np.log2(SIZES), [mean(own, model, size) for size in SIZES], 1)[0]
        for model in ("unet", "attention_unet")
    }
    assert made["slope_by_norm"].estimate == pytest.approx(slopes["attention_unet"] - slopes["unet"])
    assert made["small_slope"].estimate == pytest.approx(slopes["unet"])
    losses = []
    for size in (32, 48):  # patch 16 has no case outside of its range
        for sign, model in ((1, "attention_unet"), (-1, "unet")):
            rows = own.scores[(own.scores["model"] == model) & (own.scores["patch_size"] == size)]
            low, high = RANGES[size]
            within = (rows["fg_ratio"] > low) & (rows["fg_ratio"] < high)
            losses.append(sign * (rows["dsc"][within].mean() - rows["dsc"][~within].mean()) / 2)
    assert made["loss_outside_by_norm"].estimate == pytest.approx(sum(losses))
    assert "mean of patch 32, 48" in made["loss_outside_by_norm"].statistic
    assert (made["loss_outside_by_norm"].cells, made["loss_outside_by_norm"].not_converged) == (12, 0)
    assert (made["norm_at_smallest_patch"].cells, made["norm_at_smallest_patch"].not_converged) == (6, 1)


PAIRS = (("unet", "attention_unet"), ("unet", "third"))


def three(shift: float, noise: float = 0.004) -> Evidence:
    """A third network: UNet, but for a shift of Dice."""
    own = study(noise=noise)
    third = own.scores[own.scores["model"] == "unet"]
    sway = 0.001 * np.random.default_rng(4).standard_normal(len(third))
    ratios = own.ratios[own.ratios["model"] == "unet"].assign(model="third")
    return Evidence(
        pd.concat(
            [own.scores, third.assign(model="third", dsc=third["dsc"] + shift + sway)], ignore_index=True
        ),
        pd.concat([own.ratios, ratios], ignore_index=True),
        None,
    )


def test_a_primary_finding_is_supported_only_if_every_pair_is() -> None:
    one = by_id(three(-0.04), exchanged_norms=PAIRS)["norm_at_smallest_patch"]  # 0.04 is a small difference
    assert one.low > SETTINGS.small_loss
    assert one.verdict == "not decided"
    assert [(part.name, part.verdict) for part in one.parts] == [
        ("UNet / Attention-UNet", "supported"), ("UNet / third", "contradicted"),
    ]  # fmt: skip
    both = by_id(three(-0.2), exchanged_norms=PAIRS)["norm_at_smallest_patch"]
    assert both.verdict == "supported"
    parts = [part.estimate for part in both.parts]
    assert both.estimate == pytest.approx(np.mean(parts))
    none = by_id(three(+0.8), exchanged_norms=(("unet", "third"),))["norm_at_smallest_patch"]
    assert none.verdict == "contradicted"


def test_a_pair_that_the_study_lacks_is_left_out(made: dict[str, Finding]) -> None:
    pairs = (("unet", "attention_unet"), ("unet", "absent"), ("absent", "unet"))
    assert by_id(study(), exchanged_norms=pairs) == made
    found = asked(study(), exchanged_norms=(("unet", "absent"),))
    assert [finding.id for finding in found.findings] == ["small_slope", "small_objects"]
    assert reasons(found)["norm_at_smallest_patch"] == "no pair of models with exchanged norm"
    assert reasons(found)["loss_outside_by_norm"] == "no pair of models with exchanged norm"


def test_one_patch_size_without_cases_outside_asks_neither_for_slopes_nor_for_losses() -> None:
    own = study()
    one = replace(own, scores=own.scores[own.scores["patch_size"].fillna(16) == 16])
    found = reasons(asked(one))
    assert found["slope_by_norm"] == found["small_slope"] == "one patch size only"
    assert found["loss_outside_by_norm"] == "no patch size has test cases within and outside"


def test_without_spread_between_trainings_nothing_is_decided_and_the_reason_is_given() -> None:
    slope = by_id(study(seeds=1))["slope_by_norm"]
    assert slope.estimate is not None
    assert (slope.low, slope.p, slope.p_holm, slope.verdict) == (None, None, None, "not decided")
    assert slope.reason == "a single training or test case has no interval"
    assert slope.depends_on_case is None


def with_surface(evidence: Evidence, surface: pd.Series) -> Evidence:
    return replace(evidence, scores=evidence.scores.assign(surface_dice=surface))


def test_surface_dice_is_next_to_dice_and_decides_a_finding_of_its_own() -> None:
    own = study()
    same = by_id(with_surface(own, own.scores["dsc"]))
    for name in ("norm_at_smallest_patch", "loss_outside_by_norm", "slope_by_norm", "small_slope"):
        finding = same[name]
        assert (finding.surface_estimate, finding.surface_low, finding.surface_verdict) == (
            finding.estimate, finding.low, "supported",
        )  # fmt: skip
    assert same["by_surface_dice"].verdict == "supported"
    assert [part.name for part in same["by_surface_dice"].parts] == [
        "UNet / Attention-UNet", "outside", "outside, UNet / Attention-UNet",
    ]  # fmt: skip
    # The loss outside of the range is the same for both: only the first primary finding holds by surface Dice.
    level = own.scores["model"].map({"unet": 0.9, "attention_unet": 0.5, "threshold": 1.0})
    sway = 0.001 * np.random.default_rng(4).standard_normal(len(level))
    flat = by_id(with_surface(own, level + sway))
    assert flat["norm_at_smallest_patch"].surface_verdict == "supported"
    assert flat["loss_outside_by_norm"].surface_verdict == "not decided"
    assert flat["by_surface_dice"].verdict == "not decided"


def test_a_modern_recipe_is_held_against_the_limit_of_the_primary_finding() -> None:
    recipe = {"exchanged_norms": (), "modern_recipe": (("unet", "third"),)}
    for shift, verdict in ((-0.01, "contradicted"), (-0.2, "supported")):
        finding = by_id(three(shift), **recipe)["modern_recipe"]
        assert (finding.verdict, finding.estimate) == (verdict, pytest.approx(-shift, abs=0.002))


def test_a_larger_window_is_compared_with_that_of_the_patch_in_the_same_trainings() -> None:
    """Seeds differ by far more than windows do: only in pairs is the difference decided."""
    own = study(threshold=False)
    shifts = own.scores["seed"].map({0: 0.0, 1: 0.1, 2: 0.2}).astype(float)
    rows = own.scores.assign(dsc=own.scores["dsc"] + shifts)
    sway = 0.001 * np.random.default_rng(4).standard_normal(len(rows))
    small = rows.assign(window=rows["patch_size"].astype(int))
    larger = rows.assign(window=48, dsc=rows["dsc"] + 0.05 + sway)[rows["patch_size"] < 48]
    windows = pd.concat([small, larger], ignore_index=True)
    found = by_id(replace(own, scores=rows, windows=windows))["window"]
    assert (found.estimate, found.verdict) == (pytest.approx(0.05, abs=0.001), "supported")
    assert "a window of 48 minus one of 16" in found.statistic
    assert found.cells == 3
    assert "window" not in by_id(replace(own, scores=rows, windows=small))


def widened(shift: float) -> Finding:
    """Widened, everything outside of the narrow range of patch 48 gains 0.1; ratios differ by `shift`."""
    own = study()
    wide = own.scores[own.scores["patch_size"].eq(48).fillna(False)].copy()
    low, high = RANGES[48]
    outside = (wide["fg_ratio"] <= low) | (wide["fg_ratio"] >= high)
    wide["dsc"] += np.where(outside, 0.1, -0.5) + 0.001 * np.random.default_rng(1).standard_normal(len(wide))
    wide = wide.assign(
        task="t_wide", filename="t_wide " + wide["filename"], fg_ratio=wide["fg_ratio"] + shift
    )
    scores = pd.concat([own.scores.assign(filename="t " + own.scores["filename"]), wide], ignore_index=True)
    ratios = own.ratios[own.ratios["patch_size"] == 48].assign(task="t_wide", foreground_ratio=[0.0, 1.0] * 6)
    every = replace(own, scores=scores, ratios=pd.concat([own.ratios, ratios]), converged=None)
    (found,) = findings_across(every, SETTINGS).findings
    assert (found.task, found.id) == ("t", "wide_range")
    assert "t_wide" not in {finding.task for finding in asked(every).findings}
    return found


def test_a_wide_range_is_judged_on_cases_outside_of_the_narrow_one_in_pairs_of_equal_volumes() -> None:
    paired, unpaired = widened(0.0), widened(1e-6)
    for finding in (paired, unpaired):
        assert finding.estimate == pytest.approx(0.1, abs=0.001)
        assert finding.cells == 12
        assert "UNet patch 48; Attention-UNet patch 48" in finding.statistic
    assert paired.verdict == "supported"
    assert paired.high - paired.low < 0.1 * (unpaired.high - unpaired.low)


def test_false_positives_and_misses_are_distinguished_on_the_smallest_third() -> None:
    own = study()
    rows = own.scores
    for over, verdict in ((True, "supported"), (False, "contradicted")):
        size = np.linspace(2.0, 3.0, len(rows))  # a prediction of twice the label, or of half of it
        dice = 2 / (1 + size)
        differing = size - 1 if over else 1 - 1 / size
        finding = by_id(replace(own, scores=rows.assign(dsc=dice, abs_diff=differing)))["small_objects"]
        assert finding.verdict == verdict
        (recall,) = finding.parts
        assert recall.estimate == pytest.approx(1.0 if over else np.mean(1 / size), abs=0.05)


@pytest.mark.slow
def test_a_verdict_that_depends_on_one_case_names_it() -> None:
    """One case is all of the difference between the networks."""
    own = study(noise=0.02)
    level = np.where(own.scores["model"] == "unet", 0.9, 0.8)
    sway = 0.001 * np.random.default_rng(4).standard_normal(len(level))
    one = own.scores["filename"] == "case 3"
    scores = own.scores.assign(dsc=level + sway)
    assert (
        by_id(replace(own, scores=scores), influence=True)["norm_at_smallest_patch"].depends_on_case is None
    )
    flat = scores.assign(dsc=np.where(one & (own.scores["model"] == "attention_unet"), 0.1, 0.9 + sway))
    # By the case alone: 0.04 on average, and 0 without it; a limit between the two is decided by it.
    finding = by_id(replace(own, scores=flat), influence=True, small_loss=0.039)["norm_at_smallest_patch"]
    assert (finding.verdict, finding.depends_on_case) == ("not decided", "case 3")


def test_a_verdict_that_rests_on_cells_that_have_not_converged_is_not_decided(
    made: dict[str, Finding],
) -> None:
    """One of the three trainings is left, which has no interval."""
    own = study()
    converged = {key: key[1:3] != ("attention_unet", 16) or key[3] == 2 for key in own.converged}
    found = by_id(replace(own, converged=converged))["norm_at_smallest_patch"]
    assert (made["norm_at_smallest_patch"].verdict, found.verdict) == ("supported", "not decided")
    assert found.reason == "supported only if cells count that have not converged"
    assert (found.estimate, found.not_converged) == (made["norm_at_smallest_patch"].estimate, 2)


def test_a_part_that_rests_on_cells_that_have_not_converged_is_not_decided_either() -> None:
    every = three(-0.2)
    cells = every.scores[CELL_COLUMNS].drop_duplicates().itertuples(index=False, name=None)
    converged = {cell: cell[1:3] != ("third", 16) for cell in cells}
    found = by_id(replace(every, converged=converged), exchanged_norms=PAIRS)["norm_at_smallest_patch"]
    reason = "supported only if cells count that have not converged"
    assert (found.verdict, found.reason) == ("not decided", reason)
    assert [(part.verdict, part.reason) for part in found.parts] == [
        ("supported", ""),
        ("not decided", reason),
    ]
    assert found.parts[1].low > SETTINGS.small_loss


def test_the_verdicts_alone_are_those_of_the_findings(made: dict[str, Finding]) -> None:
    assert verdicts(study(), SETTINGS) == {("t", name): finding.verdict for name, finding in made.items()}


def test_tasks_are_answered_in_the_order_of_the_results_each_from_its_own_rows() -> None:
    first, second = study(), study()
    both = Evidence(
        pd.concat(
            [first.scores.assign(task="z"), second.scores.assign(task="a", dsc=0.5)], ignore_index=True
        ),
        pd.concat([first.ratios.assign(task="z"), second.ratios.assign(task="a")], ignore_index=True),
        None,
    )
    found = asked(both).findings
    assert list(dict.fromkeys(f.task for f in found)) == ["z", "a"]
    assert {f.task: f.estimate for f in found if f.id == "slope_by_norm"}["a"] == 0.0


def test_with_test_sets_of_their_own_equal_names_pair_nothing() -> None:
    """The findings are those of cells whose cases have names that occur once; paired, they are others."""
    paired = study(noise=0.02, threshold=False)
    nested = replace(paired, nested=frozenset({"t"}))
    keys = paired.scores[["task", "model", "patch_size", "seed"]].astype(str).agg(" ".join, axis=1)
    renamed = replace(nested, scores=paired.scores.assign(filename=keys + paired.scores["filename"]))
    numbers = [
        [(f.id, f.estimate, f.low, f.verdict) for f in asked(evidence).findings if f.id != "small_objects"]
        for evidence in (nested, renamed, paired)
    ]
    assert numbers[0] == numbers[1] != numbers[2]


@pytest.mark.parametrize(
    ("low", "high", "verdicts"),
    [
        # above 0.05, below 0.05, above 0, between -0.05 and 0.05
        (0.051, 0.2, ("supported", "contradicted", "supported", "contradicted")),
        (0.05, 0.2, ("not decided", "not decided", "supported", "not decided")),
        (0.01, 0.05, ("not decided", "not decided", "supported", "not decided")),
        (0.01, 0.049, ("contradicted", "supported", "supported", "supported")),
        (-0.1, 0.1, ("not decided", "not decided", "not decided", "not decided")),
        (-0.1, 0.0, ("contradicted", "supported", "not decided", "not decided")),
        (-0.2, -0.06, ("contradicted", "supported", "contradicted", "contradicted")),
    ],
)
def test_an_interval_decides_where_it_is_as_a_whole_on_one_side(
    low: float, high: float, verdicts: tuple[str, ...]
) -> None:
    found = Interval((low + high) / 2, low, high)
    assert verdicts == (
        Claim(0.05).judge(found), confidence_intervals.below(found, 0.05), Claim(0.0).judge(found),
        Claim(-0.05, 0.05).judge(found),
    )  # fmt: skip


def test_published_magnitudes_come_back_and_are_next_to_the_findings(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "magnitudes.json"
    assert published_magnitudes(path) == {}
    own = asked(study())
    write_json(path, magnitudes(own))
    for finding in asked(study(), published_magnitudes(path)).findings:
        assert finding.published_estimate == pytest.approx(finding.estimate, abs=1e-6)
        assert finding.published_statistic == finding.statistic
    path.write_text('{"t": {"small_slope": {"estimate": 1}}}')
    with pytest.raises(UserError, match="is damaged"):
        published_magnitudes(path)
