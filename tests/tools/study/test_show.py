"""Results as tables, from the files that git keeps alone."""

import json
import re
import shutil
from pathlib import Path

import pytest
from made_study import study
from small_results import SETTINGS
from workspace import ROOT

from context_fbr import analyze
from context_fbr.analysis.findings.assembly import findings
from context_fbr.core.errors import UserError
from context_fbr_tools.cli import command_line
from context_fbr_tools.study import findings_text, show


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report")
    published = {
        "t": {"small_slope": {"estimate": -0.001, "low": -0.006, "high": 0.005, "statistic": "slope"}}
    }
    found = findings(study(), SETTINGS, published)
    analyze.write_tables(study(), found, SETTINGS.confidence, made / "metrics")
    return made / "metrics"


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "metrics"))


def test_each_network_has_a_row_each_patch_size_a_column_and_baselines_are_next_to_them(folder: Path) -> None:
    lines = show.render(folder, markdown=False).splitlines()
    first = lines.index("t: mean test Dice, with its 95% interval")
    assert lines[first + 2].split() == ["network", "patch", "16", "patch", "32", "patch", "48"]
    unet, attention, threshold = lines[first + 4 : first + 7]
    assert unet.startswith("UNet ")
    assert "; 1 of 3 not converged" in attention
    assert threshold.count("0.997 [0.996, 0.997]") == 3
    statement = next(line for line in lines if line.startswith("Larger patches raise Dice more"))
    assert statement.endswith("supported; 1 of 18 cells not converged")
    slope = next(line for line in lines if line.startswith("UNet as published"))
    assert "-0.001 [-0.006, +0.005]" in slope
    assert sum(line.startswith("primary: ") for line in lines) == 2
    (absent,) = [line for line in lines if line.startswith("Not asked: ")]
    assert "modern_recipe (no model with a modern recipe)" in absent
    assert "surface Dice" not in "".join(lines).replace("no surface Dice", "")  # a column without any value


def test_a_verdict_names_what_it_depends_on(folder: Path) -> None:
    path = folder / "findings.json"
    tree = json.loads(path.read_text())
    finding = next(f for f in tree["findings"] if f["id"] == "norm_at_smallest_patch")
    part = finding["parts"][0]
    finding |= {"verdict": "not decided", "depends_on_case": "case 7", "not_converged": 0}
    finding["parts"] = [part, {**part, "name": "another", "verdict": "not decided"}]
    slope = next(f for f in tree["findings"] if f["id"] == "slope_by_norm")
    slope |= {"verdict": "not decided", "p": 0.02, "p_holm": 0.06, "not_converged": 0}
    path.write_text(json.dumps(tree))
    text = findings_text.findings_block(folder, "t")
    assert "not decided; not supported for another; depends on one case, case 7 |" in text
    assert "not decided; p 0.060 after Holm's correction |" in text


def test_markdown_has_the_same_numbers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = command_line().finished().parse_args(["show", str(folder), "--markdown"])
    options.run(options)
    said = capsys.readouterr().out
    assert "| network | patch 16 | patch 32 | patch 48 |\n|---|---|---|---|\n| UNet | 0.9" in said
    assert "| intensity threshold | 0.997 [0.996, 0.997] |" in said


def test_what_is_missing_damaged_or_of_another_version_is_one_error(folder: Path) -> None:
    path = folder / "summary.json"
    content = path.read_text()
    path.write_text(content.replace("dice_mean", "dice"))
    with pytest.raises(UserError, match="of another version"):
        show.render(folder, markdown=False)
    path.write_text(content)
    findings = folder / "findings.json"
    kept = findings.read_text()
    findings.write_text(json.dumps({**json.loads(kept), "confidence": "much"}))
    with pytest.raises(UserError, match="of another version"):
        show.render(folder, markdown=False)
    findings.write_text(kept)
    path.write_text(content[:100])
    with pytest.raises(UserError, match=r"summary\.json: is damaged"):
        show.render(folder, markdown=False)
    path.unlink()
    with pytest.raises(UserError, match=r"summary\.json: not found; run `dvc repro`"):
        show.render(folder, markdown=False)


def test_the_paper_s_cells_are_shown_where_there_are_any(folder: Path) -> None:
    text = (ROOT / "metrics" / "paper_means.csv").read_text()
    (folder / "paper_means.csv").write_text(text.replace("\nspheres,", "\nt,"))  # the task of this study
    text = show.render(folder, markdown=False)
    assert "cells of the paper profile and the published runs" in text
    row = next(line for line in text.splitlines() if re.match("t +UNet ", line) and " 32 " in line)
    assert "0.982 [0.980, 0.983]" in row  # the published runs


def test_a_table_with_a_field_without_end_is_one_error(folder: Path) -> None:
    (folder / "paper_means.csv").write_text("a" * 140_000)
    with pytest.raises(UserError, match="of another version"):
        show.render(folder, markdown=False)


def test_other_scores_are_next_to_dice_where_the_summary_has_them(folder: Path) -> None:
    assert "means of other scores" not in show.render(folder, markdown=False)  # of an earlier version
    path = folder / "summary.json"
    tree = json.loads(path.read_text())
    for leaves in tree["t"].values():
        for leaf in leaves.values():
            leaf |= {"surface_dice_mean": 0.75, "recall_mean": 1.0, "false_positive_share_mean": None}
    path.write_text(json.dumps(tree))
    for width in (None, 80, 60):
        lines = show.render(folder, markdown=False, width=width).splitlines()
        first = lines.index("t: means of other scores, by patch size")
        row = next(line for line in lines[first:] if line.startswith("UNet "))
        assert row.split()[-4:] == [f"{tree['t']['unet']['16']['dice_mean']:.3f}", "0.750", "1.000", "-"]
        assert width is None or len(row) <= width
    assert "means of other scores" not in show.render(folder, markdown=True)
    assert show.scores_table(folder, markdown=True).count("| t | UNet | ") == 3


def test_patches_of_three_edges_are_in_the_order_of_their_voxels(folder: Path) -> None:
    path = folder / "summary.json"
    tree = json.loads(path.read_text())
    leaf = tree["t"]["unet"]["16"] | {"surface_dice_mean": 0.75}
    tree["t"]["unet"] = dict.fromkeys(("32x32x16", "16", "16x16x8"), leaf)
    path.write_text(json.dumps(tree))
    rows = [line.split(" | ") for line in show.scores_table(folder, markdown=True).splitlines()]
    assert [row[2] for row in rows if row[:2] == ["| t", "UNet"]] == ["16x16x8", "16", "32x32x16"]
