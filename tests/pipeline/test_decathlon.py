"""The ten blocks of docs/reference/decathlon.md, each on a generated data set of its shape, from data to predictions."""

import re
from collections.abc import Mapping
from typing import Any

import made_decathlon
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from monai.apps.datasets import DecathlonDataset
from ruamel.yaml import YAML
from workspace import ROOT, TINY, Workspace

from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr.metrics.overlap import score

PAGE = (ROOT / "docs/reference/decathlon.md").read_text(encoding="utf-8")
TEXTS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
BLOCKS: Mapping[str, Any] = {
    name: block for text in TEXTS for name, block in YAML(typ="safe").load(text)["tasks"].items()
}
CHANNELS = {"brain_tumour": 4, "prostate": 2}
STRUCTURES = {
    "brain_tumour": 3,
    "liver": 2,
    "hippocampus": 2,
    "prostate": 2,
    "pancreas": 2,
    "hepatic_vessel": 2,
}
"""Of the others one: https://doi.org/10.1038/s41467-022-30695-9, table 1."""
CASES = {"brain_tumour": 484, "heart": 20, "liver": 131, "hippocampus": 260, "prostate": 32, "lung": 63, "pancreas": 281, "hepatic_vessel": 303, "spleen": 41, "colon": 126}  # fmt: skip
"""Labelled cases, of the same table."""
COMMENTS = {
    name: re.search(rf"\n## {block['raw']['archive'][7:-4]}\n\n(.*)\n", PAGE)
    for name, block in BLOCKS.items()
}


def groups(block: Mapping[str, Any]) -> list[list[int]]:
    prepare = block["prepare"]
    return list(prepare["structures"].values()) if "structures" in prepare else [prepare["foreground"]]


@pytest.mark.parametrize("name", BLOCKS)
def test_address_and_md5_are_those_of_monai_and_the_structures_those_of_the_paper(name: str) -> None:
    block = BLOCKS[name]
    archive = block["raw"]["archive"].removesuffix(".tar")
    split = block["prepare"]["split"]

    assert block["raw"]["url"] == DecathlonDataset.resource[archive]
    assert block["raw"]["md5"] == DecathlonDataset.md5[archive]
    assert groups(block) == [[value] for value in range(1, STRUCTURES.get(name, 1) + 1)]
    assert sum(split.values()) == CASES[name]
    comment = COMMENTS[name]
    assert comment is not None
    assert comment[1].startswith("CT" if "window" in block["prepare"] else "MRI")
    assert (f"{CHANNELS.get(name)} channels" in comment[1]) == (name in CHANNELS)


def test_all_ten_are_there_and_fit_into_params_yaml(tmp_path: Any) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    others = [
        text_of for text_of in TEXTS if not re.search(r"^  (hippocampus|spleen):", text_of, re.MULTILINE)
    ]
    before, _, after = text.partition("\nmodels:")
    added = "".join(other.removeprefix("tasks:\n") for other in others)
    (tmp_path / "params.yaml").write_text(f"{before}\n{added}\nmodels:{after}", encoding="utf-8")

    study: Study = read_study(Document.read(tmp_path / "params.yaml"))

    assert {*BLOCKS} == {*CASES}
    assert {*BLOCKS} <= {*study.tasks}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of the ten tasks on made data: the blocks, with a folder in place of the archive and few epochs."""
    made = Workspace.make(tmp_path_factory.mktemp("decathlon") / "study", TINY)
    path = made.path / "params.yaml"
    yaml = YAML()
    root = yaml.load(path)
    for name, block in BLOCKS.items():
        block = YAML(typ="safe").load(next(text for text in TEXTS if f"  {name}:" in text))["tasks"][name]
        prepare = block["prepare"]
        prepare["split"] = {"train": 2, "validation": 1, "test": 2}
        block |= {"raw": {"source": "folder", "folder": f"incoming/{name}"}, "train": {"epochs": 2}}
        root["tasks"][name] = block
        values = [value for own in groups(block) for value in own]
        made_decathlon.make(
            made.path / "incoming" / name,
            CHANNELS.get(name, 1),
            values,
            "window" in prepare,
            prepare["spacing_mm"],
        )
    root["study"]["tasks"] = root["grid"]["tasks"] = [*BLOCKS]
    root["grid"] |= {"models": ["unet"], "patch_sizes": [16], "seeds": [1]}
    root["train"]["validate_every_epochs"] = 2
    yaml.dump(root, path)
    for name in BLOCKS:
        made.context_fbr("verify", f"incoming/{name}")
    made.context_fbr("grid", "run", "--jobs", "2")
    return made


def read(path: Any) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


@pytest.mark.long
@pytest.mark.parametrize("name", BLOCKS)
def test_a_task_of_this_shape_runs_and_its_masks_have_the_values_of_its_labels(
    name: str, workspace: Workspace
) -> None:
    cell = f"{name}-unet-16-1"
    own = groups(BLOCKS[name])
    table = pd.read_csv(workspace.path / f"metrics/test/{name}/{cell}.csv")
    assert ("structure" in table) == (len(own) > 1)
    case = str(table["filename"].iloc[0])
    prediction, label = (
        read(workspace.path / folder / f"{case}.nii.gz")
        for folder in (f"data/predictions/{name}/{cell}", f"data/raw/{name}/labelsTr")
    )
    assert {*np.unique(prediction)} <= {0, *(value for values in own for value in values)}
    values = [value for group in own for value in group]
    expected = score(np.isin(prediction, values), np.isin(label, values)).dice
    assert table["original_dsc"].iloc[0] == pytest.approx(expected, abs=1e-6)
    voxels = np.load(workspace.path / f"data/prepared/{name}/images/{case}.npy")
    assert voxels.ndim == (4 if name in CHANNELS else 3)
    assert len(voxels) == CHANNELS[name] if name in CHANNELS else voxels.ndim == 3
    assert (workspace.path / f"plots/overlays/{name}.png").is_file()

    image = workspace.path / f"data/raw/{name}/imagesTr/{case}.nii.gz"
    workspace.context_fbr("predict", cell, str(image), "--out", f"masks/{name}", "--window", "patch")
    np.testing.assert_array_equal(read(workspace.path / f"masks/{name}/{case}.nii.gz"), prediction)


@pytest.mark.long
def test_an_image_with_other_channels_is_refused(workspace: Workspace) -> None:
    image = next((workspace.path / "data/raw/heart/imagesTr").iterdir())

    done = workspace.context_fbr("predict", "prostate-unet-16-1", str(image), "--out", "no", expect=1)

    assert "1 channels, but the cell was trained with 2" in done.stderr
    assert not (workspace.path / "no").exists() or not list((workspace.path / "no").iterdir())
