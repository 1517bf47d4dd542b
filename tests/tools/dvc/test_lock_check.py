"""`context-fbr check-lock`: dvc.lock against code, parameters and committed files, without data."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import Workspace

from context_fbr_tools.dvc.lock_check import inconsistencies

NEXT = "error: dvc.lock does not describe this checkout: run `make repro`"


@pytest.fixture
def clone(committed: Workspace, tmp_path: Path) -> Workspace:
    """As continuous integration sees it: no data, no cache, no remote."""
    clone = committed.clone(tmp_path / "clone")
    clone.dvc("remote", "remove", "local")
    return clone


def problems(workspace: Workspace) -> list[str]:
    """What check-lock says of each stage, without the line that says what to do."""
    lines = workspace.context_fbr("check-lock", expect=1).stderr.splitlines()
    assert lines.pop().startswith(NEXT)
    return [line.removeprefix("error: ") for line in lines]


def test_a_clone_without_data_is_described(clone: Workspace) -> None:
    assert clone.context_fbr("check-lock").stdout == "dvc.lock: describes this checkout\n"


@pytest.mark.slow
def test_what_changed_after_the_run_is_named_by_stage_file_and_state(clone: Workspace) -> None:
    clone.edit("params.yaml", "  patches_per_volume: 2", "  patches_per_volume: 3")
    clone.edit("dvc.yaml", "-m context_fbr.raw ", "-B -m context_fbr.raw ")
    with (clone.path / "src/context_fbr/baseline.py").open("a") as file:
        file.write("A_CHANGE = 1\n")
    (clone.path / "src/context_fbr/paper.py").unlink()
    clone.edit("metrics/spheres/summary.json", '"unet"', '"vnet"')
    (clone.path / "plots/spheres/by_hand.csv").write_text("a\n")
    (clone.path / "plots/overlays/spheres.png").unlink()
    assert sorted(problems(clone)) == [
        "analyze@spheres: metrics/spheres: modified",
        "analyze@spheres: plots/spheres: modified",
        "code: src/context_fbr: modified",
        "data/code/baseline.json: holds the hashes of other code, src/context_fbr/baseline.py changed; run `dvc repro code`, then this again",
        "overlay@spheres: plots/overlays/spheres.png: deleted",
        "raw@spheres: command: changed",
        "train@spheres-attention_unet-16-1: params.yaml: train: modified",
        "train@spheres-unet-16-1: params.yaml: train: modified",
    ]


def test_a_cell_that_never_ran_is_one_line_a_stage_and_the_analysis(clone: Workspace) -> None:
    clone.edit("params.yaml", "seeds: [1]", "seeds: [1, 2]")
    clone.edit("params.yaml", "models: [unet, attention_unet]", "models: [unet]")
    assert problems(clone) == [
        "train@spheres-unet-16-2: not in dvc.lock",
        "evaluate@spheres-unet-16-2: not in dvc.lock",
        "analyze@spheres: params.yaml: grid: modified",
        "compare: params.yaml: grid: modified",
        "overlay@spheres: params.yaml: grid: modified",
        # of the cell that left: its tables are among what was analysed, and a clone's `dvc pull` would not get them
        *(
            f"{stage}: metrics/{kind}{folder}: read in another state than the stages in dvc.lock wrote it"
            for stage, folder in (("analyze@spheres", "/spheres"), ("compare", ""))
            for kind in ("foreground_ratios", "test", "train")
        ),
        "overlay@spheres: metrics/test/spheres: read in another state than the stages in dvc.lock wrote it",
    ]


@pytest.mark.slow
def test_a_cell_that_ran_without_the_analysis_is_seen_without_data(clone: Workspace) -> None:
    md5 = next(
        out["md5"]
        for out in clone.lock()["evaluate@spheres-unet-16-1"]["outs"]
        if out["path"].startswith("metrics/test/")
    )
    clone.edit("dvc.lock", md5, "a" * 32)
    of_cell, *of_stages = problems(clone)
    assert of_stages == [
        f"{stage}: metrics/test{folder}: read in another state than the stages in dvc.lock wrote it"
        for stage, folder in (
            ("analyze@spheres", "/spheres"),
            ("compare", ""),
            ("overlay@spheres", "/spheres"),
        )
    ]
    assert of_cell.startswith(
        "warning: evaluate@spheres-unet-16-1: metrics/provenance/evaluate/spheres-unet-16-1.json: "
    )


CELL = "spheres-unet-16-1"
RECORD = f"metrics/provenance/train/{CELL}.json"


def another_rate(clone: Workspace) -> None:
    """As an edit of params.yaml left it in the moment between the end of a stage and DVC's look at it."""
    clone.edit("params.yaml", "  learning_rate: 0.005", "  learning_rate: 0.5")
    path = clone.path / "dvc.lock"
    text = path.read_text()
    assert text.count("learning_rate: 0.005") == 2  # train of two cells
    path.write_text(text.replace("learning_rate: 0.005", "learning_rate: 0.5"))


def other_code(clone: Workspace) -> None:
    """As if another data/code/train.json had been read, here and in dvc.lock."""
    digests = clone.path / "data/code/train.json"
    before = hashlib.md5(digests.read_bytes()).hexdigest()
    digests.write_text(digests.read_text().replace('": "', '": "0'))
    after = hashlib.md5(digests.read_bytes()).hexdigest()
    path = clone.path / "dvc.lock"
    path.write_text(path.read_text().replace(before, after))


def record_of_another(clone: Workspace) -> None:
    content = json.loads((clone.path / RECORD).read_text())
    content["results"][f"models/{CELL}/weights.pt"]["md5"] = "a" * 32
    (clone.path / RECORD).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "places"),
    [
        pytest.param(another_rate, [f"train@{cell}: metrics/provenance/train/{cell}.json: " for cell in ("spheres-unet-16-1", "spheres-attention_unet-16-1")], marks=pytest.mark.slow),
        (other_code, ["code: data/code: modified", "data/code/train.json: ", f"train@{CELL}: {RECORD}: ", "train@spheres-attention_unet-16-1: "]),
        pytest.param(lambda clone: (clone.path / RECORD).write_text("{}"), [f"train@{CELL}: {RECORD}: "], marks=pytest.mark.slow),
        (lambda clone: (clone.path / RECORD).unlink(), []),
    ],
    ids=["A1 parameters", "A2 code", "damaged", "a cell from DVC's cache has none"],
)  # fmt: skip
def test_a_record_of_a_cell_that_contradicts_dvc_lock_is_named(
    clone: Workspace, change: Callable[[Workspace], object], places: list[str]
) -> None:
    change(clone)
    if not places:
        clone.context_fbr("check-lock")
        return
    found = problems(clone)
    assert len(found) == len(places), found
    assert all(any(line.startswith(place) for line in found) for place in places), found


def test_a_lock_with_conflict_marks_is_dvc_s_error(clone: Workspace) -> None:
    with (clone.path / "dvc.lock").open("a") as file:
        file.write("<<<<<<< ours\n")
    said = clone.context_fbr("check-lock", expect=1).stderr
    assert re.match(
        r"error: dvc status --json failed: .*dvc\.lock' is invalid \(possible merge conflicts\)", said
    )
    assert "Traceback" not in said


def test_a_stage_reads_what_the_stage_before_it_wrote_or_is_named() -> None:
    written = {"outs": [{"path": "data/a", "md5": "1.dir"}, {"path": "tables/a.csv", "md5": "2"}]}
    code = {"path": "src/b.py", "md5": "3"}
    same = {
        "deps": [code, {"path": "data/a", "md5": "1.dir"}, {"path": "data", "md5": "of folders: not told"}]
    }
    assert inconsistencies({"a": written, "b": same}) == []
    other = {"deps": [code, {"path": "data/a", "md5": "9.dir"}, {"path": "tables", "md5": "9.dir"}]}
    assert [line.split(": ")[:2] for line in inconsistencies({"a": written, "b": other})] == [
        ["b", "data/a"],
        ["b", "tables"],
    ]


def test_an_entry_without_a_hash_is_an_inconsistency_and_no_error() -> None:
    recorded = {
        "raw@a": {"outs": [{"path": "data/raw/a"}, {"path": "data/raw/b", "md5": "1"}]},
        "prepare@a": {"deps": [{"path": "data/raw/a", "md5": "2"}, {"path": "data/raw/b"}]},
    }
    (problem,) = inconsistencies(recorded)
    assert problem.startswith("prepare@a: data/raw/b: ")


@pytest.mark.slow
def test_a_record_of_other_results_is_a_warning(clone: Workspace) -> None:
    """DVC took the results from its cache, and left the record of those before."""
    record_of_another(clone)
    done = clone.context_fbr("check-lock")
    assert done.stderr.startswith(f"warning: train@{CELL}: {RECORD}: ")
    assert len(done.stderr.splitlines()) == 1
