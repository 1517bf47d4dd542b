"""Bundles, run by MONAI alone: the masks of `predict`, and the Dice of the study."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import SimpleITK
import torch
from workspace import ROOT, Workspace

pytestmark = pytest.mark.slow
SCHEMA = json.loads((ROOT / "tests/support/monai_metadata_schema.json").read_text())


@dataclass(frozen=True)
class Bundle:
    """The bundle of a cell of a workspace."""

    path: Path
    workspace: Workspace
    task: str
    cell: str
    images: Path
    labels: Path

    def run(self, *arguments: str) -> str:
        """Run MONAI's command in the bundle's folder; this package cannot be imported there."""
        blocked = self.path.parent / "blocked" / "context_fbr"
        blocked.mkdir(parents=True, exist_ok=True)
        (blocked / "__init__.py").write_text("raise ImportError('a bundle needs MONAI alone')\n")
        command = [sys.executable, "-m", "monai.bundle", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(blocked.parent)}
        done = subprocess.run(
            command, cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    @property
    def scores(self) -> pd.DataFrame:
        """Scores of the cell's test cases with its primary window."""
        table = pd.read_csv(self.workspace.path / f"metrics/test/{self.task}/{self.cell}.csv")
        return table[table["window"] == table["window"].iloc[0]]


CELLS = {
    "spheres": ("finished", "attention_unet-16-1", "Ts"),  # its merging layers have a norm of their own
    "blobs": ("structures_study", "unet-32-1", "Tr"),
    "ct": ("ct_study", "unet-32-1", "Tr"),
}
"""By task: the fixture of its study, a cell, and the end of its folders of scans."""


@pytest.fixture(scope="module", params=CELLS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    study, cell, scans = CELLS[request.param]
    workspace: Workspace = request.getfixturevalue(study)
    raw = workspace.path / "data/raw" / request.param
    folders = raw / f"images{scans}", raw / f"labels{scans}"
    path = tmp_path_factory.mktemp("bundle") / "bundle"
    made = Bundle(path, workspace, request.param, f"{request.param}-{cell}", *folders)
    workspace.context_fbr("bundle", made.cell, "--out", str(made.path))
    return made


def read(path: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    image = SimpleITK.ReadImage(str(path))
    return SimpleITK.GetArrayFromImage(image), (
        *image.GetOrigin(),
        *image.GetSpacing(),
        *image.GetDirection(),
    )


def test_its_masks_are_those_of_predict(bundle: Bundle, tmp_path: Path) -> None:
    bundle.run(
        "run",
        "--config_file",
        "configs/inference.json",
        "--dataset_dir",
        str(bundle.images),
        "--output_dir",
        str(tmp_path / "masks"),
    )
    bundle.workspace.context_fbr(
        "predict", bundle.cell, str(bundle.images), "--out", str(tmp_path / "ours"), "--window", "patch"
    )
    voxels = differing = found = 0
    ours = sorted((tmp_path / "ours").iterdir())
    assert [path.name for path in ours] == sorted(path.name for path in (tmp_path / "masks").iterdir())
    for path in ours:
        (own, own_grid), (theirs, their_grid) = read(path), read(tmp_path / "masks" / path.name)
        assert own.shape == theirs.shape
        np.testing.assert_allclose(own_grid, their_grid, atol=1e-4)
        voxels, differing, found = (
            voxels + own.size,
            differing + (own != theirs).sum(),
            found + (own > 0).sum(),
        )
    assert found
    # Resampling to the image's grid rounds in another order: voxels whose interpolated mask is one half.
    resampled = bundle.task != "spheres"
    assert differing <= (2e-4 * voxels if resampled else 0)


def test_its_dice_is_that_of_the_study(bundle: Bundle, tmp_path: Path) -> None:
    names = set(bundle.scores["filename"])
    images = tmp_path / "images"
    images.mkdir()
    for path in bundle.images.iterdir():
        if path.name.removesuffix(".nii.gz") in names:
            (images / path.name).symlink_to(path)
    both = "['configs/inference.json','configs/evaluate.json']"
    bundle.run(
        "run",
        "--config_file",
        both,
        "--dataset_dir",
        str(images),
        "--label_dir",
        str(bundle.labels),
        "--output_dir",
        str(tmp_path / "scores"),
    )
    table = pd.read_csv(tmp_path / "scores/val_mean_dice_raw.csv")
    theirs = table["mean"].set_axis([Path(name).name.removesuffix(".nii.gz") for name in table["filename"]])
    scores = bundle.scores
    if "structure" in scores:
        scores = scores[scores["structure"] != "whole"]
    ours = scores.groupby("filename")["original_dsc"].mean()
    difference = (theirs - ours).dropna()
    assert len(difference)
    assert abs(difference.mean()) < 1e-4 if bundle.task == "spheres" else abs(difference.mean()) < 2e-3


def test_its_metadata_is_valid_and_fits_the_network(bundle: Bundle) -> None:
    tree = json.loads((bundle.path / "configs/metadata.json").read_text())
    jsonschema.validate(tree, SCHEMA)
    size = tree["network_data_format"]["inputs"]["image"]["spatial_shape"]
    assert size == [int(bundle.cell.split("-")[-2])] * 3
    bundle.run(
        "verify_net_in_out",
        "--net_id",
        "network_def",
        "--meta_file",
        "configs/metadata.json",
        "--config_file",
        "configs/inference.json",
    )


def test_its_weights_are_those_of_the_cell(bundle: Bundle) -> None:
    own = torch.load(bundle.workspace.path / f"models/{bundle.cell}/weights.pt", weights_only=True)
    theirs = torch.load(bundle.path / "models/model.pt", weights_only=True)
    assert list(own) == list(theirs)
    assert all(torch.equal(own[name], theirs[name]) for name in own)


def test_its_card_has_the_numbers_of_the_tables_and_says_what_it_is_not_for(bundle: Bundle) -> None:
    card = (bundle.path / "docs/README.md").read_text()
    cases = pd.read_csv(bundle.workspace.path / f"metrics/{bundle.task}/cases.csv")
    _, model, size, seed = bundle.cell.split("-")
    own = cases[(cases["model"] == model) & (cases["patch_size"] == int(size)) & (cases["seed"] == int(seed))]
    assert f"| whole | {own['dsc'].mean():.3f} |" in card
    for heading in (
        "Intended use",
        "Data",
        "Protocol",
        "Results",
        "Known failures",
        "How to use",
        "How to reproduce",
    ):
        assert f"\n## {heading}\n" in card
    assert "**Not for** clinical use" in card
    header = card.split("---\n")[1]
    assert "library_name: monai" in header
    assert f"name: {bundle.cell}" in header
    if bundle.task == "blobs":
        assert all(f"\n| {name} | " in card for name in ("core", "rim", "dot"))
    assert (bundle.path / "docs/cases.png").read_bytes().startswith(b"\x89PNG")


def test_a_bundle_is_not_written_twice_nor_of_a_cell_that_is_not_trained(
    bundle: Bundle, tmp_path: Path
) -> None:
    again = bundle.workspace.context_fbr("bundle", bundle.cell, "--out", str(bundle.path), expect=1)
    assert "exists already" in again.stderr
    absent = bundle.workspace.context_fbr(
        "bundle", f"{bundle.task}-unet-64-9", "--out", str(tmp_path / "b"), expect=1
    )
    assert "is neither in the grid of params.yaml nor trained" in absent.stderr
    assert not (tmp_path / "b").exists()
