"""The published layout, read with its faults; the published runs of our own, made by hand."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import published_tables
import pytest
from published_tables import HEADER, PUBLISHED, needs_published
from workspace import ROOT

from context_fbr.core.errors import UserError
from context_fbr_tools.cli import command_line
from context_fbr_tools.exchange.published.results import read_published


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two networks, two patch sizes, three runs of two cases each."""
    return published_tables.write(tmp_path / "published")


def test_what_is_sound_is_read_without_a_word(folder: Path) -> None:
    found = read_published(folder)
    assert found.problems == ()
    assert len(found.evidence.scores) == 24
    assert found.evidence.scores["model"].unique().tolist() == ["attention_unet", "unet"]
    assert found.evidence.scores["hausdorff"].isna().sum() == 12  # inf: an empty prediction
    assert found.evidence.nested == {"spheres"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: "\ufeff" + text, id="P2 a byte order mark"),
        pytest.param(lambda text: text + "\n\n", id="P2 blank last lines"),
        pytest.param(
            lambda text: ("\ufeff" + text + "\n").replace("\n", "\r\n"), id="P2 all of it, from Windows"
        ),
    ],
)
def test_tables_as_editors_save_them_are_read_alike(folder: Path, change: Callable[[str], str]) -> None:
    before = read_published(folder)
    for path in folder.glob("*/*.csv"):
        path.write_text(change(path.read_text()), newline="")
    after = read_published(folder)
    assert after.problems == ()
    pd.testing.assert_frame_equal(after.evidence.scores, before.evidence.scores)
    pd.testing.assert_frame_equal(after.evidence.ratios, before.evidence.ratios)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", ".git"])
def test_folders_that_editors_and_systems_make_are_passed_over(folder: Path, name: str) -> None:
    for place in (folder, folder / "synthetic-unet"):
        (place / name).mkdir()
        (place / name / "synthetic-unet-32-1.csv").write_text("?")
    assert read_published(folder).problems == ()


@pytest.mark.parametrize("table", ["synthetic-unet-32-1.csv", "foreground_ratios-32.csv"])
def test_a_table_that_would_never_end_is_one_problem(folder: Path, table: str) -> None:
    path = folder / "synthetic-unet" / table
    path.unlink()
    for make, text in (
        (lambda: path.symlink_to("/dev/zero"), "is a link out of"),
        (lambda: os.mkfifo(path), "expected a regular file"),
    ):
        make()
        first = next(text for text in read_published(folder).problems if text.startswith(f"{path}: "))
        assert text in first
        path.unlink()


def test_every_fault_is_reported_with_its_place_and_the_rest_is_kept(folder: Path) -> None:
    unet, attention = folder / "synthetic-unet", folder / "synthetic-atunet"
    (unet / "synthetic-unet-32-1.csv").write_text(HEADER + '"img0","0.9"\n"img1","0.5","1","0.1","0.02"\n')
    (unet / "synthetic-unet-32-2.csv").unlink()
    (unet / "synthetic-unet-64-1.csv").write_text('"name","dice"\n"img0","0.9"\n')
    (unet / "synthetic-unet-64-2.csv").write_text(
        HEADER
        + '"img0","1.9","1","0.1","0.1"\n"img1","0.5","1","0.1","0.02"\n"img1","0.5","1","0.1","0.02"\n'
    )
    (unet / "synthetic-unet-64-b.csv").write_text(HEADER)
    (unet / "foreground_ratios-32.csv").write_text("0.1\nx\n7\n")
    (unet / "foreground_ratios-64.csv").unlink()
    shutil.copy(attention / "foreground_ratios-64.csv", attention / "foreground_ratios-32.csv")
    (attention / "foreground_ratios-48.csv").write_text("0.2\n0.4")
    (folder / "liver-unet").mkdir()
    found = read_published(folder)
    text = "\n".join(found.problems)
    for expected in (
        f"{unet / 'synthetic-unet-32-1.csv'}:2: 2 fields, expected 5: ['img0', '0.9']",
        f"{unet / 'synthetic-unet-32-2.csv'}: missing",
        f"{unet / 'synthetic-unet-64-1.csv'}:1: columns ['name', 'dice'], expected",
        f"{unet / 'synthetic-unet-64-2.csv'}:2: dsc is 1.9, expected 0 to 1",
        f"{unet / 'synthetic-unet-64-2.csv'}:4: img1 is there twice",
        f"{unet / 'synthetic-unet-64-b.csv'}: expected the name synthetic-unet-PATCH-RUN.csv",
        f"{unet / 'foreground_ratios-32.csv'}:2 and 1 more lines: expected a number from 0 to 1",
        f"{unet / 'foreground_ratios-64.csv'}: not found; patch size 64 has no training range",
        f"{attention / 'foreground_ratios-32.csv'} and {attention / 'foreground_ratios-64.csv'}: identical",
        "spheres, unet, patch 32, run 1: without img0",
        f"{attention / 'foreground_ratios-48.csv'}: its last line is cut",
        f"{folder / 'liver-unet'}: expected a folder named TASK-MODEL",
    ):
        assert expected in text
    # The copied ratios vouch for nothing, the sound ones are used.
    keys = found.evidence.ratios[["model", "patch_size"]].drop_duplicates()
    assert keys.to_numpy().tolist() == [["attention_unet", 48], ["unet", 32]]
    assert f"{unet / 'synthetic-unet-64-1.csv'}: missing" not in text  # it is there, and damaged
    assert f"{unet / 'foreground_ratios-32.csv'}: holds 1 ratios, others 2" in text


def test_a_folder_without_any_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no published table"):
        read_published(tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        read_published(tmp_path / "absent")


def one_run_without_ratios(folder: Path) -> None:
    for path in folder.rglob("*.csv"):
        if not path.name.endswith("-1.csv"):
            path.unlink()


def test_networks_may_have_patch_sizes_of_their_own(folder: Path) -> None:
    for path in (folder / "synthetic-atunet").glob("*32*"):
        path.unlink()
    assert read_published(folder).problems == ()


def published(*arguments: str) -> int | None:
    options = command_line().finished().parse_args(["published", *arguments])
    status: int | None = options.run(options)
    return status


@pytest.fixture
def _in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
@pytest.mark.usefixtures("_in_project")
def test_the_command_writes_tables_findings_and_figures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert published(str(folder), "--out", str(out)) == 0
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert names >= {
        "ranges.csv", "range_intervals.csv", "cell_ranges.csv", "differences.csv", "summary.json", "findings.json",
        "spheres/dice_by_patch_size.png", "spheres/scores_by_foreground_ratio.png", "spheres/training_ranges.png",
    }  # fmt: skip
    columns = "task,model,patch_size,group,n,dice_mean,dice_sd,hausdorff_mean,hausdorff_sd"
    assert (out / "ranges.csv").read_text().splitlines()[0] == columns
    found = json.loads((out / "findings.json").read_text())["findings"]
    assert {finding["verdict"] for finding in found} <= {"supported", "contradicted", "not decided"}
    with pytest.raises(UserError, match="is there already"):
        published(str(folder), "--out", str(out))


@pytest.mark.slow
@pytest.mark.usefixtures("_in_project")
def test_damaged_data_write_nothing_unless_asked_and_never_exit_with_0(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "synthetic-unet" / "synthetic-unet-32-1.csv").write_text(HEADER + '"img0","0.9"\n')
    out = tmp_path / "out"
    with pytest.raises(UserError, match="not analysed, see above"):
        published(str(folder), "--out", str(out))
    assert "synthetic-unet-32-1.csv:2: 2 fields, expected 5" in capsys.readouterr().err
    assert not out.exists()
    assert published(str(folder), "--out", str(out), "--keep-going") == 1
    assert len(pd.read_csv(out / "ranges.csv")) == 16


@pytest.mark.usefixtures("_in_project")
def test_a_single_run_without_training_ratios_is_analysed_as_far_as_it_goes(
    folder: Path, tmp_path: Path
) -> None:
    one_run_without_ratios(folder)
    out = tmp_path / "out"
    assert published(str(folder), "--out", str(out), "--keep-going") == 1
    summary = json.loads((out / "summary.json").read_text())["spheres"]["unet"]["32"]
    assert summary["dice_mean"] == pytest.approx(0.705)
    assert summary["dice_mean_low"] is None
    assert (out / "ranges.csv").read_text().count("\n") == 1  # nothing is known to be within or outside
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is there already"):
        published(str(folder), "--out", str(tmp_path / "file"))


@needs_published
@pytest.mark.usefixtures("_in_project")
def test_a_cut_row_and_a_copied_ratio_file_among_the_real_results_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "published"
    shutil.copytree(PUBLISHED, copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755)
    place = copy / "synthetic-unet"
    table = place / "synthetic-unet-80-2.csv"
    table.write_text(table.read_text()[:-30])
    shutil.copy(place / "foreground_ratios-64.csv", place / "foreground_ratios-80.csv")
    with pytest.raises(UserError):
        published(str(copy), "--out", str(tmp_path / "out"))
    said = capsys.readouterr().err
    assert f"{table}:{len(table.read_text().splitlines())}: " in said
    assert "foreground_ratios-64.csv and" in said
    assert "foreground_ratios-80.csv: identical foreground ratios" in said
