"""dvc.yaml: complete dependencies, a study from end to end, and what runs again after a change."""

import ast
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import psutil
import pytest
from ruamel.yaml import YAML
from workspace import ROOT, Workspace, cells

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import CELL_SCORES
from context_fbr.runtime import code_digest
from context_fbr_tools.dvc import arm_stages, stages

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
OF_ARMS = {name: STAGES.pop(name) for name in [*STAGES] if name != stages.kind_of(name)}
ANALYSIS = {"analyze@spheres", "compare", "overlay@spheres"}
SMOKE = ROOT / "profiles" / "smoke.yaml"


def code_of(stage: str) -> set[str]:
    """The modules that a stage imports, relative to the project."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in code_digest.modules(f"context_fbr.{stage}", ROOT / "src")
    }


def test_the_lists_of_stages_are_those_of_dvc_yaml() -> None:
    assert {*stages.CELL_STAGES, *stages.TASK_STAGES, *stages.STUDY_STAGES} == {*STAGES}
    axes = {name: [*block.get("matrix", ())] for name, block in STAGES.items()}
    assert {name for name in axes if axes[name] == ["task"]} == {*stages.TASK_STAGES}
    assert {name for name in axes if len(axes[name]) == 4} == {*stages.CELL_STAGES}
    floor = {path.stem for path in (ROOT / "src/context_fbr").glob("*.py")} - {"__init__"}
    assert floor == {*STAGES} - {"code"}


@pytest.mark.parametrize("params", ["params.yaml", "tests/support/study.yaml"])
def test_each_arm_has_its_stages_which_are_copies_of_the_cells(
    params: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    study = read_study(Document.read(Path(params)))
    assert arm_stages.problems(study) == []
    arms = study.study_cells.arms
    assert {*OF_ARMS} == {f"{kind}_{arm}" for kind in stages.CELL_STAGES for arm in arms}
    for name, block in OF_ARMS.items():
        copied = STAGES[stages.kind_of(name)]
        assert block | {"matrix": None} == copied | {"matrix": None}


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "code"])
def test_a_stage_depends_on_its_code_as_one_file_that_names_what_it_imports(stage: str) -> None:
    assert [dep for dep in STAGES[stage]["deps"] if dep.startswith("data/code")] == [
        f"data/code/{stage}.json"
    ]
    assert not [dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")]
    assert json.loads((ROOT / f"data/code/{stage}.json").read_text()).keys() == code_of(stage)


def test_the_hashes_of_the_code_are_those_of_this_checkout() -> None:
    """Git keeps them: a change of a module is committed with its hash, as `dvc repro` writes it."""
    for stage in STAGES.keys() - {"code"}:
        digests = json.loads((ROOT / f"data/code/{stage}.json").read_text())
        found = {
            path: hashlib.sha256(code_digest.code_of((ROOT / path).read_bytes())).hexdigest()
            for path in digests
        }
        assert digests == found, f"{stage}: run `dvc repro code`, and the stages that follow"


@pytest.mark.slow
def test_a_changed_module_changes_the_files_of_the_stages_that_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    monkeypatch.chdir(tmp_path)

    def digests() -> dict[str, dict[str, str]]:
        return {stage: json.loads(code_digest.text_of(stage)) for stage in code_digest.stages()}

    before = digests()
    command = [sys.executable, "-m", "context_fbr.runtime.code_digest"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": "src"}, check=True)
    assert {path.stem: json.loads(path.read_text()) for path in Path("data/code").glob("*.json")} == before

    def differing(changed: str) -> set[str]:
        nonlocal before
        with (tmp_path / "src" / changed).open("a") as file:
            file.write("A_CHANGE = 1\n")
        after = digests()
        found = {
            name: changes for name in after if (changes := set(after[name].items() - before[name].items()))
        }
        assert {path for changes in found.values() for path, _ in changes} <= {f"src/{changed}"}
        before = after
        return set(found)

    assert differing("context_fbr/figures/dice_by_patch_size.py") == {"analyze"}
    assert differing("context_fbr/training/sampling.py") == {"train"}
    assert differing("context_fbr/metrics/surface.py") == {"evaluate", "baseline"}
    assert differing("context_fbr/networks/sliding_window.py") == {"train", "evaluate"}
    assert differing("context_fbr/datasets/spheres.py") == {"raw"}
    assert differing("context_fbr_tools/cli.py") == set()


@pytest.mark.parametrize(("stage", "heavy"), [("train", "training.cell"), ("evaluate", "evaluation.cell")])
@pytest.mark.slow
def test_what_python_imports_for_a_cell_is_what_reading_the_imports_finds(stage: str, heavy: str) -> None:
    script = f"import sys, context_fbr.{stage}, context_fbr.{heavy}\n"
    script += "print([m.__file__ for name, m in sys.modules.items() if name.startswith('context_fbr.')])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    loaded = {Path(file).relative_to(ROOT).as_posix() for file in ast.literal_eval(done.stdout)}
    assert {file for file in loaded if not file.endswith("__init__.py")} <= code_of(stage)


def test_code_of_a_stage_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"src: has no module context_fbr\.trian"):
        code_digest.modules("context_fbr.trian", ROOT / "src")


def test_package_files_hold_a_docstring_only_so_that_no_stage_must_depend_on_them() -> None:
    for path in (ROOT / "src").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert [type(node) for node in body] == [ast.Expr], path


@pytest.mark.parametrize(
    "stage", ["runtime.code_digest", "raw", "prepare", "baseline", "analyze", "compare", "overlay", "paper"]
)
def test_a_stage_that_needs_no_torch_does_not_import_it(stage: str) -> None:
    script = f"import sys, context_fbr.{stage}; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.slow
def test_the_paper_profile_has_its_train_cells(tmp_path: Path) -> None:
    workspace = Workspace.make(tmp_path / "paper", ROOT / "profiles" / "paper.yaml")
    names = workspace.dvc("stage", "list", "--name-only").split()
    train = [name for name in names if name.startswith("train@")]
    assert len(train) == 90
    assert {"train@spheres-attention_unet-96-3", "train@spleen-unetr-32-1"} <= set(train)


def test_a_plain_repro_runs_every_stage(finished: Workspace) -> None:
    ran = {name for name in finished.lock() if not name.startswith(("train@", "evaluate@"))}
    assert ran == {"code", "raw@spheres", "prepare@spheres", "baseline@spheres", "paper"} | ANALYSIS
    assert finished.lock().keys() == ran | cells(finished)


def test_after_a_run_nothing_executes_and_dvc_is_content(finished: Workspace) -> None:
    assert finished.repro() == set()
    assert "up to date" in finished.dvc("status")


def test_git_keeps_the_small_files_and_ignores_the_rest(finished: Workspace) -> None:
    status = finished.run("git", "status", "--porcelain", "--untracked-files=all").stdout
    changed = {line.split()[1] for line in status.splitlines()}
    written = {"dvc.lock"}
    for stage in ("analyze", "compare", "overlay", "paper"):
        outs = STAGES[stage]["outs"] + STAGES[stage].get("metrics", [])
        paths = {next(iter(out)).replace("${item.task}", "spheres") for out in outs}
        files = {p for p in finished.path.rglob("*") if p.is_file()}
        written |= {
            p.relative_to(finished.path).as_posix()
            for p in files
            if any(p.relative_to(finished.path).is_relative_to(path) for path in paths)
        }
        # A committed figure of a task that this study lacks is gone.
        written |= {name for name in changed if any(Path(name).is_relative_to(path) for path in paths)}
    written |= {f"metrics/provenance/{name.replace('@', '/')}.json" for name in cells(finished)}
    assert changed <= written
    assert changed >= {
        "dvc.lock",
        "metrics/spheres/cases.csv",
        "metrics/spheres/findings.json",
        "plots/overlays/spheres.png",
    }


def test_tables_have_the_published_columns_and_a_row_for_each_case(finished: Workspace) -> None:
    for cell in ("spheres-unet-16-1", "spheres-attention_unet-16-1"):
        table = pd.read_csv(finished.path / "metrics/test/spheres" / f"{cell}.csv")
        assert list(table.columns) == list(CELL_SCORES)
        assert list(table.columns[:5]) == ["filename", "dsc", "hausdorff", "abs_diff", "fg_ratio"]
        assert list(table["filename"]) == [f"spheres_{i:03d}" for i in (4, 5, 6)]
        history = pd.read_csv(finished.path / "metrics/train/spheres" / f"{cell}.csv")
        assert list(history["epoch"]) == [1, 2]
        ratios = pd.read_csv(finished.path / "metrics/foreground_ratios/spheres" / f"{cell}.csv")
        assert len(ratios) == 2 * 3 * 2  # epochs x volumes x patches


def test_predictions_lie_on_the_image_s_grid_and_give_the_table_s_scores(finished: Workspace) -> None:
    raw = finished.path / "data" / "raw" / "spheres"
    table = pd.read_csv(finished.path / "metrics/test/spheres/spheres-unet-16-1.csv").set_index("filename")
    for path in sorted((finished.path / "data/predictions/spheres/spheres-unet-16-1").glob("*.nii.gz")):
        prediction, label = nibabel.load(path), nibabel.load(raw / "labelsTs" / path.name)
        np.testing.assert_array_equal(prediction.affine, label.affine)
        assert prediction.shape == label.shape
        p, t = (np.asarray(volume.dataobj) > 0 for volume in (prediction, label))
        row = table.loc[path.name.removesuffix(".nii.gz")]
        assert row["dsc"] == pytest.approx(2 * (p & t).sum() / (p.sum() + t.sum()))
        assert row["fg_ratio"] == t.mean()


def test_the_headline_is_a_dozen_numbers_at_most_and_dvc_reads_it(finished: Workspace) -> None:
    shown = json.loads(finished.dvc("metrics", "show", "--json"))[""]["data"]
    (headline,) = (file["data"] for file in shown.values())
    assert [models.pop("cells_not_converged") for models in headline.values()] == [2]
    numbers = [v for models in headline.values() for scores in models.values() for v in scores.values()]
    assert 0 < len(numbers) <= 11
    assert all(0 <= number <= 1 for number in numbers)


def test_dvc_draws_the_plots_by_model_and_patch_size(finished: Workspace, tmp_path: Path) -> None:
    shown = json.loads(finished.dvc("plots", "show", "--json", "-o", str(tmp_path / "plots")))["data"]
    fields = {
        "Dice by patch size": (6, {"row", "network", "size", "low", "high", "rev"}),
        "Dice by foreground ratio": (6, {"row", "size", "ratio", "score", "rev"}),
        "Learning curves": (4, {"row", "size", "seed", "score", "rev"}),
    }
    for name, (rows, drawn) in fields.items():
        (plot,) = shown[name]
        content = plot["content"]
        spec = json.loads(content) if isinstance(content, str) else content
        assert len(spec["data"]["values"]) == rows
        assert "<DVC_METRIC" not in json.dumps(spec)  # every anchor of the template was filled
        text = json.dumps({key: spec[key] for key in ("facet", "spec")})
        assert {field for field in drawn if f'"field": "{field}"' in text} == drawn
    images = {name for name in shown if name.endswith(".png")}
    assert len(images) == 9  # with two of twins, which this study lacks


@pytest.mark.slow
def test_a_cell_that_fails_is_reported_and_the_others_run(finished: Workspace, tmp_path: Path) -> None:
    """One network is given weights that no float holds; the other trains again on its own change."""
    workspace = finished.copy(tmp_path / "failing")
    workspace.edit("params.yaml", "    num_res_units: 2", "    num_res_units: 1")
    workspace.edit(
        "params.yaml", "    network: AttentionUnet", "    network: AttentionUnet\n    dropout: 1.5"
    )
    before = workspace.lock()
    command = [
        "-c",
        "from context_fbr_tools.grid.local import run; from context_fbr.config.study import read_study;",
    ]
    command[1] += "from context_fbr.config.document import Document; run(read_study(Document.read()), 2)"
    done = workspace.run(sys.executable, *command, expect=1)  # without the check that comes before a run
    assert re.search(r"spheres-attention_unet-16-1 failed after \d+ s: params.yaml:\d+: models", done.stderr)
    assert ".dvc/tmp/context-fbr/logs/spheres-attention_unet-16-1.log" in done.stderr
    after = workspace.lock()
    assert after["evaluate@spheres-unet-16-1"] != before["evaluate@spheres-unet-16-1"]
    assert after["train@spheres-attention_unet-16-1"] == before["train@spheres-attention_unet-16-1"]


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_process_and_a_whole_lock(finished: Workspace, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "interrupted")
    workspace.edit("params.yaml", "      epochs: 2", "      epochs: 5000")
    environment = workspace.environment()
    command = [sys.executable, "-c", "from context_fbr_tools.cli import main; main()", "grid", "run"]
    process = subprocess.Popen(
        command,
        cwd=workspace.path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch" in line:  # a cell is training
            break
    children = psutil.Process(process.pid).children(recursive=True)
    # The process that forks, DVC below it, and below that the training.
    assert any(child.parent() in children and child.parent().parent() in children for child in children)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 75  # a scheduler requeues
    assert "Traceback" not in output
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert workspace.lock().keys() == finished.lock().keys()
    workspace.edit("params.yaml", "      epochs: 5000", "      epochs: 2")
    workspace.repro()  # the run-cache still holds what was there
    assert (workspace.path / "dvc.lock").read_bytes() == (finished.path / "dvc.lock").read_bytes()


def test_a_network_that_cannot_take_the_grid_stops_before_anything_runs(
    finished: Workspace, tmp_path: Path
) -> None:
    workspace = finished.copy(tmp_path / "wrong")
    workspace.edit("params.yaml", "patch_sizes: [16]", "patch_sizes: [10]")
    done = workspace.context_fbr("grid", "run", expect=1)
    assert "cannot take a patch of 10 voxels" in done.stderr
    assert "models.attention_unet" in done.stderr
    assert "dvc repro" not in done.stdout


@pytest.mark.slow
def test_the_smoke_study_runs(tmp_path: Path) -> None:
    """Two cells side by side, one of each patch size, of all networks but the one of the other tests."""
    workspace = Workspace.make(tmp_path / "smoke", SMOKE)
    chosen = ("spheres-unetr-16-1", "spheres-attention_unet-32-1")
    workspace.context_fbr("grid", "run", "--jobs", "2", *chosen)
    ran = {f"{stage}@{key}" for stage in stages.CELL_STAGES for key in chosen}
    assert workspace.lock().keys() == {"code", "raw@spheres", "prepare@spheres"} | ran


LOSS = """
usual_loss = loss
def loss(kind, over, copies=1):
    value = usual_loss(kind, over, copies)
    return lambda outputs, labels: 2 * value(outputs, labels)
"""
METRIC = """
measured = score_surface
def score_surface(*arguments):
    from dataclasses import replace
    return replace(measured(*arguments), surface_dice=0.5)
"""


@pytest.mark.slow
def test_a_change_runs_the_stages_that_it_touches_and_no_other(finished: Workspace, tmp_path: Path) -> None:
    """A figure, a metric, a tool, a seed, a network, the loss; what left the grid is pruned; a clone pulls it all."""
    workspace = finished.copy(tmp_path / "study")
    evaluated = cells(workspace, stages=("evaluate",))

    workspace.append("src/context_fbr/figures/dice_by_patch_size.py", "A_CHANGE = 1")
    assert workspace.repro() == {"code", "analyze@spheres"}

    workspace.append("src/context_fbr/metrics/surface.py", METRIC)
    assert workspace.repro() == {"code", "baseline@spheres"} | evaluated | ANALYSIS

    before = (workspace.path / "dvc.lock").read_bytes()
    workspace.append("src/context_fbr_tools/cli.py", "A_CHANGE = 1")
    assert workspace.repro() == set()
    assert (workspace.path / "dvc.lock").read_bytes() == before

    workspace.edit("params.yaml", "seeds: [1]", "seeds: [1, 2]")
    assert workspace.repro() == cells(workspace, seed=2) | ANALYSIS

    workspace.edit("params.yaml", "seeds: [1, 2]", "seeds: [1]")
    gone = [f"spheres-{model}-16-2" for model in ("unet", "attention_unet")]
    names = {f"{stage}@{key}" for stage in stages.CELL_STAGES for key in gone}
    kept = workspace.lock().keys() - names
    workspace.context_fbr("prune")
    assert workspace.lock().keys() == kept
    assert not [key for key in gone if (workspace.path / "models" / key).exists()]

    workspace.edit("params.yaml", "    num_res_units: 2", "    num_res_units: 1")
    assert workspace.repro() == cells(workspace, model="unet") | ANALYSIS

    workspace.append("src/context_fbr/training/recipe/loss.py", LOSS)
    assert workspace.repro() == {"code"} | cells(workspace) | ANALYSIS

    workspace.commit("Results")
    remote = str(tmp_path / "remote")
    workspace.dvc("remote", "modify", "local", "url", remote)
    workspace.dvc("push")
    clone = workspace.clone(tmp_path / "clone")
    clone.dvc("remote", "modify", "local", "url", remote)
    clone.dvc("pull")
    assert clone.repro() == set()
    assert "up to date" in clone.dvc("status")
