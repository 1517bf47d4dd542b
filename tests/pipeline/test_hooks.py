"""pre-commit's hooks, DVC's hooks, and both; a conflict in dvc.lock."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import Workspace


@pytest.fixture
def workspace(committed: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "pre-commit"))
    return committed.copy(tmp_path / "study")


def pre_commit(workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    return workspace.run(sys.executable, "-m", "pre_commit", *arguments, expect=None)


def outcomes(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(.*?)\.{3,}(?:\(.*?\))?(Passed|Failed|Skipped)$", text, re.MULTILINE))


@pytest.mark.slow
def test_the_hooks_pass_and_refuse_a_commit_of_code_without_its_results(workspace: Workspace) -> None:
    passed = pre_commit(workspace, "run", "--all-files")
    assert outcomes(passed.stdout) == {
        "ruff format": "Passed",
        "ruff check": "Passed",
        "dvc.lock describes code, parameters and results": "Passed",
    }, passed.stdout
    assert passed.returncode == 0

    assert pre_commit(workspace, "install").returncode == 0
    before = workspace.run("git", "rev-parse", "HEAD").stdout
    with (workspace.path / "src/context_fbr/baseline.py").open("a") as file:
        file.write("A_CHANGE = 1\n")
    refused = workspace.run("git", "commit", "-qam", "Code alone", expect=1)
    assert (
        "error: data/code/baseline.json: holds the hashes of other code, src/context_fbr/baseline.py changed"
        in refused.stderr
    )
    assert "run `make repro`" in refused.stderr
    assert workspace.run("git", "rev-parse", "HEAD").stdout == before


@pytest.mark.slow
def test_dvc_s_hooks_first_and_pre_commit_s_on_top_do_both(workspace: Workspace, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    workspace.dvc("remote", "modify", "--local", "local", "url", str(remote))
    workspace.run("git", "init", "-q", "--bare", str(tmp_path / "bare.git"))
    workspace.dvc("install")
    assert pre_commit(workspace, "install").returncode == 0
    hooks = workspace.path / ".git" / "hooks"
    for hook in ("pre-commit.legacy", "post-checkout", "pre-push"):
        assert "exec dvc git-hook" in (hooks / hook).read_text()

    (workspace.path / "notes.md").write_text("a note\n")
    workspace.run("git", "add", "notes.md")
    said = workspace.run("git", "commit", "-m", "A note")
    assert "Data and pipelines are up to date." in said.stdout + said.stderr  # DVC's hook
    assert "dvc.lock describes code" in said.stdout + said.stderr  # ours
    assert not remote.exists()
    workspace.run("git", "push", "-q", str(tmp_path / "bare.git"), "main")
    assert any(remote.rglob("*.dir"))
    weights = workspace.path / "models/spheres-unet-16-1/weights.pt"
    weights.unlink()
    workspace.run("git", "switch", "-qc", "other")
    assert weights.exists()

    again = workspace.run(sys.executable, "-m", "dvc", "install", expect=None)  # the other order is an error
    assert again.returncode != 0
    assert "already exists" in again.stderr


@pytest.mark.slow
def test_a_conflict_in_dvc_lock_is_solved_by_a_side_and_a_repro_that_trains_nothing(
    committed: Workspace, tmp_path: Path
) -> None:
    workspace = committed.copy(tmp_path / "study")
    changes = {
        "unet": ("    num_res_units: 2", "    num_res_units: 1"),
        "attention_unet": ("    network: AttentionUnet", "    network: AttentionUnet\n    dropout: 0.1"),
    }
    for model, (before, after) in changes.items():
        workspace.run("git", "switch", "-qc", model, "main")
        workspace.dvc("checkout")
        workspace.edit("params.yaml", before, after)
        ran = workspace.repro()
        assert {name for name in ran if name.startswith("train@")} == {f"train@spheres-{model}-16-1"}
        workspace.commit(f"Another {model}")

    merge = workspace.run("git", "merge", "unet", expect=1)
    assert "CONFLICT (content): Merge conflict in dvc.lock" in merge.stdout
    text = (workspace.path / "params.yaml").read_text()
    assert all(after in text for _, after in changes.values())  # git merged the parameters
    assert "<<<<<<<" not in (workspace.path / "dvc.lock").read_text()
    said = workspace.context_fbr("check-lock", expect=1).stderr
    assert "train@spheres-unet-16-1: params.yaml: models.unet: modified" in said

    workspace.run("git", "checkout", "--ours", "dvc.lock", "metrics", "plots")
    assert workspace.repro() == {"analyze@spheres", "compare", "overlay@spheres"}
    workspace.commit("Merge")
    assert "describes this checkout" in workspace.context_fbr("check-lock").stdout
    clone = workspace.clone(tmp_path / "clone")
    assert "describes this checkout" in clone.context_fbr("check-lock").stdout
    entries = workspace.lock()
    for model in changes:
        workspace.run("git", "switch", "-q", model)
        assert workspace.lock()[f"train@spheres-{model}-16-1"] == entries[f"train@spheres-{model}-16-1"]
