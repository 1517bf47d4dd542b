"""DVC's model registry: the cell of each task in dvc.yaml, and how another project gets it."""

import csv
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from workspace import ROOT, Workspace

from context_fbr_tools.study.blocks.registry_block import artifact_name

REGISTRY = YAML(typ="safe").load(ROOT / "dvc.yaml")["artifacts"]


@pytest.mark.parametrize("task", sorted(path.parent.name for path in ROOT.glob("metrics/*/cells.csv")))
def test_an_artifact_is_the_cell_of_its_task_with_the_best_validation_dice(task: str) -> None:
    with (ROOT / f"metrics/{task}/cells.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    best = max(rows, key=lambda row: float(row["best_validation_dice"]))
    artifact = REGISTRY[artifact_name(task)]
    assert artifact["path"] == f"models/{task}-{best['model']}-{best['patch_size']}-{best['seed']}"
    assert artifact["type"] == "model"


@pytest.mark.slow
def test_another_project_gets_a_model_from_a_git_repository_and_a_folder(
    committed: Workspace, tmp_path: Path
) -> None:
    workspace = committed.copy(tmp_path / "study")
    cell = "spheres-unet-16-1"
    text = (workspace.path / "dvc.yaml").read_text()
    head, _, _ = text.partition("# generated: artifacts")
    (workspace.path / "dvc.yaml").write_text(
        f"{head}artifacts:\n  spheres: {{path: models/{cell}, type: model}}\n"
    )
    workspace.dvc("remote", "modify", "local", "url", str(tmp_path / "remote"))
    workspace.commit("Registry")
    workspace.run("git", "tag", "-a", "spheres@v1.0.0", "-m", "first")
    workspace.dvc("push", f"models/{cell}")
    origin = tmp_path / "origin.git"
    workspace.run("git", "clone", "--bare", "-q", ".", str(origin))
    elsewhere = Workspace(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    dvc = (sys.executable, "-m", "dvc")
    elsewhere.run(*dvc, "artifacts", "get", str(origin), "spheres", "--out", "newest")
    elsewhere.run(*dvc, "artifacts", "get", str(origin), "spheres", "--rev", "v1.0.0", "--out", "first")
    elsewhere.run(*dvc, "get", str(origin), f"models/{cell}", "--out", "path")
    for name in ("weights.pt", "training.json"):
        content = (workspace.path / f"models/{cell}/{name}").read_bytes()
        assert {(elsewhere.path / folder / name).read_bytes() for folder in ("newest", "first", "path")} == {
            content
        }
