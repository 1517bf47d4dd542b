"""A study that is reproduced leaves a clean tree, and its last line says so."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import GIT_IDENTITY, Workspace

from context_fbr_tools.grid.ending import against_commit


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with results in it."""
    for name, value in GIT_IDENTITY.items():
        monkeypatch.setenv(name, value)
    for name in ("dvc.lock", "metrics/a b.csv", "plots/a.png", "src/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as it was\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Results"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


SAME: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "code": lambda folder: (folder / "src/a.py").write_text("changed\n"),
    "another time": lambda folder: (folder / "dvc.lock").touch(),
    "a new file elsewhere": lambda folder: (folder / "notes").write_text("mine\n"),
}
OTHER: dict[str, Callable[[Path], object]] = {
    "dvc.lock": lambda folder: (folder / "dvc.lock").write_text("changed\n"),
    "metrics/a b.csv": lambda folder: (folder / "metrics/a b.csv").write_text("changed\n"),
    "plots/a.png": lambda folder: (folder / "plots/a.png").unlink(),
    "metrics/new.csv": lambda folder: (folder / "metrics/new.csv").write_text("new\n"),
}


@pytest.mark.parametrize("change", SAME)
def test_results_that_are_those_of_the_commit_are_identical(repository: Path, change: str) -> None:
    SAME[change](repository)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert against_commit(repository).endswith(f"identical to those of commit {commit[:10]}")


@pytest.mark.parametrize("name", OTHER)
def test_a_result_that_differs_from_the_commit_is_named(repository: Path, name: str) -> None:
    OTHER[name](repository)
    line = against_commit(repository)
    assert "identical" not in line
    assert "; 1 files differ from commit" in line
    assert f": {name};" in line


def test_without_a_commit_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    assert "no commit" in against_commit(tmp_path)


@pytest.mark.slow
def test_a_fresh_clone_reproduces_the_study_and_git_sees_no_change(
    committed: Workspace, tmp_path: Path
) -> None:
    """Every stage is executed, cells side by side, and dvc.lock is that of a serial `dvc repro`."""
    clone = committed.clone(tmp_path / "clone")
    output = clone.context_fbr("grid", "run", "--jobs", "2").stdout
    assert "2 cells to run, 2 at once" in output
    for key in ("spheres-unet-16-1", "spheres-attention_unet-16-1"):
        assert f"{key}: epoch 2/2" in output  # progress of the cells is passed on
    assert clone.run("git", "status", "--porcelain").stdout == ""
    assert (clone.path / "dvc.lock").read_bytes() == (committed.path / "dvc.lock").read_bytes()
    assert "identical to those of commit" in output.splitlines()[-1]

    clone.edit("params.yaml", "  confidence: 0.95", "  confidence: 0.9")
    again = clone.context_fbr("grid", "run").stdout
    assert "0 cells to run" in again
    assert "Running stage 'analyze@spheres'" in again
    assert "identical" not in again.splitlines()[-1]
    assert "dvc.lock" in again.splitlines()[-1]
