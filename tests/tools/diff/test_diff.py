"""`context-fbr diff`: differences between commits, with their intervals, from what git keeps alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from result_repository import CASES, LEVELS, SHIFTS, Repository, scores
from scipy import stats
from workspace import ROOT

from context_fbr.analysis.confidence_intervals import Interval
from context_fbr.config.analysis import Analysis
from context_fbr.config.document import Document
from context_fbr_tools.diff import scores as comparison_scores
from context_fbr_tools.diff.results import read_results
from context_fbr_tools.diff.scores import compare_scores
from context_fbr_tools.diff.snapshot import changed_files, snapshot


def test_where_seeds_agree_the_interval_is_that_of_the_paired_t_test() -> None:
    (found,) = compare_scores(scores(LEVELS), scores(LEVELS + SHIFTS), 0.95)
    expected = stats.ttest_rel(LEVELS + SHIFTS, LEVELS).confidence_interval(0.95)
    assert found.dice.difference.estimate == pytest.approx(0.06)
    assert (found.dice.difference.low, found.dice.difference.high) == pytest.approx(tuple(expected))
    assert (found.seeds, found.paired_cases) == (2, 6)
    higher = stats.ttest_rel(LEVELS + SHIFTS, LEVELS, alternative="greater").pvalue
    assert found.dice.p == pytest.approx(higher, rel=0.01)


def test_with_one_seed_the_interval_over_the_cases_is_that_of_the_paired_t_test() -> None:
    (found,) = compare_scores(scores(LEVELS, (1,)), scores(LEVELS + SHIFTS, (1,)), 0.95)
    assert found.dice.one_seed
    assert found.dice.difference == Interval(found.dice.difference.estimate, None, None)
    expected = stats.ttest_rel(LEVELS + SHIFTS, LEVELS).confidence_interval(0.95)
    over_cases = found.dice.over_cases
    assert (over_cases.estimate, over_cases.low, over_cases.high) == pytest.approx((0.06, *expected))
    distances = found.hausdorff.over_cases
    assert (distances.estimate, distances.low) == pytest.approx((-0.6, -10 * expected[1]))
    lower = stats.ttest_rel(-10 * (LEVELS + SHIFTS), -10 * LEVELS, alternative="less").pvalue
    assert found.hausdorff.p == pytest.approx(lower, rel=0.01)
    (same,) = compare_scores(scores(LEVELS, (1,)), scores(LEVELS, (1,)), 0.95)
    assert same.dice.difference == same.dice.over_cases == Interval(0.0, 0.0, 0.0)
    assert same.dice.p is None


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [((1, 2), 2 * 3 - 2 * 1), ((3, 4), round((3 / 6 - 1 / 6) * 12))],
    ids=["seeds of both", "no common seed"],
)
def test_scores_that_became_undefined_are_counted_less_those_that_became_defined(
    seeds: tuple[int, ...], expected: int
) -> None:
    before, after = scores(LEVELS), scores(LEVELS + SHIFTS, seeds)
    before.loc[before["filename"] == "case_0", "hausdorff"] = np.nan
    after.loc[after["filename"].isin(["case_3", "case_4", "case_5"]), "hausdorff"] = np.nan
    (found,) = compare_scores(before, after, 0.95)
    assert (found.hausdorff.lost, found.dice.lost) == (expected, 0)


def test_where_only_seeds_differ_the_interval_is_welch_s() -> None:
    """Unpaired, although the seeds' numbers are the same."""
    before, after = (np.array(x) for x in ([0.70, 0.74, 0.81], [0.80, 0.83, 0.88]))
    frames = [
        pd.concat([scores(np.full(6, level), (seed,)) for seed, level in enumerate(levels)])
        for levels in (before, after)
    ]
    (found,) = compare_scores(*frames, 0.9)
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.9)
    assert (found.dice.difference.low, found.dice.difference.high) == pytest.approx(tuple(expected))


def test_up_is_good_for_dice_and_down_for_hausdorff() -> None:
    (up,) = compare_scores(scores(LEVELS), scores(LEVELS + SHIFTS), 0.95)
    assert (up.dice.verdict, up.hausdorff.verdict) == ("better", "better")
    assert up.hausdorff.difference.estimate == pytest.approx(-0.6)
    (down,) = compare_scores(scores(LEVELS + SHIFTS), scores(LEVELS), 0.95)
    assert (down.dice.verdict, down.hausdorff.verdict) == ("worse", "worse")
    wide = SHIFTS - 0.06
    (neither,) = compare_scores(scores(LEVELS), scores(LEVELS + wide), 0.95)
    assert (neither.dice.verdict, neither.hausdorff.verdict) == ("not decided", "not decided")


def test_equal_scores_are_unchanged_and_not_merely_undecided() -> None:
    shuffled = scores(LEVELS).sample(frac=1, random_state=0)
    (found,) = compare_scores(scores(LEVELS), shuffled, 0.95)
    assert found.dice.verdict == found.hausdorff.verdict == "unchanged"
    assert found.dice.difference.estimate == 0


def test_a_case_of_another_foreground_ratio_is_another_case() -> None:
    """One changed label leaves five pairs; six changed labels leave none, and the interval is unpaired."""
    one, all_six = scores(LEVELS + SHIFTS), scores(LEVELS + SHIFTS)
    one.loc[one["filename"] == "case_0", "fg_ratio"] += 0.001
    all_six["fg_ratio"] += 0.001
    (five,) = compare_scores(scores(LEVELS), one, 0.95)
    (none,) = compare_scores(scores(LEVELS), all_six, 0.95)
    (pairs,) = compare_scores(scores(LEVELS), scores(LEVELS + SHIFTS), 0.95)
    assert (five.paired_cases, none.paired_cases) == (5, 0)
    widths = [c.dice.difference.high - c.dice.difference.low for c in (pairs, five, none)]
    assert widths[0] < widths[1] < widths[2]
    assert none.dice.difference.estimate == pytest.approx(0.06)


def test_a_seed_that_one_side_lacks_counts_in_the_mean_and_not_in_the_difference() -> None:
    after = pd.concat([scores(LEVELS), scores(LEVELS - 0.3, (3,))])
    (found,) = compare_scores(scores(LEVELS), after, 0.95)
    assert found.seeds == 2
    assert found.dice.verdict == "unchanged in the seeds of both"
    assert found.dice.difference.estimate == 0
    assert found.dice.after.estimate == pytest.approx(LEVELS.mean() - 0.1)


def test_trainings_under_other_numbers_are_no_change() -> None:
    """Seed 3 is another training on either side: it alone would report a change that there is not."""
    levels = (LEVELS - 0.1, LEVELS, LEVELS + 0.1)
    before, after = (
        pd.concat([scores(level, (seed,)) for level, seed in zip(levels, seeds, strict=True)])
        for seeds in ((3, 4, 5), (1, 2, 3))
    )
    (found,) = compare_scores(before, after, 0.95)
    assert found.dice.difference.estimate == pytest.approx(0)
    assert found.dice.verdict == "not decided"
    assert found.dice.difference.low is not None


def test_without_a_common_seed_all_are_compared() -> None:
    (found,) = compare_scores(scores(LEVELS, (1, 2)), scores(LEVELS + SHIFTS, (3, 4)), 0.95)
    assert (found.seeds, found.dice.verdict) == (0, "better")


def test_a_prediction_that_became_empty_is_counted_and_leaves_the_distance_of_both_sides() -> None:
    after = scores(LEVELS)
    after.loc[after["filename"] == "case_5", ["dsc", "hausdorff"]] = [0.0, np.nan]
    (found,) = compare_scores(scores(LEVELS), after, 0.95)
    assert (found.hausdorff.undefined_before, found.hausdorff.undefined_after) == (0, 2)
    assert found.hausdorff.difference.estimate == pytest.approx(0)
    assert found.dice.difference.estimate == pytest.approx(-0.9 / 6)


def test_a_change_is_reported_from_its_parameters_to_its_figures(
    repository: Repository, change: Callable[[str, str], object]
) -> None:
    path = repository.path
    (path / "plots" / "sub").mkdir(parents=True)
    (path / "plots" / "sub" / "dice.png").write_bytes(b"old")
    (path / "src").mkdir()
    (path / "src" / "step.py").write_text("one = 1\n")
    (path / "src" / "tool.py").write_text("one = 1\n")
    (path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: x\n    deps: [src/step.py]\n")
    (path / "constraints.txt").write_text("torch==2.12.0\nmonai==1.6.1\n")
    lock = "stages:\n  raw@a:\n    outs:\n    - {{path: data/raw/a, md5: {0}, size: 2000, nfiles: 3}}\n"
    (path / "dvc.lock").write_text(lock.format("0123456789.dir"))
    repository.commit(pd.concat([scores(LEVELS), scores(LEVELS, model="unetr")]))
    change("learning_rate: 0.005", "learning_rate: 0.001")
    (path / "plots" / "sub" / "dice.png").write_bytes(b"new")
    (path / "plots" / "first.png").write_bytes(b"first")
    (path / "src" / "step.py").write_text("one = 2\n")
    (path / "src" / "tool.py").write_text("one = 2\n")
    (path / "constraints.txt").write_text("torch==2.13.0\nmonai==1.6.1\n")
    (path / "dvc.lock").write_text(lock.format("abcdef0123.dir"))
    repository.commit(pd.concat([scores(LEVELS + SHIFTS), scores(LEVELS, model="unetr", size=32)]))

    text = repository.diff("HEAD~1", "HEAD", "--json", "diff.json", "--figures", "figures").stdout
    for line in (
        "| `train.learning_rate` | 0.005 | 0.001 |",
        "* `src/step.py` (train)",
        "| `torch` | 2.12.0 | 2.13.0 |",
        "| `data/raw/a` | `0123456 (3 files, 2,000 bytes)` | `abcdef0 (3 files, 2,000 bytes)` |",
        "+0.060 [+0.030, +0.090] **better**",
        "* New cells: `spheres-unetr-32-1`, `spheres-unetr-32-2`",
        "* Cells that are gone: `spheres-unetr-16-1`, `spheres-unetr-16-2`",
        "| (none) | ![plots/first.png, after](figures/after/first.png) |",
        "![plots/sub/dice.png, before](figures/before/sub/dice.png)",
    ):
        assert line in text
    assert "(figures/differences.png)" in text
    assert (path / "figures/differences.png").read_bytes().startswith(b"\x89PNG")
    assert "Mean Dice of networks by patch size: 1 better. 2 cells are new. 2 cells are gone." in text
    assert "tool.py" not in text
    assert "monai" not in text
    assert (path / "figures/before/sub/dice.png").read_bytes() == b"old"
    assert (path / "figures/after/sub/dice.png").read_bytes() == b"new"

    tree = json.loads((path / "diff.json").read_text())
    assert tree["base"]["commit"] == repository.git("rev-parse", "HEAD~1")
    assert tree["inputs"]["parameters"] == [
        {"name": "train.learning_rate", "before": "0.005", "after": "0.001"}
    ]
    (configuration,) = tree["configurations"]
    assert configuration["dice"]["difference"]["estimate"] == 0.06
    assert configuration["dice"]["verdict"] == configuration["hausdorff_voxels"]["verdict"] == "better"
    assert tree["cells"]["gone"] == ["spheres-unetr-16-1", "spheres-unetr-16-2"]

    url = "https://example.org/blob/{commit}/{path}"
    linked = repository.diff("HEAD~1", "HEAD", "--image-url", url).stdout
    for commit, name in (("HEAD~1", "sub/dice.png"), ("HEAD", "sub/dice.png"), ("HEAD", "first.png")):
        assert f"https://example.org/blob/{repository.git('rev-parse', commit)}/plots/{name}" in linked


def test_the_folder_with_its_uncommitted_changes_can_be_compared(
    repository: Repository, change: Callable[[str, str], object]
) -> None:
    repository.commit(scores(LEVELS))
    assert "Nothing of the study that git keeps differs" in repository.diff("HEAD").stdout
    change("learning_rate: 0.005", "learning_rate: 0.001")
    scores(LEVELS - SHIFTS).to_csv(repository.path / "metrics/spheres/cases.csv", index=False)
    text = repository.diff("HEAD").stdout
    assert "→ workspace" in text
    assert "| `train.learning_rate` | 0.005 | 0.001 |" in text
    assert "-0.060 [-0.090, -0.030] **worse**" in text


def test_designed_cases_are_read_from_a_commit_and_an_older_one_without_the_column_has_random_ones(
    repository: Repository,
) -> None:
    """On a straight line along the design no case is off its neighbours; a random sample would vary."""
    line = np.linspace(0.5, 0.9, len(CASES))
    radii = dict(zip(CASES, np.arange(2.0, 2 + len(CASES)), strict=True))
    repository.commit(scores(line))
    repository.commit(scores(line).assign(design=lambda rows: rows["filename"].map(radii)))
    baseline = scores(line).assign(design=np.nan)
    repository.commit(baseline)
    settings = Document.read(repository.path / "params.yaml").section(("analysis",), Analysis)
    with chdir(repository.path):
        old, designed, random = (
            read_results(snapshot(name), settings).scores for name in ("HEAD~2", "HEAD~1", "HEAD")
        )
    assert "design" not in old
    assert designed["design"].tolist() == 2 * list(radii.values())
    (found,) = compare_scores(old, designed, 0.95)
    assert found.dice.after == Interval(pytest.approx(0.7), pytest.approx(0.7), pytest.approx(0.7))
    assert found.dice.before.low < 0.6
    (found,) = compare_scores(old, random, 0.95)
    assert found.dice.before == found.dice.after


@pytest.mark.parametrize(
    ("after", "validation_change", "regressions"),
    [
        (scores(LEVELS - 0.019), 0.001, []),
        (scores(LEVELS + SHIFTS), 0.001, []),
        (scores(LEVELS - 0.021), 0.001, ["spheres, UNet, patch 16: Dice -0.021, more than 0.02 worse"]),
        # On average 0.03 worse, which may be chance.
        (scores(LEVELS - 0.03 + np.array([-0.1, 0.1, -0.1, 0.1, -0.1, 0.1])), 0.001, []),
        # A single seed: the interval over the cases decides.
        (
            scores(LEVELS - 0.03, (1,)),
            0.001,
            [
                "spheres, UNet, patch 16: Dice -0.030, more than 0.02 worse, over the cases alone: one seed",
                "cells that are gone, with their configuration in the grid: spheres-unet-16-2",
            ],
        ),
        (
            scores(LEVELS - 0.3),
            0.001,
            [
                "spheres, UNet, patch 16: Dice -0.300, more than 0.02 worse",
                "spheres, UNet, patch 16: Hausdorff distance +3.000 voxels, more than 2 worse",
            ],
        ),
        (
            scores(LEVELS),
            0.5,
            ["no longer converged, more than 0 cells: spheres-unet-16-1, spheres-unet-16-2"],
        ),
    ],
)
def test_what_is_worse_beyond_the_limits_is_a_regression(
    repository: Repository, after: pd.DataFrame, validation_change: float, regressions: list[str]
) -> None:
    base = repository.commit(scores(LEVELS))
    repository.commit(after, validation_change)
    done = repository.diff(base, "HEAD", "--fail-on-regression", expect=1 if regressions else 0)
    assert done.stderr.splitlines() == [f"regression: {line}" for line in regressions]
    assert ("**No regressions.**" in done.stdout) is not bool(regressions)
    assert all(f"* {line}" in done.stdout for line in regressions)
    repository.diff(base, "HEAD")  # exits with 0 unless asked to judge


def test_what_may_be_chance_is_distinguished_from_a_regression(repository: Repository) -> None:
    base = repository.commit(scores(LEVELS))
    repository.commit(scores(LEVELS - 0.03 + np.array([-0.1, 0.1, -0.1, 0.1, -0.1, 0.1])))
    text = repository.diff(base, "HEAD", "--fail-on-regression").stdout
    told = "Beyond the limits, too, but perhaps by chance (Holm's correction for all that changed):\n\n"
    assert f"**No regressions.**\n\n{told}* spheres, UNet, patch 16: Dice -0.030" in text


def test_rules_that_the_change_itself_loosens_are_noted(
    repository: Repository, change: Callable[[str, str], object]
) -> None:
    repository.commit(scores(LEVELS))
    change("regression:\n  dice: 0.02", "regression:\n  dice: 1.0")
    repository.commit(scores(LEVELS - 0.1))
    assert "**Note:** the rules differ, too (`regression.dice`)" in repository.diff("HEAD~1", "HEAD").stdout


def test_cases_that_cannot_be_paired_are_noted(repository: Repository) -> None:
    repository.commit(scores(LEVELS))
    other = scores(LEVELS)
    other.loc[other["filename"] == "case_3", "fg_ratio"] *= 1.1
    repository.commit(other)
    text = repository.diff("HEAD~1", "HEAD").stdout
    assert "**Note:** spheres: 5 of 6 test cases are the same on both sides" in text


def test_another_result_that_differs_is_listed(repository: Repository) -> None:
    repository.commit(scores(LEVELS))
    (repository.path / "metrics/spheres/findings.json").write_text("{}")
    repository.commit(scores(LEVELS))
    text = repository.diff("HEAD~1", "HEAD").stdout
    assert "Nothing of the study" not in text
    assert "* `metrics/spheres/findings.json`" in text


def test_a_value_of_a_parameter_cannot_break_the_table(
    repository: Repository, change: Callable[[str, str], object]
) -> None:
    repository.commit(scores(LEVELS))
    change("    num_res_units: 2\n    norm: batch", '    num_res_units: 2\n    norm: "a\\n\\n<h1>x</h1> | y"')
    repository.commit(scores(LEVELS))
    text = repository.diff("HEAD~1", "HEAD").stdout
    assert "| `models.unet.norm` | batch | `a\\n\\n<h1>x</h1> \\| y` |" in text


def test_results_that_are_gone_are_a_regression_and_results_that_are_new_are_not(
    repository: Repository,
) -> None:
    repository.commit(None)
    repository.commit(scores(LEVELS))
    repository.git("rm", "-qr", "metrics")
    repository.commit(None)
    first = repository.diff("HEAD~2", "HEAD~1", "--fail-on-regression", expect=1)
    assert first.stderr.startswith("regression: nothing is compared: HEAD~2")
    new = first.stdout
    assert "has no cases.csv and no cells.csv" in new
    assert "* New cells: `spheres-unet-16-1`, `spheres-unet-16-2`" in new
    gone = repository.diff("HEAD~1", "HEAD", "--fail-on-regression", expect=1)
    assert "regression: cases.csv is gone" in gone.stderr


def test_equal_commits_and_commits_without_a_common_cell_say_so(repository: Repository) -> None:
    repository.commit(scores(LEVELS))
    repository.commit(scores(LEVELS + SHIFTS, model="unetr"))
    same = repository.diff("HEAD", "main", "--fail-on-regression").stdout
    assert "are the same commit" in same
    assert "Nothing of the study that git keeps differs" in same
    other = repository.diff("HEAD~1", "HEAD").stdout
    assert "**Nothing is compared.**" in other


def test_a_network_with_another_name_and_the_same_scores_is_compared_with_itself(
    repository: Repository,
) -> None:
    repository.commit(scores(LEVELS))
    repository.commit(scores(LEVELS, model="batch"))
    found = repository.diff("HEAD~1", "HEAD", "--fail-on-regression", "--json", "diff.json")
    assert "spheres: unet has the name batch now, and the same scores" in found.stdout
    tree = json.loads((repository.path / "diff.json").read_text())
    assert [(c["model"], c["dice"]["verdict"]) for c in tree["configurations"]] == [("batch", "unchanged")]
    # One score that differs: it may be another network.
    repository.commit(scores(LEVELS + np.array([0, 0, 0, 0, 0, 1e-9])))
    repository.diff("HEAD~1", "HEAD", "--fail-on-regression", expect=1)


def test_findings_with_another_verdict_are_named(repository: Repository) -> None:
    def findings(*verdicts: str) -> str:
        return json.dumps(
            {
                "findings": [
                    {"task": "spheres", "id": str(n), "statement": f"statement {n}", "verdict": verdict}
                    for n, verdict in enumerate(verdicts)
                ]
            }
        )

    path = repository.path / "metrics/spheres/findings.json"
    repository.commit(scores(LEVELS))
    for text in (findings("supported", "not decided"), findings("not decided", "not decided"), "{", "[1]"):
        path.write_text(text)
        repository.commit(None)
    text = repository.diff("HEAD~3", "HEAD~2").stdout
    assert "* spheres: `statement 0`: supported, now `not decided`" in text
    assert "statement 1" not in text
    for pair in (("HEAD~2", "HEAD~1"), ("HEAD~1", "HEAD")):
        assert "another verdict" not in repository.diff(*pair).stdout


def test_another_rule_of_convergence_is_no_change_of_the_trainings(
    repository: Repository, change: Callable[[str, str], object]
) -> None:
    repository.commit(scores(LEVELS), 0.015)
    change("convergence_tolerance: 0.02", "convergence_tolerance: 0.01")
    repository.commit(scores(LEVELS), 0.015)
    text = repository.diff("HEAD~1", "HEAD", "--fail-on-regression").stdout
    assert "No longer converged" not in text
    assert "Not converged after the change, all in all: `spheres-unet-16-1`, `spheres-unet-16-2`" in text


def test_a_shallow_clone_says_how_to_fetch_what_it_lacks(repository: Repository, tmp_path: Path) -> None:
    base = repository.commit(scores(LEVELS))
    repository.commit(scores(LEVELS + SHIFTS))
    clone = Repository(tmp_path / "clone")
    repository.git("clone", "-q", "--depth", "1", repository.path.as_uri(), str(clone.path))
    refused = clone.diff(base, "HEAD", expect=1).stderr
    assert "which is shallow" in refused
    assert "git fetch --unshallow" in refused
    clone.git("fetch", "-q", "--unshallow")
    assert "**better**" in clone.diff(base, "HEAD").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "nowhere: is no commit, branch or tag of this clone"),
        (["--", "--output=x"], "--output=x: is no commit"),
        (["HEAD", "--figures", "metrics"], "metrics: is there already"),
        (["HEAD", "--figures", "x", "--image-url", "y"], "give one of them"),
    ],
)
def test_bad_arguments_are_one_clear_error(
    repository: Repository, arguments: list[str], expected: str
) -> None:
    repository.commit(scores(LEVELS))
    done = repository.diff(*arguments, expect=1)
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("metrics/spheres/cases.csv", "task,model\na,b\n", "columns ['task', 'model'], expected"),
        ("metrics/spheres/cases.csv", "", "columns [], expected"),
        ("metrics/spheres/cells.csv", "task,model,patch_size,seed,best_validation_dice,last_validation_change\na,b,x,1,1,1\n", "cannot be compared"),
        ("metrics/spheres/cases.csv", "task,model,patch_size,seed,filename,dsc,hausdorff,abs_diff,fg_ratio\na,unet,,1,x,1,1,1,1\n", "cases.csv:2: a network without patch size or seed"),
        ("metrics/spheres/cells.csv", "task,model,patch_size,seed,best_validation_dice,last_validation_change\na,b,1,,1,1\n", "cells.csv:2: a network without patch size or seed"),
        ("dvc.yaml", "stages:\n", "stages: is not a mapping"),
        ("params.yaml", "grid: [}\n", "params.yaml:1: is not valid YAML"),
        ("dvc.lock", "- a\n", "is not a mapping"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_its_commit(
    repository: Repository, path: str, content: str, expected: str
) -> None:
    before = {name: (repository.path / name).read_text() for name in ("params.yaml",)}
    repository.commit(scores(LEVELS))
    (repository.path / path).write_text(content)
    repository.git("add", "-A")
    repository.git("commit", "-qm", "Damage")
    damaged = repository.git("rev-parse", "--short=7", "HEAD")
    for name, text in before.items():
        (repository.path / name).write_text(text)
    done = repository.diff("HEAD~1", "HEAD", expect=1)
    assert f"{damaged}:{path}:" in done.stderr
    assert expected in done.stderr


def test_a_project_in_a_subfolder_of_a_repository_is_compared_by_its_own_files(
    params: Path, tmp_path: Path
) -> None:
    inner = Repository(tmp_path / "outer" / "study")
    inner.path.mkdir(parents=True)
    params.rename(inner.path / "params.yaml")
    Repository(inner.path.parent).git("init", "-q", "-b", "main")
    (inner.path.parent / "plots").mkdir()
    (inner.path / "plots").mkdir()
    for change in ("old", "new"):
        (inner.path.parent / "plots" / "theirs.png").write_text(change)
        (inner.path / "plots" / "ours.png").write_text(change)
        inner.commit(scores(LEVELS + (change == "new") * SHIFTS))
    text = inner.diff("HEAD~1", "HEAD").stdout
    assert "* `plots/ours.png`" in text
    assert "theirs" not in text
    assert "**better**" in text


def test_outside_of_git_there_is_nothing_to_compare(params: Path) -> None:
    done = Repository(params.parent).diff("HEAD", expect=1)
    assert "not a git repository" in done.stderr


def test_neither_dvc_nor_torch_is_needed(repository: Repository) -> None:
    repository.commit(scores(LEVELS))
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('dvc', 'torch', 'monai', 'matplotlib'):\n"
        "            raise AssertionError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from context_fbr_tools.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code, "diff", "HEAD"]
    done = subprocess.run(
        command, cwd=repository.path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_json_of_a_comparison_has_each_score_s_own_numbers(repository: Repository) -> None:
    """One Dice goes up by 0.06, one distance goes down by 0.6 voxels, and both have other means."""
    after = scores(LEVELS + SHIFTS)
    after.loc[after["filename"] == "case_5", "hausdorff"] = np.nan
    repository.commit(pd.concat([scores(LEVELS), baseline(0.3)]))
    repository.commit(pd.concat([after, baseline(0.2)]), 0.5)
    repository.diff("HEAD~1", "HEAD", "--json", "diff.json")
    tree = json.loads((repository.path / "diff.json").read_text())
    network, threshold = tree["configurations"]
    assert {name: network[name] for name in ("task", "model", "patch_size", "seeds", "cases", "paired_cases")} == {
        "task": "spheres", "model": "unet", "patch_size": 16, "seeds": 2, "cases": 6, "paired_cases": 6,
    }  # fmt: skip
    dice, distance = network["dice"], network["hausdorff_voxels"]
    assert (dice["before"]["estimate"], dice["after"]["estimate"]) == (0.8, 0.86)
    assert (dice["undefined_before"], dice["undefined_after"]) == (0, 0)
    assert dice["difference"]["estimate"] == 0.06
    assert 0 < dice["difference"]["low"] < 0.06 < dice["difference"]["high"]
    assert distance["before"]["estimate"] == 2.0
    five = (1 - (LEVELS + SHIFTS)[:5]).mean()
    assert distance["after"]["estimate"] == pytest.approx(10 * five, abs=1e-6)
    assert (distance["undefined_before"], distance["undefined_after"]) == (0, 2)
    assert distance["difference"]["estimate"] == pytest.approx(-10 * SHIFTS[:5].mean(), abs=1e-6)
    assert distance["difference"]["low"] < distance["difference"]["high"] < 0
    assert (dice["verdict"], distance["verdict"]) == ("better", "better")
    assert (threshold["model"], threshold["patch_size"], threshold["seeds"]) == ("threshold", None, 0)
    assert threshold["dice"]["difference"]["estimate"] == -0.1
    assert (tree["format"], tree["same"], tree["confidence"]) == (1, False, 0.95)
    assert (tree["base"]["name"], tree["head"]["name"]) == ("HEAD~1", "HEAD")
    assert tree["cells"]["no_longer_converged"] == ["spheres-unet-16-1", "spheres-unet-16-2"]
    assert tree["other_results"] == ["metrics/spheres/cases.csv", "metrics/spheres/cells.csv"]
    assert tree["figures"] == []
    assert len(tree["regressions"]) == 2  # a distance that is undefined now is lost, too


def baseline(dice: float) -> pd.DataFrame:
    """The same Dice for every case, without patch size and seed."""
    rows = scores(np.full(len(CASES), dice), (1,), model="threshold")
    return rows.assign(patch_size=pd.NA, seed=pd.NA).astype({"patch_size": "Int64", "seed": "Int64"})


def test_a_new_file_that_git_ignores_is_no_difference(repository: Repository) -> None:
    """Ignored: what programs leave about. New: what the user has not added yet."""
    (repository.path / ".gitignore").write_text("/plots/cache/\n*.tmp\n")
    repository.commit(scores(LEVELS))
    for name in ("plots/cache/old.png", "metrics/x.tmp", "plots/new.png"):
        (repository.path / name).parent.mkdir(parents=True, exist_ok=True)
        (repository.path / name).write_bytes(b"x")
    with chdir(repository.path):
        base, here = snapshot("HEAD"), snapshot(None)
        assert changed_files(base, here) == ["plots/new.png"]
        repository.git("add", "-A")
        assert changed_files(base, here) == ["plots/new.png"]
        repository.git("commit", "-qm", "New")
        assert changed_files(base, snapshot("HEAD")) == ["plots/new.png"]
        assert changed_files(base, base) == []
        (repository.path / "plots/new.png").unlink()
        assert changed_files(snapshot("HEAD"), here) == ["plots/new.png"]


@pytest.mark.parametrize(
    ("low", "high", "dice", "hausdorff"),
    [
        (0.01, 0.3, "better", "worse"),
        (-0.3, -0.01, "worse", "better"),
        (0.0, 0.3, "not decided", "not decided"),
        (-0.3, 0.0, "not decided", "not decided"),
        (-0.1, 0.1, "not decided", "not decided"),
    ],
)
def test_a_change_is_decided_by_an_interval_next_to_0(
    low: float, high: float, dice: str, hausdorff: str
) -> None:
    found = Interval((low + high) / 2, low, high)
    assert comparison_scores._verdict(found, comparison_scores.SIGNS["dice"]) == dice
    assert comparison_scores._verdict(found, comparison_scores.SIGNS["hausdorff"]) == hausdorff
