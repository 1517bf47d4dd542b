"""Figures of context: what is drawn, and the files that the reports write."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_twins import CONTEXT_SETTINGS, CORES, GROUPS, observed, study
from workspace import ROOT

from context_fbr.analysis.results import Results
from context_fbr.analysis.tables.context import context_table
from context_fbr.analysis.tables.core_cells import core_cells
from context_fbr.config.document import Document
from context_fbr.config.raw.source import read_raw
from context_fbr.config.raw.twins import TwinsRaw
from context_fbr.datasets import twins
from context_fbr.figures.context import (
    context_and_ratio,
    context_by_distance,
    example_slices,
    study_report,
    task_report,
)

MADE = study()
CELLS = core_cells(MADE.evidence.cells, CORES)
EMPTY = pd.DataFrame()


@pytest.fixture(scope="module")
def raw() -> TwinsRaw:
    found = read_raw(Document.read(ROOT / "params.yaml"), "twins")
    assert isinstance(found, TwinsRaw)
    return found


def drawn(monkeypatch: pytest.MonkeyPatch, module: object) -> list:
    """Keep the figures that a module would turn into bytes."""
    kept: list = []
    monkeypatch.setattr(module, "png", lambda figure: kept.append(figure) or b"")
    return kept


def test_a_network_has_a_column_with_a_line_for_each_patch_and_its_observer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = CELLS.query("task == 'twins' and network in ('unet', 'unetr_batch')")
    windows = own[["patch_size", "core"]].drop_duplicates().itertuples(index=False)
    table = context_table(own, observed([(int(p), int(c)) for p, c in windows]), GROUPS, 0.95)
    kept = drawn(monkeypatch, context_by_distance)
    context_by_distance.context_by_distance(table)
    top, other, below, _ = kept[0].axes
    assert (top.get_title(), other.get_title()) == ("UNet", "UNETR\nbatch norm")
    for axis, score in ((top, "dice"), (below, "hit_minus_false")):
        rows = table.query("model == 'unet' and patch_size == 16 and distance != 'all'")
        line, observer = axis.get_lines()[:2]
        assert list(line.get_xdata()) == [7.0, 10.5, 14.0, 17.0, 20.5]
        assert list(line.get_ydata()) == pytest.approx(list(rows[score]))
        assert list(observer.get_ydata()) == pytest.approx(list(rows[f"observer_{score}"]))
        assert observer.get_linestyle() == ":"
    assert len(top.get_lines()) == 7  # patch and observer of three sizes, and 2/3
    assert top.get_lines()[-1].get_ydata()[0] == pytest.approx(2 / 3)


def test_a_core_is_a_line_over_patches_and_the_diagonal_joins_whole_patches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    means, seeds = context_and_ratio.tables(CELLS, 0.95)
    kept = drawn(monkeypatch, context_and_ratio)
    context_and_ratio.context_and_ratio(means, seeds)
    titles = [axis.get_title().splitlines() for axis in kept[0].axes]
    assert [title[0] for title in titles] == [
        "twins: context is needed",
        "twins: context is needed",
        "spheres: no context is needed",
    ]
    dice = MADE.evidence.scores.groupby(["task", "model", "patch_size"])["dsc"].mean()["spheres"]
    lines = [list(line.get_ydata()) for line in kept[0].axes[2].get_lines() if len(line.get_ydata())]
    expected = [
        [dice["unet", 16], dice["unet_core16", 32], dice["unet_core16", 48]],
        [dice["unet", 32], dice["unet_core32", 48]],
        [dice["unet", 48]],
        [dice["unet", 16], dice["unet", 32], dice["unet", 48]],
    ]
    assert lines == [pytest.approx(values) for values in expected]


def test_examples_are_test_volumes_with_both_balls_in_the_plane(raw: TwinsRaw) -> None:
    near, far = example_slices.examples(raw)
    assert near.distance < 12 <= 16 <= far.distance
    volumes = [twins.generate(raw, twins.TEST, index).image for index in range(raw.test.count)]
    for own in (near, far):
        assert set(np.unique(own.label)) == {0, 1, 2}
        assert any(
            np.array_equal(np.take(image, place, axis=axis), own.image)
            for image in volumes
            for axis in range(3)
            for place in range(raw.edge)
        )
        for value, (x, y) in enumerate(own.centres, 1):
            assert own.label[x, y] == value


def test_windows_are_within_the_volume_and_hold_the_right_ball(
    raw: TwinsRaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = drawn(monkeypatch, example_slices)
    slices = example_slices.examples(raw)
    example_slices.example_slices(slices, [16, 32])
    for axis, own in zip(kept[0].axes, slices, strict=True):
        boxes = [patch.get_bbox() for patch in axis.patches]
        assert [round(box.width) for box in boxes] == [16, 32]
        for box in boxes:
            assert box.x0 >= -0.5
            assert box.x1 <= raw.edge - 0.5
            assert box.contains(*own.centres[0])


@pytest.mark.slow
def test_the_reports_write_their_tables_and_the_same_bytes_twice(raw: TwinsRaw, tmp_path: Path) -> None:
    scores = MADE.evidence.scores.query("task == 'twins'")
    results = Results(EMPTY, EMPTY, scores, EMPTY, variants=MADE.variants)
    observer = observed(task_report.windows(results, CONTEXT_SETTINGS))
    for name in ("a", "b"):
        folders = tmp_path / name / "metrics", tmp_path / name / "plots"
        task_report.write(results, raw, observer, CONTEXT_SETTINGS, *folders)
    names = {"context.csv", "variants.csv", "observer.csv", "context_by_distance.png", "example_slices.png"}
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").rglob("*.*")}
    assert files.keys() == names
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").rglob("*.*")}
    assert task_report.windows(results, CONTEXT_SETTINGS) == [
        (16, 16), (32, 16), (32, 32), (48, 16), (48, 32), (48, 48),
    ]  # fmt: skip


def test_a_study_without_cores_has_neither_findings_nor_a_figure(tmp_path: Path) -> None:
    few = MADE.evidence.scores.query("task == 'spheres' and model == 'attention_unet'")
    evidence = type(MADE.evidence)(few, MADE.evidence.ratios, MADE.evidence.converged)
    study_report.write(evidence, EMPTY, CONTEXT_SETTINGS, tmp_path, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "context.json",
        "context_parts.csv",
        "context_and_ratio.csv",
    }
    tree = json.loads((tmp_path / "context.json").read_text())
    assert (tree["findings"], tree["not_asked"]) == ([], [])
