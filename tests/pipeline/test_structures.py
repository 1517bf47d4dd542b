"""A task with three structures from its data to figures: real DVC, real training."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK
from workspace import Workspace

from context_fbr.metrics.overlap import score

pytestmark = pytest.mark.slow
VALUES = {"core": 1, "rim": 2, "dot": 3}


@pytest.fixture(scope="module")
def workspace(structures_study: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return structures_study.copy(tmp_path_factory.mktemp("structures") / "study")


def read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def test_tables_have_a_row_for_each_structure_and_their_union(workspace: Workspace) -> None:
    for cell in ("blobs-unet-16-1", "blobs-unet-32-2"):
        table = pd.read_csv(workspace.path / f"metrics/test/blobs/{cell}.csv")
        folder = workspace.path / "data/predictions/blobs" / cell
        windows = {16: [16], 32: [32, 16]}[int(cell.split("-")[2])]
        assert table.groupby(["filename", "window"]).size().eq(4).all()
        assert list(dict.fromkeys(table["window"])) == windows
        for path in folder.iterdir():
            prediction, label = read(path), read(workspace.path / "data/raw/blobs/labelsTr" / path.name)
            assert set(np.unique(prediction)) <= {0, 1, 2, 3}
            rows = table[
                (table["filename"] == path.name.removesuffix(".nii.gz")) & (table["window"] == windows[0])
            ]
            rows = rows.set_index("structure")
            assert list(rows.index) == ["whole", *VALUES]
            for name, value in VALUES.items():
                expected = score(prediction == value, label == value).dice
                assert rows.loc[name, "original_dsc"] == pytest.approx(expected, abs=1e-6)
            assert rows.loc["whole", "original_dsc"] == pytest.approx(score(prediction, label).dice, abs=1e-6)


def test_baselines_are_scored_by_structure_too(workspace: Workspace) -> None:
    table = pd.read_csv(workspace.path / "metrics/baselines/blobs.csv")
    assert (
        table.groupby(["baseline", "filename"])["structure"]
        .agg(list)
        .map(lambda own: own == ["whole", *VALUES])
        .all()
    )


def test_the_analysis_is_of_the_union_and_has_tables_and_a_figure_of_structures(workspace: Workspace) -> None:
    metrics = workspace.path / "metrics/blobs"
    cases, parts = (pd.read_csv(metrics / f"{name}.csv") for name in ("cases", "structure_cases"))
    table = pd.read_csv(metrics / "structures.csv").set_index(["patch_size", "structure"])["dice_mean"]
    assert set(parts["structure"]) == {*VALUES}
    means = parts.groupby(["patch_size", "structure"])["dsc"].mean()
    np.testing.assert_allclose(table.drop("whole", level=1).sort_index(), means.sort_index(), atol=2e-6)
    networks = cases[cases["seed"].notna()].groupby("patch_size")["dsc"].mean()
    np.testing.assert_allclose(table.xs("whole", level=1).sort_index(), networks.sort_index(), atol=2e-6)
    assert (workspace.path / "plots/blobs/dice_by_structure.png").is_file()
    assert (workspace.path / "plots/overlays/blobs.png").is_file()


def test_the_finding_is_the_difference_of_slopes(workspace: Workspace) -> None:
    findings = json.loads((workspace.path / "metrics/blobs/findings.json").read_text())["findings"]
    (finding,) = (f for f in findings if f["id"] == "parts_need_more_context")
    table = pd.read_csv(workspace.path / "metrics/blobs/structures.csv")
    dice = table.pivot(index="structure", columns="patch_size", values="dice_mean")
    slopes = dice[32] - dice[16]  # from one patch size to its double
    assert finding["estimate"] == pytest.approx(slopes[[*VALUES]].mean() - slopes["whole"], abs=2e-6)
    assert [part["name"] for part in finding["parts"]] == [*VALUES]
    for part in finding["parts"]:
        assert part["estimate"] == pytest.approx(slopes[part["name"]] - slopes["whole"], abs=2e-6)


def test_predict_writes_the_label_values_of_the_evaluation(workspace: Workspace) -> None:
    image = workspace.path / "data/raw/blobs/imagesTr/blob_7.nii.gz"
    workspace.context_fbr("predict", "blobs-unet-32-1", str(image), "--out", "masks", "--window", "patch")
    predicted = read(workspace.path / "masks/blob_7.nii.gz")
    np.testing.assert_array_equal(
        predicted, read(workspace.path / "data/predictions/blobs/blobs-unet-32-1/blob_7.nii.gz")
    )
