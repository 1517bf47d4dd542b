"""The analysis of a task by itself: the same numbers as that of several tasks together, and of few cells."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_results import CELLS, SETTINGS

from context_fbr import analyze, compare
from context_fbr.analysis import summary
from context_fbr.analysis.findings.assembly import findings, findings_across
from context_fbr.analysis.observations import from_results
from context_fbr.analysis.results import Results, read_results
from context_fbr.config.analysis import AnalyzeConfig
from context_fbr.config.raw.source import FolderRaw

TABLES = ("history", "foreground_ratios", "scores", "baselines", "windows")


def config(task: str, *tasks: str) -> AnalyzeConfig:
    return AnalyzeConfig(task, (), (task, *tasks), SETTINGS, FolderRaw(source="folder", folder="x"), 0.25)


def of_task(results: Results, task: str) -> Results:
    tables = {name: getattr(results, name) for name in TABLES}
    own = {name: t[t["task"] == task].reset_index(drop=True) for name, t in tables.items()}
    return replace(results, **own)


@pytest.fixture
def two(tables: Path) -> Results:
    """Two tasks: the second is the first with other scores."""
    first = read_results(CELLS)
    second = {name: getattr(first, name).assign(task="spheres_wide") for name in TABLES}
    for name in ("scores", "windows"):
        second[name]["dsc"] = 0.5 * second[name]["dsc"]
    joined = {
        name: pd.concat([getattr(first, name), table], ignore_index=True) for name, table in second.items()
    }
    return replace(first, **joined)


@pytest.mark.slow
def test_a_task_s_tables_are_its_rows_of_those_of_all_tasks_together(two: Results, tmp_path: Path) -> None:
    analyze.write_task(two, SETTINGS, tmp_path / "all", tmp_path / "all/plots")
    for task in ("spheres", "spheres_wide"):
        analyze.write(of_task(two, task), config(task), tmp_path)
        names = sorted(path.name for path in (tmp_path / "metrics" / task).glob("*.csv"))
        assert "cells.csv" in names
        assert "windows.csv" in names
        for name in names:
            whole, own = (pd.read_csv(p / name) for p in (tmp_path / "all", tmp_path / "metrics" / task))
            expected = whole[whole["task"] == task].reset_index(drop=True)
            pd.testing.assert_frame_equal(own, expected, check_dtype=False)
        for name in ("summary.json", "baselines.json"):
            whole, own = (
                json.loads((p / name).read_text()) for p in (tmp_path / "all", tmp_path / "metrics" / task)
            )
            inner = (lambda tree: tree) if name == "summary.json" else (lambda tree: tree["threshold"])
            assert inner(own) == {task: inner(whole)[task]}
        headline = json.loads((tmp_path / f"metrics/headline/{task}.json").read_text())
        assert [*headline] == [task]


def test_findings_of_a_task_are_the_same_alone_and_those_of_two_tasks_are_in_the_comparison(
    two: Results, tmp_path: Path
) -> None:
    evidence = from_results(two, summary.convergence(summary.cell_table(two, SETTINGS)))
    together = findings(evidence, SETTINGS).tree(0.95)
    alone = findings(evidence.of_task("spheres"), SETTINGS).tree(0.95)
    assert together == alone
    assert not [f for f in (*alone["findings"], *alone["not_asked"]) if f["id"] == "wide_range"]
    compare.write(two, SETTINGS, tmp_path)
    written = json.loads((tmp_path / "findings.json").read_text())
    assert written == findings_across(evidence, SETTINGS).tree(0.95)
    asked = [*written["findings"], *written["not_asked"]]
    assert {(finding["task"], finding["id"]) for finding in asked} == {("spheres", "wide_range")}


@pytest.mark.slow
def test_a_widened_task_of_the_study_has_no_findings_of_its_own(two: Results, tmp_path: Path) -> None:
    wide = of_task(two, "spheres_wide")
    for tasks, count in (((), 0), (("spheres",), 0)):
        analyze.write(wide, config("spheres_wide", *tasks), tmp_path)
        tree = json.loads((tmp_path / "metrics/spheres_wide/findings.json").read_text())
        asked = len(tree["findings"]) + len(tree["not_asked"])
        assert (asked > count) is (not tasks)


def test_three_cells_of_one_network_patch_size_and_foreground_ratio_are_enough(
    tables: Path, tmp_path: Path
) -> None:
    """As a control with a single configuration: no pair, no range, all labels of one size."""
    cells = [cell for cell in CELLS if (cell.model, cell.patch_size) == ("unet", 16)]
    results = read_results(cells)
    scores, windows, baselines = (
        frame.assign(fg_ratio=0.002, label_voxels=33)
        for frame in (results.scores, results.windows, results.baselines)
        if frame is not None
    )
    few = replace(results, scores=scores, windows=windows, baselines=baselines)
    analyze.write(few, config("spheres"), tmp_path)
    tree = json.loads((tmp_path / "metrics/spheres/findings.json").read_text())
    assert {finding["id"] for finding in tree["not_asked"]} >= {"norm_at_smallest_patch", "small_slope"}
    figures = {path.name for path in (tmp_path / "plots/spheres").glob("*.png")}
    assert {"dice_by_patch_size.png", "learning_curves.png", "scores_by_foreground_ratio.png"} <= figures
    cells_table = pd.read_csv(tmp_path / "metrics/spheres/cells.csv")
    assert len(cells_table) == len(cells)
    assert np.isfinite(cells_table["dice"]).all()
