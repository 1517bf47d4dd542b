"""A study of your own: what it holds, and that it runs without the project."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from msd_dataset import Dataset
from ruamel.yaml import YAML
from workspace import ROOT

from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError
from context_fbr_tools import cli
from context_fbr_tools.dvc import arm_stages

NAMED = re.compile(r"(?<![\w/$.-])(?:docs|tests|profiles|benchmarks|\.github|\.ci)/[\w./-]+\w")
"""A file of the project in a comment or a text."""


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    return ROOT


def new(*arguments: object) -> None:
    cli.run(["new", *map(str, arguments)])


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_study_has_one_task_and_none_of_the_results(project: Path, tmp_path: Path) -> None:
    Dataset.make(tmp_path / "data")

    new(tmp_path / "mine", "--data", tmp_path / "data")

    folder = tmp_path / "mine"
    study = read_study(Document.read(folder / "params.yaml"))
    names = git(folder, "ls-files").split()
    assert study.study_cells.tasks == tuple(study.tasks) == ("zoo",)
    assert {cell.model for cell in study.cells} == {"unet", "attention_unet_batch"}
    assert study.study_cells.arms == {}
    assert [
        name for name in names if name.startswith(("metrics/", "plots/", "benchmarks/", "profiles/"))
    ] == []
    assert "dvc.lock" not in names
    assert git(folder, "status", "--porcelain") == ""
    assert len(git(folder, "log", "--oneline").splitlines()) == 1
    ours = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "src/context_fbr").split()
    assert [name for name in names if name.startswith("src/context_fbr/")] == sorted(ours)


@pytest.mark.slow
def test_its_pipeline_has_the_stages_of_its_cells_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")

    study = read_study(Document.read())
    assert arm_stages.problems(study) == []
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    cells = {cell.stage(kind) for cell in study.cells for kind in ("train", "evaluate")}
    tasks = {f"{kind}@spheres" for kind in ("raw", "prepare", "baseline", "analyze", "overlay")}
    assert {*listed} == {*cells, *tasks, "code", "compare"}
    plots = [entry for entry in YAML(typ="safe").load(Path("dvc.yaml"))["plots"] if isinstance(entry, str)]
    figures = ("dice_by_patch_size", "learning_curves", "scores_by_foreground_ratio")
    assert plots == [*(f"plots/spheres/{name}.png" for name in figures), "plots/overlays"]


@pytest.mark.parametrize("written", ["relative", "absolute"])
def test_the_data_set_is_named_as_it_was_given(
    written: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Dataset.make(tmp_path / "data")
    given = tmp_path / "data" if written == "absolute" else Path(os.path.relpath(tmp_path / "data"))

    new(tmp_path / "below/mine", "--data", given, "--name", "own", "--foreground", "1")

    monkeypatch.chdir(tmp_path / "below/mine")
    raw = read_study(Document.read()).tasks["own"].raw
    assert raw.folder == {"absolute": str(tmp_path / "data"), "relative": "../../data"}[written]
    assert (raw.path / "dataset.json").is_file()


def test_no_comment_names_a_file_that_is_missing(project: Path, tmp_path: Path) -> None:
    new(tmp_path / "mine")

    folder = tmp_path / "mine"
    texts = ["params.yaml", "dvc.yaml", "Makefile", "README.md", ".github/workflows/tests.yml"]
    named = {name: NAMED.findall((folder / name).read_text()) for name in texts}
    assert {n: [f for f in found if not (folder / f).exists()] for n, found in named.items()} == {
        n: [] for n in texts
    }
    assert not re.search("spleen|twins|arm_|smoke", (folder / "params.yaml").read_text())


def test_a_folder_that_is_there_is_left_alone(project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    with pytest.raises(UserError, match="is there already"):
        new(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_data_set_with_errors_gets_no_study(project: Path, tmp_path: Path) -> None:
    dataset = Dataset.make(tmp_path / "data")
    dataset.file("imagesTr", "b").write_bytes(b"")

    with pytest.raises(UserError, match="errors"):
        new(tmp_path / "mine", "--data", tmp_path / "data")
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_a_study_runs_and_its_own_tests_pass(project: Path, tmp_path: Path) -> None:
    Dataset.make(tmp_path / "data")
    new(tmp_path / "mine", "--data", tmp_path / "data")
    folder = tmp_path / "mine"
    params = (folder / "params.yaml").read_text()
    for before, after in (("patch_sizes: [16]", "patch_sizes: [8]"), ("[unet, attention_unet]", "[unet]")):
        params = params.replace(before, after, 1)
    params = re.sub(r"(?m)^      epochs: \d+ ", "      epochs: 4 ", params)
    (folder / "params.yaml").write_text(re.sub(r"seeds: \[1, 2, 3\]", "seeds: [1, 2]", params))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": "src"}

    def run(*command: str) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("context-fbr", "grid", "run", "--jobs", "2")
    assert (folder / "plots/zoo/dice_by_patch_size.png").is_file()
    assert run("context-fbr", "check-lock")
    assert "passed" in run(sys.executable, "-m", "pytest", "-q", "-m", "not slow")
    assert "skipped" not in run(sys.executable, "-m", "pytest", "-q", "tests/test_study.py")
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")
