"""Data sets in another layout: one error with the way, and the way works."""

import json
import shlex
from pathlib import Path

import pytest
from msd_dataset import Dataset

from context_fbr.core.errors import UserError
from context_fbr.datasets.problems import Problem
from context_fbr.datasets.verify import verify
from context_fbr_tools.cli import run as run_cli

NNUNET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "spleen": 1}, "numTraining": 3, "file_ending": ".nii.gz"}  # fmt: skip


@pytest.fixture
def dataset(params: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Beside a params.yaml."""
    monkeypatch.chdir(params.parent)
    return Dataset.make(params.parent / "a data set")


def problems(dataset: Dataset) -> tuple[Problem, ...]:
    return verify(dataset.path, workers=1).problems


def as_nnunet(dataset: Dataset, *channels: str) -> None:
    for folder in ("imagesTr", "imagesTs"):
        for path in sorted((dataset.path / folder).iterdir()):
            case = path.name.removesuffix(".nii.gz")
            for channel in channels:
                path.with_name(f"{case}_{channel}.nii.gz").write_bytes(path.read_bytes())
            path.unlink()
    dataset.describe(NNUNET)


def init(*arguments: str | Path) -> None:
    run_cli(["task", "init", *map(str, arguments)])


def commands(problem: Problem) -> list[str]:
    """What stands between backquotes."""
    return problem.remedy.split("`")[1::2]


def test_the_layout_of_nnunet_is_one_error_and_its_remedy_works(dataset: Dataset) -> None:
    """U11."""
    as_nnunet(dataset, "0000")
    (problem,) = problems(dataset)
    assert (problem.severity, problem.kind, problem.file) == ("error", "nnU-Net", "imagesTr")
    assert "3 images are named as nnU-Net does, with a channel (a_0000.nii.gz)" in problem.text
    (command,) = commands(problem)
    words = shlex.split(command)
    assert words[:3] == ["context-fbr", "task", "convert"]
    run_cli([*words[1:-1], "out"])
    assert verify(Path("out"), workers=1).problems == ()


def test_several_channels_of_nnunet_are_named(dataset: Dataset) -> None:
    as_nnunet(dataset, "0000", "0001")
    (problem,) = problems(dataset)
    assert "of several channels (0000, 0001)" in problem.text
    assert "context-fbr task convert" in problem.remedy


def test_names_that_end_like_channels_are_left_alone_where_labels_end_so_too(dataset: Dataset) -> None:
    for folder in ("imagesTr", "labelsTr"):
        dataset.file(folder, "b").rename(dataset.file(folder, "b_0000"))
    text = json.dumps(dataset.description()).replace("/b.nii.gz", "/b_0000.nii.gz")
    (dataset.path / "dataset.json").write_text(text)
    assert problems(dataset) == ()


@pytest.mark.parametrize("place", ["IM0001", "study/series/scan.dcm"])
def test_a_folder_of_dicom_files_is_one_error_that_names_dcm2niix(tmp_path: Path, place: str) -> None:
    """U11."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM" + bytes(100))
    (tmp_path / "a note.txt").write_text("before it")
    (problem,) = verify(tmp_path).problems
    assert (problem.severity, problem.kind, problem.file) == ("error", "DICOM", place)
    assert "dcm2niix -z y" in commands(problem)[0]
    assert str(tmp_path) in commands(problem)[0]


@pytest.mark.parametrize("below", ["Task99", "download/Task99"])
def test_a_folder_around_a_data_set_is_one_error_that_names_it(tmp_path: Path, below: str) -> None:
    Dataset.make(tmp_path / below)
    (tmp_path / "README.md").write_text("beside")
    (problem,) = verify(tmp_path).problems
    assert (problem.kind, problem.text) == ("other folder", f"is not here, but in {below}")
    assert problem.remedy == f"name {tmp_path / below}"


def test_a_dataset_json_is_written_from_what_the_files_tell(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """U11."""
    before = dataset.description()
    dataset.label(lambda voxels: voxels * 3, "b")
    (dataset.path / "dataset.json").unlink()
    (problem,) = problems(dataset)
    assert f"`context-fbr task init {dataset.path} --write-dataset-json`" in problem.remedy
    init(dataset.path, "--write-dataset-json", "--name", "zoo")
    written = dataset.description()
    assert written["labels"] == {"0": "background", "1": "label 1", "3": "label 3"}
    assert "modality" not in written
    assert {key: written[key] for key in ("training", "test", "numTraining", "numTest")} == {
        key: before[key] for key in ("training", "test", "numTraining", "numTest")
    }
    assert [(p.severity, p.text.split(":")[0]) for p in problems(dataset)] == [("warning", "modality")]
    assert capsys.readouterr().out.startswith("  zoo:")


def test_a_dataset_json_that_is_there_or_cannot_be_right_is_not_written(dataset: Dataset) -> None:
    path = dataset.path / "dataset.json"
    before = path.read_bytes()
    with pytest.raises(UserError, match="is there already; nothing is written"):
        init(dataset.path, "--write-dataset-json", "--name", "zoo")
    assert path.read_bytes() == before
    path.unlink()
    dataset.label(lambda voxels: voxels / 2)
    with pytest.raises(UserError, match=r"labelsTr/b\.nii\.gz: 1 unknown label value: 0\.5"):
        init(dataset.path, "--write-dataset-json", "--name", "zoo")
    assert not path.exists()
    with pytest.raises(UserError, match="--modality goes with --write-dataset-json"):
        init(dataset.path, "--modality", "CT")
