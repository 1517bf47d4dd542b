"""A study with an arm, a second product of cells over another task."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from workspace import TINY, Workspace

from context_fbr.config import profiles
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr_tools.dvc import arm_stages, run_cache

ARM = "  range: {tasks: [wide], models: [unet], patch_sizes: [16], seeds: [1]}"
CELL = Cell("wide", "unet", 16, 1, arm="range")
TRAIN, EVALUATE = CELL.stage("train"), CELL.stage("evaluate")


def executed(text: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", text))


def prepared(path: Path) -> Workspace:
    workspace = Workspace.make(path, TINY)
    profiles.apply_overlay(TINY.with_name("arm.yaml"), workspace.path / "params.yaml")
    workspace.commit("Arm")
    return workspace


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """The study with the grid's task alone, and the output of its run."""
    workspace = prepared(tmp_path_factory.mktemp("arm") / "study")
    said = workspace.context_fbr("grid", "run", "--jobs", "1", "--tasks", "spheres").stdout
    return workspace, said


@pytest.fixture(scope="module")
def whole(one_task: tuple[Workspace, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """The whole study after that, and the output of its run."""
    workspace = one_task[0].copy(tmp_path_factory.mktemp("whole") / "study")
    said = workspace.context_fbr("grid", "run", "--jobs", "1").stdout
    workspace.commit("Results")
    return workspace, said


def test_one_task_is_brought_up_to_date_with_its_analysis_and_without_the_comparison(
    one_task: tuple[Workspace, str],
) -> None:
    workspace, said = one_task
    spheres = {f"{kind}@spheres" for kind in ("raw", "prepare", "baseline", "analyze", "overlay")}
    cells = {f"{kind}@spheres-unet-16-1" for kind in ("train", "evaluate")}
    assert workspace.lock().keys() == {"code", "paper"} | spheres | cells
    (line,) = (line for line in said.splitlines() if line.startswith("compare: "))
    assert "not run" in line
    assert "raw@wide" in line


def test_the_rest_of_the_study_follows_and_an_arm_s_cells_have_its_stages(
    whole: tuple[Workspace, str],
) -> None:
    workspace, said = whole
    assert {TRAIN, EVALUATE, "raw@wide", "overlay@wide", "analyze@wide", "compare"} <= workspace.lock().keys()
    assert not [name for name in executed(said) if "spheres" in name and "overlay" not in name]
    assert "up to date" in workspace.dvc("status")
    assert workspace.repro() == set()
    assert workspace.repro(TRAIN) == set()
    workspace.context_fbr("check-lock")
    assert "wide,unet,16,1" in (workspace.path / "metrics/wide/cells.csv").read_text()
    assert f'"{EVALUATE}"' in workspace.dvc("dag", "--dot")
    again = workspace.context_fbr("grid", "run", "--tasks", "wide").stdout
    assert executed(again) == set()
    assert "compare: not run" not in again


def test_cells_of_an_arm_are_found_in_the_run_cache(
    whole: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole[0].path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", whole[0].environment()["DVC_SITE_CACHE_DIR"])
    states = run_cache.find_results(read_study(Document.read()).cells)
    assert [state.done for state in states] == [True, True]
    assert states[1].entries.keys() == {TRAIN, EVALUATE}


def test_a_record_of_other_inputs_of_an_arm_s_cell_fails_check_lock(
    whole: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace = whole[0].copy(tmp_path / "study")
    workspace.edit("params.yaml", "radius: [2, 7]}\n      test: {volumes: 3, radius: [2, 7]}\n      foreground: 1.0\n      background: {noise_maximum: 0.8, hidden_intensity: [0.5, 1.0]}\n", "radius: [2, 6]}\n      test: {volumes: 3, radius: [2, 7]}\n      foreground: 1.0\n      background: {noise_maximum: 0.8, hidden_intensity: [0.5, 1.0]}\n")  # fmt: skip
    workspace.dvc("repro", "-s", TRAIN)  # nothing: its data is unchanged
    assert (
        "raw@wide: params.yaml: tasks.wide.raw: modified"
        in workspace.context_fbr("check-lock", expect=1).stderr
    )


def test_a_message_names_the_stage_of_the_arm(whole: tuple[Workspace, str], tmp_path: Path) -> None:
    workspace = whole[0].copy(tmp_path / "study")
    (workspace.path / CELL.training).unlink()
    command = ("python", "-m", "context_fbr.evaluate", *CELL.item.values())
    assert f"`dvc repro {TRAIN}`" in workspace.run(*command, expect=1).stderr


def test_what_left_an_arm_is_pruned_and_a_cell_that_moved_to_the_grid_keeps_its_results(
    whole: tuple[Workspace, str], tmp_path: Path
) -> None:
    moved = whole[0].copy(tmp_path / "moved")
    empty = "  range: {tasks: [], models: [], patch_sizes: [], seeds: []}"
    moved.edit("params.yaml", ARM, empty)
    moved.edit("params.yaml", "  tasks: [spheres]\n", "  tasks: [spheres, wide]\n")
    said = moved.context_fbr("prune").stdout
    assert {f"removed dvc.lock: {name}" for name in (TRAIN, EVALUATE)} == {*said.splitlines()[-3:-1]}
    assert (moved.path / CELL.weights).is_file()
    assert executed(moved.dvc("repro")) == {
        "analyze@spheres",
        "analyze@wide",
        "compare",
        "overlay@spheres",
        "overlay@wide",
    }  # others from the run-cache

    left = whole[0].copy(tmp_path / "left")
    left.edit("params.yaml", ARM, empty)
    left.edit("params.yaml", "tasks: [spheres, wide]", "tasks: [spheres]")
    left.context_fbr("prune")
    assert not {name for name in left.lock() if "wide" in name}
    assert not (left.path / CELL.weights).exists()


def test_an_arm_without_stages_is_named_with_the_lines_to_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = prepared(tmp_path / "study")
    monkeypatch.chdir(workspace.path)
    params, pipeline = Path("params.yaml"), Path("dvc.yaml")
    params.write_text(
        params.read_text().replace(
            ARM, f"{ARM}\n  more: {{tasks: [wide], models: [unet], patch_sizes: [8], seeds: [1]}}"
        )
    )
    done = workspace.context_fbr("grid", "run", expect=1)
    line = params.read_text().splitlines().index(ARM) + 2
    assert f"error: params.yaml:{line}: arms.more: " in done.stderr
    lines = arm_stages.lines("more")
    assert lines in done.stderr
    text = pipeline.read_text()
    pipeline.write_text(text.replace("\n  baseline:\n", f"\n{lines}\n  baseline:\n"))
    assert "valid, 3 cells" in workspace.context_fbr("check").stdout
    assert "train_more@wide-unet-8-1" in workspace.dvc("stage", "list", "--name-only")

    pipeline.write_text(pipeline.read_text().replace("matrix: *more", "matrix: *range"))
    with pytest.raises(UserError, match=r"dvc.yaml:\d+: stages.evaluate_more.matrix: "):
        arm_stages.check(read_study(Document.read()))
    params.write_text(params.read_text().replace("  more: {", "  others: {"))
    with pytest.raises(UserError) as caught:
        arm_stages.check(read_study(Document.read()))
    kinds = [problem.partition(" ")[0] for problem in caught.value.problems]
    assert [re.sub(r"\d+", "N", kind) for kind in kinds] == ["params.yaml:N:", "dvc.yaml:N:", "dvc.yaml:N:"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("--tasks", "sphere"), "did you mean spheres?"), (("spheres-*", "--tasks", "spheres"), "not both")],
)
def test_tasks_that_cannot_be_run_are_refused(
    one_task: tuple[Workspace, str], arguments: tuple[str, ...], text: str
) -> None:
    assert text in one_task[0].context_fbr("grid", "run", *arguments, expect=1).stderr


def test_make_repro_takes_tasks() -> None:
    command = ["make", "-n", "-o", ".venv/.ready", "repro", "TASKS=a b", "JOBS=2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(
        command, cwd=TINY.parents[3], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "context-fbr grid run --jobs 2 --tasks a b"
