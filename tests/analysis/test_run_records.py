"""Cells of the paper profile run apart from the pipeline: same bytes, vouched for, on a bare machine."""

import gzip
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from workspace import ROOT

from benchmarks import paper_cells as runner
from context_fbr import evaluate, paper, prepare, raw, train
from context_fbr.analysis import run_records
from context_fbr.analysis.result_files import write_csv
from context_fbr.config import profiles
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import SCORES
from context_fbr.preprocessing import prepared
from context_fbr.training import checkpoint

CELL = Cell("spheres", "unet", 16, 1)
COMMITTED = sorted(path for path in (ROOT / run_records.FOLDER).iterdir() if path.is_dir())


@pytest.fixture
def project(params: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Document:
    """A folder whose paper profile is a tiny study."""
    profiles.apply_overlay(ROOT / "tests" / "support" / "overlays" / "tiny.yaml", params)
    (tmp_path / "profiles").mkdir()
    shutil.copy(params, tmp_path / "profiles" / "paper.yaml")
    monkeypatch.chdir(tmp_path)
    return run_records.paper_document()


def run(document: Document, name: str, folder: Path = Path("out")) -> Path:
    runner.run_name(document, name, folder, Path("state"), "abc")
    return folder / name


def test_the_tables_are_those_of_the_pipeline(project: Document) -> None:
    folder = run(project, CELL.key)
    raw.main(["spheres"])
    prepare.main(["spheres"])
    arguments = [CELL.task, CELL.model, str(CELL.patch_size), str(CELL.seed)]
    train.main(arguments)
    evaluate.main(arguments)
    published = pd.read_csv(CELL.scores, dtype=str)[list(SCORES)]
    pd.testing.assert_frame_equal(pd.read_csv(folder / run_records.SCORES, dtype=str), published)
    assert (folder / run_records.HISTORY).read_bytes() == CELL.history.read_bytes()
    assert gzip.decompress((folder / run_records.RATIOS).read_bytes()) == CELL.foreground_ratios.read_bytes()
    volumes = (
        (case.name, split, *prepared.read_volume("spheres", case))
        for split in ("train", "validation", "test")
        for case in prepared.read_cases("spheres", split)
    )
    assert run_records.data_digest(volumes) == run_records.read_record(folder, project).data


def interrupt(project: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the cell up to its third save."""
    saves = []
    save = checkpoint.save

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        saves.append(arguments)
        if len(saves) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "SAVE_EVERY_S", 0.0)
        patch.setattr(checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            run(project, CELL.key)
    assert not Path("out").exists()


def test_a_cell_that_was_interrupted_continues_and_ends_with_the_same_tables(
    project: Document, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(project, CELL.key, Path("whole"))
    interrupt(project, monkeypatch)
    folder = run(project, CELL.key)
    assert f"{CELL.key}: resumes in epoch 1 after step 2" in capsys.readouterr().out
    for name in (run_records.SCORES, run_records.HISTORY, run_records.RATIOS):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert list(Path("state").iterdir()) == []
    run(project, CELL.key)
    assert "is there already" in capsys.readouterr().out


def test_states_that_are_torn_are_said_and_the_cell_starts_again(
    project: Document, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(project, monkeypatch)
    states = [*Path("state").rglob("newest"), *Path("state").rglob("previous")]
    assert len(states) == 2
    for state in states:
        state.write_bytes(state.read_bytes()[:-9])
    folder = run(project, CELL.key)
    said = capsys.readouterr().out
    assert [f"cannot resume from {state}: is torn" in said for state in states] == [True, True]
    assert "resumes" not in said
    assert run_records.read_record(folder, project).name == CELL.key


def test_tables_of_other_parameters_or_that_were_changed_are_refused(project: Document) -> None:
    folder = run(project, "spheres-baselines")
    profile = Path("profiles/paper.yaml")
    own = profile.read_text()
    profile.write_text(own.replace("seed: 2022", "seed: 2023"))
    with pytest.raises(UserError, match=r"its parameters are not those of profiles/paper\.yaml"):
        run_records.read_record(folder, run_records.paper_document())
    profile.write_text(own.replace("threads: 1", "threads: 2"))  # of the machine: no other parameters
    assert run_records.read_record(folder, run_records.paper_document()).threads == 1
    profile.write_text(own)
    table = folder / run_records.BASELINES
    table.write_text(table.read_text().replace("spheres_004", "spheres_999"))
    with pytest.raises(UserError, match=r"baselines\.csv: changed since it was written"):
        run_records.read_record(folder, project)
    table.unlink()
    with pytest.raises(UserError, match=r"baselines\.csv: not found"):
        run_records.read_record(folder, project)
    moved = folder.rename(folder.with_name("spheres-unet-16-1"))
    with pytest.raises(UserError, match="not found"):
        run_records.read_record(moved, project)
    (moved / run_records.RECORD).write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        run_records.read_record(moved, project)


def test_every_digest_is_of_its_own_cell_and_of_what_decides_it(project: Document) -> None:
    names = ["spheres-baselines", CELL.key, "spheres-unet-16-2", "spheres-attention_unet-16-1"]
    before = {name: run_records.digest(project, name) for name in names}
    assert len(set(before.values())) == len(names)
    profile = Path("profiles/paper.yaml")
    profile.write_text(profile.read_text().replace("num_res_units: 2", "num_res_units: 1"))
    after = {name: run_records.digest(run_records.paper_document(), name) for name in names}
    assert [name for name in names if before[name] != after[name]] == [CELL.key, "spheres-unet-16-2"]


def test_the_committed_cells_are_the_paper_profile_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    document = run_records.paper_document()
    results, records = paper.read_cells(run_records.FOLDER, document)
    assert sorted(records) == [path.name for path in COMMITTED]
    assert results.scores.groupby(["model", "patch_size", "seed"]).size().eq(100).all()
    assert results.history.groupby(["model", "patch_size", "seed"])["epoch"].max().eq(50).all()
    assert all(not record.revision.endswith("+") for record in records.values())


@pytest.mark.slow
def test_committed_cells_with_a_foreign_one_among_them_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "cells"
    shutil.copytree(ROOT / run_records.FOLDER, folder)
    name = next(path.name for path in COMMITTED if not path.name.endswith("baselines"))
    record = folder / name / run_records.RECORD
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "data": "of other volumes"}))
    with pytest.raises(UserError, match="saw different volumes"):
        paper.read_cells(folder, run_records.paper_document())
    record.write_text(json.dumps({**content, "parameters": "of another profile"}))
    with pytest.raises(UserError, match="its parameters are not those"):
        paper.read_cells(folder, run_records.paper_document())


def test_our_means_are_next_to_the_published_with_the_distance_from_their_range() -> None:
    published = paper.published_means(0.95).set_index(["task", "model", "patch_size"])
    row = published.loc[("spheres", "unet", 32)]
    assert row["published_mean"] == pytest.approx((0.981577 + 0.981101 + 0.982067) / 3)
    assert (row["published_min"], row["published_max"]) == (0.981101, 0.982067)
    # Student's t over three runs: 4.303 standard errors
    assert row["published_high"] - row["published_mean"] == pytest.approx(4.303 * 0.000483 / 3**0.5, rel=2e-3)
    assert len(published) == 30


def test_the_tables_of_the_paper_s_cells_are_those_of_the_committed_cells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    document = run_records.paper_document()
    tables = paper.compare(*paper.read_cells(run_records.FOLDER, document), document)
    for name, table in (("metrics/paper_cells", "cells"), ("metrics/paper_means", "means")):
        write_csv(tmp_path / "now.csv", tables[table])
        assert (tmp_path / "now.csv").read_text() == (ROOT / f"{name}.csv").read_text()
    networks = tables["means"][tables["means"]["seeds"] > 0]
    for row in networks.itertuples():
        if math.isnan(row.published_mean):
            assert row.model not in {"unet", "attention_unet", "unetr"}  # an exchanged norm was not published
            continue
        away = max(row.published_min - row.dice_mean, row.dice_mean - row.published_max, 0)
        assert row.outside_published_range == pytest.approx(away)


BARE = """
import runpy, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name.partition(".")[0] in {absent!r}
        return None if absent else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.argv = [{script!r}, *{arguments!r}]
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.slow
def test_the_script_runs_where_there_is_neither_dvc_nor_pandas(project: Document, tmp_path: Path) -> None:
    """Nor this package's installation, nor git: a copy of src, profiles and the script."""
    bare = tmp_path / "bare"
    shutil.copytree(ROOT / "src", bare / "src")
    (bare / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "paper_cells.py", bare / "benchmarks")
    shutil.copytree(tmp_path / "profiles", bare / "profiles")
    absent = {
        "dvc", "pandas", "matplotlib", "isal", "tqdm", "nibabel", "psutil", "wandb", "einops",
    }  # fmt: skip
    script = str(bare / "benchmarks" / "paper_cells.py")
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)}

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = BARE.format(absent=absent, script=script, arguments=list(arguments))
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
        )

    refused = start(CELL.key)
    assert refused.returncode == 1
    assert "say which commit the code is, with --revision" in refused.stderr
    done = start("--revision", "abc", CELL.key)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (bare / run_records.FOLDER / CELL.key).iterdir()} == {
        run_records.RECORD, run_records.SCORES, run_records.HISTORY, run_records.RATIOS,
    }  # fmt: skip
    unknown = start("spheres-unet-17-1", "spheres-vnet-16-1", "--revision", "abc")
    assert unknown.returncode == 1
    assert unknown.stderr.count("is no cell of profiles/paper.yaml") == 2


def test_several_cells_run_side_by_side_and_a_failure_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "fake.py"
    script.write_text(
        "import pathlib, sys\n"
        "pathlib.Path(__file__).with_name(sys.argv[-1]).write_text(' '.join(sys.argv[1:]))\n"
        "sys.exit(sys.argv[-1] == 'b')\n"
    )
    monkeypatch.setattr(runner, "__file__", str(script))
    assert runner.run_all(["a", "b", "c"], 2, {"--revision": "abc"}) == 1
    assert capfd.readouterr().err == "failed: b\n"
    assert [(tmp_path / name).read_text() for name in "abc"] == [f"--revision abc {name}" for name in "abc"]
