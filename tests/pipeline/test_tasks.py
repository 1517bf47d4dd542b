"""Tasks that come as data and a block of params.yaml, from archive to predictions: real DVC, real training."""

import json
from pathlib import Path

import mri_dataset
import msd_spleen
import nibabel
import numpy as np
import pandas as pd
import pytest
from workspace import ROOT, Workspace, cells

from context_fbr.metrics.overlap import score
from context_fbr.metrics.surface import score_surface

SHARED = ROOT.parent / "shared" / "data"
LABELS = SHARED / "msd_spleen_labels"
CASES = ["spleen_10", "spleen_12", "spleen_13", "spleen_2", "spleen_53", "spleen_9"]

pytestmark = pytest.mark.slow
needs_labels = pytest.mark.skipif(not LABELS.is_dir(), reason="the labels of MSD Task09 are not here")


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def check_scores(workspace: Workspace, task: str, foreground: tuple[int, ...], tolerance: float) -> None:
    """The predictions lie on the raw images' grids, and what the table says of them there is true."""
    cell = f"{task}-unet-32-1"
    table = pd.read_csv(workspace.path / "metrics/test" / task / f"{cell}.csv").set_index("filename")
    predictions = sorted((workspace.path / "data/predictions" / task / cell).iterdir())
    assert [path.name.removesuffix(".nii.gz") for path in predictions] == list(table.index)
    for path in predictions:
        raw = workspace.path / "data/raw" / task
        image, prediction = (nibabel.load(p) for p in (raw / "imagesTr" / path.name, path))
        assert prediction.shape == image.shape
        np.testing.assert_allclose(prediction.affine, image.affine, atol=1e-6)
        label = np.isin(voxels(raw / "labelsTr" / path.name), foreground)
        spacing = [float(size) for size in nibabel.affines.voxel_sizes(image.affine)]
        mm = score_surface(voxels(path), label, spacing, tolerance)
        expected = (
            score(voxels(path), label).dice, mm.hausdorff_mm, mm.hd95_mm, mm.surface_dice, mm.volume_difference_ml,
        )  # fmt: skip
        row = table.loc[path.name.removesuffix(".nii.gz")]
        found = row[[name for name in table.columns if name.startswith("original_")]]
        np.testing.assert_allclose(
            found.astype(float), [np.nan if x is None else x for x in expected], rtol=1e-6
        )


@needs_labels
def test_the_spleen_s_archive_becomes_cells_with_the_block_of_params_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "Task09_Spleen.tar"
    msd_spleen.write_dataset(LABELS, tmp_path / "spleen", CASES, shrink=4)
    msd_spleen.pack(tmp_path / "spleen", archive)
    workspace = Workspace.make(tmp_path / "study", ROOT / "tests" / "support" / "overlays" / "spleen.yaml")
    monkeypatch.setenv("CONTEXT_FBR_ARCHIVE_SPLEEN", str(archive))
    ran = workspace.repro()
    assert {"raw@spleen", "prepare@spleen", "baseline@spleen", *cells(workspace)} <= ran
    prepared = json.loads((workspace.path / "data/prepared/spleen/cases.json").read_text())
    assert [case["name"] for case in prepared["cases"]] == CASES
    assert [case["split"] for case in prepared["cases"]] == ["train"] * 3 + ["validation"] + ["test"] * 2
    check_scores(workspace, "spleen", (1,), 3.0)
    assert workspace.dvc("status").strip() == "Data and pipelines are up to date."
    monkeypatch.delenv("CONTEXT_FBR_ARCHIVE_SPLEEN")
    archive.unlink()
    assert workspace.repro() == set()  # what DVC holds needs no archive


@pytest.fixture(scope="module")
def without_data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """The study of overlays/mri.yaml, which needs no real data, after `context-fbr grid run`; what it said."""
    workspace = Workspace.make(
        tmp_path_factory.mktemp("mri") / "study", ROOT / "tests" / "support" / "overlays" / "mri.yaml"
    )
    mri_dataset.make(workspace.path / "incoming" / "blobs")
    for name in OF_ANOTHER_MACHINE:
        path = workspace.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} of another machine\n")
    workspace.commit("Results of a task whose data are elsewhere")
    done = workspace.context_fbr("grid", "run", "--jobs", "2")
    return workspace, done.stdout + done.stderr


OF_ANOTHER_MACHINE = ("metrics/lost/summary.json", "plots/lost/windows.png", "metrics/headline/lost.json")


def test_a_task_without_archive_is_skipped_by_name_and_its_committed_results_stay(
    without_data: tuple[Workspace, str],
) -> None:
    workspace, said = without_data
    (line,) = (line for line in said.splitlines() if line.startswith("lost: skipped"))
    assert "CONTEXT_FBR_ARCHIVE_LOST" in line
    assert "failed or lacks its input" not in said
    assert "Traceback" not in said
    assert cells(workspace, task="blobs") | {"analyze@blobs", "overlay@blobs"} <= workspace.lock().keys()
    assert not {name for name in workspace.lock() if "lost" in name or name == "compare"}
    assert not (workspace.path / "data/raw/lost").exists()
    assert (workspace.path / "metrics/blobs/summary.json").exists()
    for name in OF_ANOTHER_MACHINE:
        assert (workspace.path / name).read_text() == f"{name} of another machine\n"


def test_a_wrong_archive_is_a_failure_and_not_a_task_without_data(
    without_data: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace = without_data[0].copy(tmp_path / "study")
    workspace.edit("params.yaml", "url: null, md5: null", f"url: null, md5: {'f' * 32}")
    incoming = workspace.path / "data/incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / "lost.tar").write_bytes(b"another archive")
    done = workspace.context_fbr("grid", "run", expect=1)
    assert "raw@lost failed or lacks its input" in done.stderr
    assert "its md5 is" in done.stdout + done.stderr
    assert "lost: skipped" not in done.stdout
    assert (workspace.path / "metrics/blobs/summary.json").exists()


def test_tasks_are_compared_without_one_that_never_had_data(
    without_data: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace = without_data[0].copy(tmp_path / "study")
    for name in OF_ANOTHER_MACHINE:
        (workspace.path / name).unlink()
    for folder in ("metrics/lost", "plots/lost"):
        (workspace.path / folder).rmdir()
    done = workspace.context_fbr("grid", "run")
    assert "lost: was skipped" in done.stdout
    assert "compare" in workspace.lock()
    assert (workspace.path / "metrics/compare/findings.json").exists()


def test_a_task_without_data_that_is_asked_for_by_name_is_a_failure(
    without_data: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace = without_data[0].copy(tmp_path / "study")
    done = workspace.context_fbr("grid", "run", "--tasks", "lost", expect=1)
    assert "raw@lost failed or lacks its input" in done.stderr


def test_mri_with_three_labels_runs_by_its_block_alone(without_data: tuple[Workspace, str]) -> None:
    workspace, _ = without_data
    check_scores(workspace, "blobs", (1, 3), 2.0)
    prepared = json.loads((workspace.path / "data/prepared/blobs/cases.json").read_text())
    for case in prepared["cases"]:
        image = np.load(workspace.path / "data/prepared/blobs/images" / f"{case['name']}.npy")
        assert -0.5 < image[image > case["background"] + 1e-6].mean() < 0.5
    training = json.loads((workspace.path / "models/blobs-unet-32-1/training.json").read_text())
    small = [
        c["name"] for c in prepared["cases"] if c["split"] != "test" and min(shape_of(workspace, c)) < 32
    ]
    assert training["padded_cases"] == small != []
    scan = workspace.path / "incoming/blobs/imagesTr/blob_7.nii.gz"
    done = workspace.context_fbr("predict", "blobs-unet-32-1", str(scan), "--out", "masks")
    assert done.stdout.startswith("masks/blob_7.nii.gz: ")
    written = workspace.path / "data/predictions/blobs/blobs-unet-32-1/blob_7.nii.gz"
    assert (workspace.path / "masks/blob_7.nii.gz").read_bytes() == written.read_bytes()


def shape_of(workspace: Workspace, case: dict[str, str]) -> tuple[int, ...]:
    return np.load(workspace.path / "data/prepared/blobs/images" / f"{case['name']}.npy").shape


def test_the_real_ct_is_segmented_on_its_own_grid_by_evaluate_and_by_predict(
    ct_study: Workspace, tmp_path: Path
) -> None:
    workspace = ct_study.copy(tmp_path / "study")
    check_scores(workspace, "ct", (1,), 3.0)
    raw = workspace.path / "data/raw/ct"
    done = workspace.context_fbr(
        "predict", "ct-unet-32-1", f"{raw}/imagesTr/ct_5.nii.gz", f"{raw}/imagesTs", "--out", "masks"
    )
    assert "masks/ct_5.nii.gz: " in done.stdout
    masks = workspace.path / "masks"
    assert (masks / "ct_5.nii.gz").read_bytes() == (
        workspace.path / "data/predictions/ct/ct-unet-32-1/ct_5.nii.gz"
    ).read_bytes()
    assert nibabel.load(masks / "ct_6.nii.gz").shape == nibabel.load(raw / "imagesTs/ct_6.nii.gz").shape
    mri_dataset.make(tmp_path / "blobs", cases=1)
    refused = workspace.context_fbr(
        "predict", "ct-unet-32-1", f"{tmp_path}/blobs/imagesTr/blob_0.nii.gz", "--out", "masks", expect=1
    )
    assert "are not HU: nothing is below 0" in refused.stderr
