"""Findings about context, on studies that were made to have, or not to have, what is claimed."""

from collections import Counter
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from made_twins import CONTEXT_SETTINGS, SPHERES, TWINS, Made, half, seen, study
from mutations import TIMES
from scipy import stats

from context_fbr.analysis.findings import assembly
from context_fbr.analysis.findings.assembly import verdicts_of
from context_fbr.analysis.findings.context.context_findings import context_findings, hypotheses
from context_fbr.analysis.findings.finding import Finding
from context_fbr.analysis.findings.verdicts.influence import deciding_case

CONTROLS = ("shells_removed", "per_voxel", "receptive_field_7", "equal_shells")


def by_id(made: Made, influence: bool = False) -> dict[tuple[str, str], Finding]:
    """Return the findings; without `influence` no test case is left out in turn, which takes ten seconds."""
    with mock.patch.object(assembly, "deciding_case", deciding_case if influence else lambda *_: ""):
        found = context_findings(made.evidence, made.variants, CONTEXT_SETTINGS)
    return {(finding.task, finding.id): finding for finding in found.findings}


def verdicts(made: Made) -> dict[tuple[str, str], str]:
    asked = hypotheses(made.evidence, made.variants, CONTEXT_SETTINGS)
    return verdicts_of(asked, made.evidence, 0.95)


@pytest.fixture(scope="module")
def made() -> Made:
    return study()


@pytest.fixture(scope="module")
def found(made: Made) -> dict[tuple[str, str], Finding]:
    return by_id(made)


def test_what_was_built_in_is_supported_and_every_control_holds(
    found: dict[tuple[str, str], Finding],
) -> None:
    assert {key: finding.verdict for key, finding in found.items()} == {
        ("twins", "context_at_equal_core"): "supported",
        ("twins", "dose_response"): "supported",
        ("twins", "ratio_at_equal_context"): "not decided",
        ("twins", "exchanged_shells"): "supported",
        ("twins", "published_recipe"): "supported",
        **{("twins", name): "supported" for name in CONTROLS},
        ("spheres", "no_context_needed"): "supported",
        ("spheres", "ratio_at_equal_context"): "supported",
    }
    roles = Counter(finding.role for (task, _), finding in found.items() if task == "twins")
    assert roles == {"primary": 2, "exploratory": 3, "control": 4}


def test_the_primary_magnitudes_are_those_by_pandas(
    made: Made, found: dict[tuple[str, str], Finding]
) -> None:
    rows = made.evidence.scores.query("task == 'twins'").assign(
        apart=lambda t: t["recall"] - t["distractor_recall"]
    )
    mean = rows.groupby(["model", "patch_size"])["apart"].mean()
    gains = [mean["unet_core16", 48] - mean["unet", 16], mean["attention_unet_batch_core16", 48] - mean["attention_unet_batch", 16]]  # fmt: skip
    first = found["twins", "context_at_equal_core"]
    assert first.estimate == pytest.approx(np.mean(gains))
    assert [part.estimate for part in first.parts] == pytest.approx(gains)
    far = rows[rows["design"] >= 16].groupby(["model", "patch_size"])["apart"].mean()
    near = rows[rows["design"] <= 12].groupby(["model", "patch_size"])["apart"].mean()
    grows = far - near
    doses = [grows["unet_core16", 32] - grows["unet", 16], grows["attention_unet_batch_core16", 48] - grows["attention_unet_batch", 16]]  # fmt: skip
    second = found["twins", "dose_response"]
    assert second.estimate == pytest.approx(np.mean(doses))
    assert [part.estimate for part in second.parts] == pytest.approx(doses)
    assert [part.name for part in second.parts] == ["UNet", "Attention-UNet, batch norm"]


def test_the_other_magnitudes_are_those_by_pandas(made: Made, found: dict[tuple[str, str], Finding]) -> None:
    rows = made.evidence.scores.assign(apart=lambda t: t["recall"] - t["distractor_recall"])
    dice = rows.groupby(["task", "model", "patch_size"])["dsc"].mean()
    apart = rows.groupby(["task", "model", "patch_size"])["apart"].mean()
    other = made.variants.assign(apart=lambda t: t["distractor_recall"] - t["recall"])
    swapped = other.query("variant == 'exchanged' and patch_size == 48").groupby("model")["apart"].mean()
    removed = other.query("variant == 'removed' and model in ('unet', 'attention_unet_batch')")
    recipe = [apart["twins", "unet", p] - apart["twins", "unet_published_recipe", p] for p in (16, 32, 48)]
    ratio = [dice["twins", f"{name}_core16", 48] - dice["twins", name, 48] for name in ("unet", "attention_unet_batch")]  # fmt: skip
    expected = {
        ("spheres", "no_context_needed"): dice["spheres", "unet_core16", 48] - dice["spheres", "unet", 16],
        ("spheres", "ratio_at_equal_context"): dice["spheres", "unet_core16", 48] - dice["spheres", "unet", 48],
        ("twins", "ratio_at_equal_context"): np.mean(ratio),
        ("twins", "exchanged_shells"): swapped[["unet", "attention_unet_batch"]].mean(),
        ("twins", "published_recipe"): np.mean(recipe),
        ("twins", "shells_removed"): -removed["apart"].mean(),
        ("twins", "per_voxel"): 0.0,
        ("twins", "receptive_field_7"): apart["twins", "receptive_field_7", 16],
        ("twins", "equal_shells"): apart["twins_equal", "unet", 32],
    }  # fmt: skip
    assert {key: found[key].estimate for key in expected} == pytest.approx(expected)


def test_one_network_without_context_leaves_the_primary_findings_undecided() -> None:
    def one(model: str, patch_size: int, core: int, distance: int) -> float:
        return 0.1 if model.startswith("attention") else seen(model, patch_size, core, distance)

    found = by_id(study(one))
    for name in ("context_at_equal_core", "dose_response"):
        finding = found["twins", name]
        assert finding.verdict == "not decided"
        assert [part.verdict == "supported" for part in finding.parts] == [True, False]
    assert found["twins", "context_at_equal_core"].low > 0


def test_a_larger_window_that_hurts_contradicts_and_one_that_helps_near_only_contradicts_the_dose() -> None:
    found = by_id(study(lambda _m, patch, core, _d: 0.9 - 0.01 * (patch - core)))
    assert found["twins", "context_at_equal_core"].verdict == "contradicted"
    found = by_id(study(lambda _m, patch, core, distance: 0.1 + 0.8 * (patch > core and distance < 13)))
    assert found["twins", "context_at_equal_core"].verdict == "supported"
    assert found["twins", "dose_response"].verdict == "contradicted"


@pytest.mark.parametrize(
    ("control", "changed"),
    [
        ("shells_removed", {"removed": lambda *_: 0.2}),
        ("equal_shells", {"equal": lambda *_: 0.2}),
        ("receptive_field_7", {"told": lambda m, p, c, d: 0.2 if m == "receptive_field_7" else seen(m, p, c, d)}),
    ],
)  # fmt: skip
def test_a_control_with_an_effect_is_contradicted_and_no_other(control: str, changed: dict) -> None:
    found = verdicts(study(**changed))
    assert found["twins", control] == "contradicted"
    assert {name for name in CONTROLS if found["twins", name] == "contradicted"} == {control}


def test_a_control_whose_interval_is_wide_supports_nothing(made: Made) -> None:
    noisy = made.variants.assign(
        recall=0.5 + 0.5 * np.random.default_rng(4).choice([-1, 1], len(made.variants))
    )
    assert verdicts(Made(made.evidence, noisy))["twins", "shells_removed"] == "not decided"


def test_shells_that_the_networks_do_not_read_leave_exchanged_shells_undecided_or_contradicted() -> None:
    found = verdicts(study(exchanged=lambda *_: 0.0))
    assert found["twins", "exchanged_shells"] == "not decided"
    found = verdicts(study(exchanged=lambda *_: -0.8))
    assert found["twins", "exchanged_shells"] == "contradicted"


def test_an_effect_on_spheres_contradicts_that_no_context_is_needed_there() -> None:
    found = verdicts(study(spheres=lambda _m, patch, core: 0.8 + 0.1 * (patch > core)))
    assert found["spheres", "no_context_needed"] == "contradicted"


def test_what_the_study_lacks_is_not_asked_and_says_why(made: Made) -> None:
    few = made.evidence.scores.query("model in ('unet', 'attention_unet_batch') and task != 'twins_equal'")
    found = context_findings(replace(made.evidence, scores=few), None, CONTEXT_SETTINGS)
    assert found.findings == ()
    reasons = {(absent.task, absent.id): absent.reason for absent in found.not_asked}
    assert {task for task, _ in reasons} == {"twins"}  # spheres without a core are not about context
    assert reasons["twins", "equal_shells"] == "no task twins_equal"
    assert len(reasons) == 9
    assert all(reasons.values())


def test_a_case_that_decides_is_named(made: Made) -> None:
    rows = made.evidence.scores
    one = rows["filename"] == "spheres_7.nii.gz"
    low = rows["dsc"].where(~(one & (rows["model"] == "unet_core16") & (rows["patch_size"] == 48)), 0.2)
    of_spheres = replace(made.evidence, scores=rows.assign(dsc=low).query("task == 'spheres'"))
    decided = by_id(Made(of_spheres, made.variants), influence=True)["spheres", "no_context_needed"]
    assert decided.verdict == "not decided"
    assert decided.depends_on_case == "spheres_7.nii.gz"


def test_cells_that_have_not_converged_leave_a_verdict_undecided(made: Made) -> None:
    known = {key: key[3] == 1 for key in made.evidence.converged or {}}
    finding = by_id(Made(replace(made.evidence, converged=known), made.variants))
    first = finding["twins", "context_at_equal_core"]
    assert first.verdict == "not decided"
    assert (first.cells, first.not_converged) == (12, 8)


def test_the_tables_are_of_all_configurations_that_were_made(made: Made) -> None:
    assert (
        len(TWINS) + len(SPHERES) + 1 == made.evidence.scores.groupby(["task", "model", "patch_size"]).ngroups
    )


def most(studies: int) -> int:
    """Errors that a rate of 5 % exceeds in one of a thousand simulations."""
    return int(stats.binom.ppf(0.999, studies, 0.05))


@pytest.mark.parametrize("studies", [8, pytest.param(80 * TIMES, marks=pytest.mark.long)])
def test_studies_in_which_patch_and_core_do_not_matter_find_no_effect(studies: int) -> None:
    errors: Counter[str] = Counter()
    wrong = {
        ("twins", "context_at_equal_core"),
        ("twins", "dose_response"),
        ("twins", "ratio_at_equal_context"),
        ("twins", "published_recipe"),
        ("spheres", "ratio_at_equal_context"),
    }

    for seed in range(studies):
        made = study(half, 100 + seed, spheres=lambda *_: 0.95)
        found = verdicts(made)
        errors.update(f"{task} {name}" for task, name in wrong if found[task, name] != "not decided")
        errors.update(name for name in ("shells_removed", "equal_shells") if found["twins", name] == "contradicted")  # fmt: skip
    assert {name: count for name, count in errors.items() if count > most(studies)} == {}
