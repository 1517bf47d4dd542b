"""Patches of three edges from params.yaml to figures, the report and a bundle: real DVC, real training."""

import json
import re
from pathlib import Path

import mri_dataset
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from workspace import ROOT, Workspace

pytestmark = pytest.mark.long
VOXELS = {"16": 16**3, "16x16x8": 16 * 16 * 8, "32x32x16": 32 * 32 * 16}
ORDER = ["16x16x8", "16", "32x32x16"]
"""Patch sizes by their number of voxels."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("thick")
    made = Workspace.make(folder / "study", ROOT / "tests/support/overlays/thick.yaml")
    mri_dataset.make(made.path / "incoming/blobs")
    made.context_fbr("check")
    made.context_fbr("grid", "run", "--jobs", "2")
    made.commit("Results")
    return made


def read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"patch_size": str, "window": str})


@pytest.mark.parametrize("size", VOXELS)
def test_patches_of_the_training_have_the_size_of_their_cell(workspace: Workspace, size: str) -> None:
    ratios = pd.read_csv(workspace.path / f"metrics/foreground_ratios/blobs/blobs-unet-{size}-1.csv")
    counts = ratios["foreground_ratio"] * VOXELS[size]
    np.testing.assert_allclose(counts, counts.round(), atol=1e-6)
    assert counts.max() > 0
    of_core = pd.read_csv(workspace.path / f"metrics/foreground_ratios/blobs/blobs-unet_core-{size}-1.csv")
    np.testing.assert_allclose(
        of_core["foreground_ratio"] * 512, (of_core["foreground_ratio"] * 512).round(), atol=1e-6
    )


def test_each_window_is_scored_and_named(workspace: Workspace) -> None:
    for size in VOXELS:
        scores = table(workspace.path / f"metrics/test/blobs/blobs-unet-{size}-2.csv")
        whole = scores[scores["structure"] == "whole"]
        names = list(dict.fromkeys(whole["window"]))
        assert names[: 1 + (size != "16x16x8")] == list(dict.fromkeys([size, "16x16x8"]))
        assert len(whole) == 2 * len(names)  # two test cases
    windows = table(workspace.path / "metrics/blobs/windows.csv")
    assert {*VOXELS, "16x16x8"} <= set(windows["window"])


def test_tables_and_findings_are_in_the_order_of_voxels_and_slopes_over_the_mean_edge(
    workspace: Workspace,
) -> None:
    folder = workspace.path / "metrics/blobs"
    headline = json.loads((workspace.path / "metrics/headline/blobs.json").read_text())["blobs"]["unet"]
    assert list(headline) == [f"dice_{size}" for size in ORDER]
    findings = json.loads((folder / "findings.json").read_text())["findings"]
    (slope,) = (finding for finding in findings if finding["id"] == "small_slope")
    means = table(folder / "cases.csv").query("model == 'unet'").groupby("patch_size")["dsc"].mean()
    edges = [np.log2(VOXELS[size]) / 3 for size in ORDER]
    assert slope["estimate"] == pytest.approx(np.polyfit(edges, means[ORDER], 1)[0], abs=1e-6)
    assert f"patch {', '.join(ORDER)}" in slope["statistic"]
    for name in ("dice_by_patch_size", "windows", "training_ranges", "dice_by_structure", "learning_curves"):
        assert (workspace.path / f"plots/blobs/{name}.png").stat().st_size > 10_000


def test_predict_repeats_the_evaluation_with_a_window_of_three_edges(workspace: Workspace) -> None:
    image = workspace.path / "data/raw/blobs/imagesTr/blob_7.nii.gz"
    cell = "blobs-unet-32x32x16-1"
    workspace.context_fbr("predict", cell, str(image), "--out", "masks")
    workspace.context_fbr("predict", cell, str(image), "--out", "same", "--window", "32x32x16")
    workspace.context_fbr("predict", cell, str(image), "--out", "other", "--window", "16x16x8")
    expected = read(workspace.path / f"data/predictions/blobs/{cell}/blob_7.nii.gz")
    np.testing.assert_array_equal(read(workspace.path / "masks/blob_7.nii.gz"), expected)
    np.testing.assert_array_equal(read(workspace.path / "same/blob_7.nii.gz"), expected)
    assert (read(workspace.path / "other/blob_7.nii.gz") != expected).any()
    for folder in ("masks", "same", "other"):
        workspace.run("rm", "-r", folder)


def test_the_report_repeats_every_number_and_a_bundle_has_the_window(workspace: Workspace) -> None:
    workspace.context_fbr("report", "--out", "../report.html")
    told = workspace.context_fbr("verify-report", "../report.html").stdout
    assert "means computed again from the cases" in told
    workspace.context_fbr("bundle", "blobs-unet-32x32x16-1", "--out", "../bundle")
    config = json.loads((workspace.path.parent / "bundle/configs/inference.json").read_text())
    assert config["inferer"]["roi_size"] == [32, 32, 16]


def test_show_cost_plan_and_power_name_the_sizes_in_their_order(workspace: Workspace) -> None:
    shown = workspace.context_fbr("show", "metrics/blobs").stdout
    assert re.search(rf"^network +patch {' .*patch '.join(ORDER)}$", shown, re.MULTILINE)
    for table_of in (shown.partition("means of other scores")[2], workspace.context_fbr("cost").stdout):
        for network in ("UNet", "unet_core"):
            assert re.findall(rf"\b{network} +({'|'.join(ORDER)}) ", table_of) == ORDER
    assert "unet-16x16x8 and unet_core-16x16x8" in workspace.context_fbr("power").stdout
    workspace.context_fbr("plan", "--json", "../plan.json")
    plan = json.loads((workspace.path.parent / "plan.json").read_text())
    assert {key.split("-")[2] for key in plan["cells"]} == {*ORDER}


def test_nothing_differs_from_itself_and_what_left_the_grid_is_found(workspace: Workspace) -> None:
    workspace.context_fbr("diff", "HEAD")
    copy = workspace.copy(workspace.path.with_name("pruned"))
    copy.edit("params.yaml", "[16, 16x16x8, 32x32x16]", "[16, 32x32x16]")
    shown = copy.context_fbr("prune", "--dry-run").stdout
    assert "models/blobs-unet-16x16x8-1" in shown
    assert "32x32x16" not in shown
    copy.context_fbr("grid", "run")
    sizes = table(copy.path / "metrics/blobs/cells.csv")["patch_size"]
    assert set(sizes) == {"16", "32x32x16"}
    assert copy.repro("-k") == set()
