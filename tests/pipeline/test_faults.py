"""Bad input and a full disk at the level of a whole command: one clear error, exit 1, nothing half written."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import forks
import pytest
from small_disk import read_only, small_disk
from workspace import PATIENCE_S, ROOT

from context_fbr.config import profiles
from context_fbr.core import atomic
from context_fbr.core.errors import UserError


@pytest.fixture
def study(params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tiny params.yaml and nothing else, as the current one."""
    profiles.apply_overlay(ROOT / "tests" / "support" / "overlays" / "tiny.yaml", params)
    monkeypatch.chdir(params.parent)
    return params.parent


def stage(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.run(f"context_fbr.{name}", arguments, Path.cwd(), os.environ, PATIENCE_S)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("raw", [], "expected TASK"),
        ("raw", ["liver"], "params.yaml:"),
        ("prepare", ["spheres"], "dataset.json: is missing; run `dvc repro raw@spheres`"),
        ("baseline", ["spheres"], "cases.json: not found; run `dvc repro prepare@spheres` first"),
        ("train", ["spheres", "unet", "16"], "expected TASK MODEL PATCH_SIZE SEED"),
        ("train", ["spheres", "unet", "16", "1"], "cases.json: not found; run `dvc repro prepare@spheres` first"),
        ("evaluate", ["spheres", "unet", "16", "1"], "training.json: not found: the cell is not trained; "),
        ("analyze", ["spheres"], "metrics/train/spheres/spheres-unet-16-1.csv: not found"),
    ],
)  # fmt: skip
def test_a_stage_that_lacks_its_input_says_so_in_one_line_and_writes_nothing(
    study: Path, name: str, arguments: list[str], expected: str
) -> None:
    done = stage(name, *arguments)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert [path.name for path in study.rglob("*") if path.is_file()] == ["params.yaml"]


def test_a_device_that_is_not_there_is_named(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", "warp")
    done = stage("train", "spheres", "unet", "16", "1")
    assert (done.returncode, "CONTEXT_FBR_DEVICE=warp" in done.stderr) == (1, True)


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(disk_256k: Path) -> None:
    path = disk_256k / "table.csv"
    atomic.write_bytes(path, b"old")
    with pytest.raises(UserError, match=r"table\.csv: could not be written: No space left on device"):
        atomic.write_bytes(path, bytes(1_000_000))
    assert path.read_bytes() == b"old"
    assert [p.name for p in disk_256k.iterdir()] == ["table.csv"]
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_full_disk_while_data_is_written_is_one_error_and_a_rerun_works(
    study: Path, disk_256k: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (study / "params.yaml").read_text().replace("test: {volumes: 3", "test: {volumes: 60")
    (disk_256k / "params.yaml").write_text(text)
    monkeypatch.chdir(disk_256k)
    done = stage("raw", "spheres")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in disk_256k.rglob("*") if p.is_file()] == ["params.yaml"]
    shutil.copy(study / "params.yaml", disk_256k / "params.yaml")
    assert stage("raw", "spheres").returncode == 0
    assert len(list((disk_256k / "data/raw/spheres/imagesTs").iterdir())) == 3


def test_a_folder_takes_the_place_of_the_old_one_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "cell"
    with atomic.directory(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic.directory(target) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["cell"]
    with atomic.directory(target) as folder:
        (folder / "b").write_text("new")
    assert [p.name for p in target.iterdir()] == ["b"]


def test_a_folder_that_cannot_be_written_is_one_error_and_a_rerun_works(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        shutil.copy(study / "params.yaml", disk / "params.yaml")
        monkeypatch.chdir(disk)
        with read_only(disk):
            done = stage("raw", "spheres")
        assert done.returncode == 1
        assert "data/raw/spheres: could not be written: Read-only file system" in done.stderr
        assert (done.stderr.count("error: "), "Traceback" in done.stderr) == (1, False)
        assert [p.name for p in disk.rglob("*")] == ["params.yaml"]
        assert [stage(name, "spheres").returncode for name in ("raw", "prepare")] == [0, 0]
        with read_only(disk):
            done = stage("train", "spheres", "unet", "16", "1")
        assert done.returncode == 1
        assert re.search(
            r"lock: could not be locked: Read-only file system; make its folder writable", done.stderr
        )
        assert (done.stderr.count("error: "), "Traceback" in done.stderr) == (1, False)


def test_a_file_in_the_place_of_a_folder_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file")
    with pytest.raises(UserError, match=r"metrics/a\.csv: could not be written"):
        atomic.write_text(tmp_path / "metrics" / "a.csv", "text")


@pytest.mark.slow
def test_a_full_disk_while_the_analysis_is_written_is_one_error_and_a_rerun_works(
    tables: Path, params: Path
) -> None:
    """Of the eight cells of the fixture; the disk is that of the figures."""
    text = params.read_text().replace("[unet, attention_unet, unetr]", "[unet, unetr]")
    params.write_text(text.replace("[16, 32, 48]", "[8, 16]").replace("seeds: [1, 2, 3]", "seeds: [1, 2]"))
    with small_disk(tables / "plots", "64k") as plots:
        done = stage("analyze", "spheres")
        assert done.returncode == 1
        assert "could not be written: No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(tables.rglob("*.partial"))
        assert all(path.stat().st_size for path in plots.rglob("*") if path.is_file())
    assert stage("analyze", "spheres").returncode == 0
    assert (tables / "plots/spheres/learning_curves.png").stat().st_size > 1000
