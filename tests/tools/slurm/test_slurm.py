"""A study on a real Slurm cluster on this machine, without a fault; those are in test_slurm_faults.py."""

import re
from pathlib import Path

import pytest
import wandb_files
from slurm_cluster import BROKEN_UNET, SITE, Cluster, wait_for
from workspace import TINY, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The tiny study with a site."""
    made = Workspace.make(tmp_path / "study", TINY)
    (made.path / "slurm.yaml").write_text(SITE)
    return made


@pytest.mark.slow
def test_a_study_is_computed_on_the_cluster_and_collected_without_executing_a_cell(
    slurm: Cluster, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With W&B, which writes into the checkout."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    submitted = workspace.context_fbr("grid", "submit").stdout
    assert "2 cells to submit" in submitted
    again = workspace.context_fbr("grid", "submit").stdout
    assert "0 cells to submit" in again
    watched = workspace.context_fbr("grid", "status", "--watch")
    assert "spheres-unet-16-1: done" in watched.stdout
    assert "all cells are done" in watched.stdout
    assert "epoch 2/2" in workspace.context_fbr("grid", "logs", "spheres-unet-16-1", "-f").stdout
    executed = set(re.findall(r"Running stage '([^']+)'", workspace.context_fbr("grid", "collect").stdout))
    assert not {name for name in executed if name.startswith(("train", "evaluate"))}
    assert "analyze@spheres" in executed
    assert workspace.repro() == set()
    assert workspace.dvc("status").strip() == "Data and pipelines are up to date."
    for stage in ("train", "evaluate"):
        assert (workspace.path / f"metrics/provenance/{stage}/spheres-unet-16-1.json").is_file()
    assert not list(workspace.path.glob(".dvc/tmp/grid/*/clones/*"))
    wait_for(lambda: not slurm.ask("squeue", "-h").strip(), 30)
    states = slurm.ask("squeue", "-h", "-t", "all", "-o", "%T").split()
    assert set(states) <= {"COMPLETED"}
    told = wandb_files.read(workspace.path)  # and not in clones that are gone
    assert set(told) == {"spheres-unet-16-1", "spheres-attention_unet-16-1"}
    assert {each.exit_code for each in told.values()} == {0}
    assert all("test/cases" in each.rows[-1] for each in told.values())


@pytest.mark.slow
def test_a_probe_that_fails_leaves_the_other_cells_alone_and_one_that_passes_submits_them(
    slurm: Cluster, workspace: Workspace
) -> None:
    workspace.append("src/context_fbr/training/cell.py", BROKEN_UNET)
    workspace.commit("Broken")
    failed = workspace.context_fbr("grid", "submit", "--probe", expect=1)
    assert "probe: spheres-unet-16-1\n" in failed.stdout
    assert "error: probe: spheres-unet-16-1: FAILED: broken by a test" in failed.stderr
    assert failed.stderr.rstrip().endswith("the other cells were not submitted")
    assert len(slurm.ask("squeue", "-h", "-t", "all", "-o", "%i").split()) == 1
    workspace.run("git", "revert", "--no-edit", "HEAD")
    passed = workspace.context_fbr("grid", "submit", "--probe", "--watch").stdout
    assert passed.count("1 cells to submit") == 2
    assert "all cells are done" in passed
