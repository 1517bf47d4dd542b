"""nnU-Net's layout, one file per channel, becomes a data set that `verify` accepts."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from context_fbr.core.errors import UserError
from context_fbr.datasets.verify import verify
from context_fbr_tools.cli import run as run_cli

AFFINE = np.diag([0.8, 0.9, 2.0, 1.0])
DESCRIPTION = {
    "channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "transition": 2, "peripheral": 1},
    "numTraining": 2, "file_ending": ".nii.gz",
}  # fmt: skip


def voxels(case: str, channel: int) -> np.ndarray:
    return np.random.default_rng([ord(case), channel]).integers(0, 500, (12, 11, 10)).astype(np.int16)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two training cases and a test case without label, of two channels each."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Dataset005_Prostate"
    for place, case in (("Tr", "a"), ("Tr", "b"), ("Ts", "t")):
        for channel in (0, 1):
            save(folder / f"images{place}/{case}_{channel:04}.nii.gz", voxels(case, channel))
        if place == "Tr":
            label = np.zeros((12, 11, 10), np.uint8)
            label[3:6, 3:6, 3:6], label[6:8, 3:6, 3 : 6 + (case == "b")] = 1, 2
            save(folder / f"labelsTr/{case}.nii.gz", label)
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION))
    return folder


def convert(raw: Path) -> Path:
    run_cli(["task", "convert", str(raw), "out"])
    return Path("out")


def refused(raw: Path) -> list[str]:
    with pytest.raises(UserError) as error:
        convert(raw)
    assert not Path("out").exists()
    return list(error.value.problems)


def test_channels_become_one_image_that_is_verified_and_read_by_itk(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = convert(raw)
    assert "3 cases; next: context-fbr task init out" in capsys.readouterr().out
    assert verify(out, workers=1).problems == ()
    for place, case in (("Tr", "a"), ("Tr", "b"), ("Ts", "t")):
        image = SimpleITK.ReadImage(str(out / f"images{place}/{case}.nii.gz"))
        assert image.GetSize() == (12, 11, 10, 2)
        found = SimpleITK.GetArrayFromImage(image).T
        np.testing.assert_array_equal(found, np.stack([voxels(case, n) for n in (0, 1)], axis=-1))
        np.testing.assert_allclose(image.GetSpacing()[:3], (0.8, 0.9, 2.0), rtol=1e-6)
    label = (out / "labelsTr/a.nii.gz").read_bytes()
    assert label == (raw / "labelsTr/a.nii.gz").read_bytes()


def test_the_description_names_values_and_lists_cases(raw: Path) -> None:
    description = json.loads((convert(raw) / "dataset.json").read_text())
    assert description["modality"] == {"0": "T2", "1": "ADC"}
    assert description["labels"] == {"0": "background", "1": "peripheral", "2": "transition"}
    assert [pair["image"] for pair in description["training"]] == [
        "./imagesTr/a.nii.gz",
        "./imagesTr/b.nii.gz",
    ]
    assert description["test"] == ["./imagesTs/t.nii.gz"]


def test_one_channel_stays_a_3d_image_and_an_unpacked_label_is_packed(raw: Path) -> None:
    for path in raw.rglob("*_0001.nii.gz"):
        path.unlink()
    (raw / "dataset.json").write_text(json.dumps(DESCRIPTION | {"channel_names": {"0": "T2"}}))
    label = raw / "labelsTr/a.nii.gz"
    nibabel.save(nibabel.load(label), raw / "labelsTr/a.nii")
    label.unlink()
    out = convert(raw)
    assert nibabel.load(out / "imagesTr/a.nii.gz").shape == (12, 11, 10)
    assert sorted(path.name for path in (out / "labelsTr").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    assert verify(out, workers=1).problems == ()


def test_everything_that_is_wrong_with_names_is_reported_together(raw: Path) -> None:
    (raw / "imagesTr/a_0001.nii.gz").unlink()
    (raw / "labelsTr/b.nii.gz").unlink()
    save(raw / "labelsTr/c.nii.gz", np.zeros((12, 11, 10), np.uint8))
    texts = " ".join(refused(raw))
    assert "a has the channels 0000, expected 0000, 0001" in texts
    assert "b has no label" in texts
    assert "c has a label and no image" in texts


@pytest.mark.parametrize(
    ("data", "affine", "expected"),
    [
        (np.zeros((12, 11, 9), np.int16), AFFINE, "12 x 11 x 9 voxels"),
        (np.zeros((12, 11, 10), np.int16), np.diag([0.8, 0.9, 2.1, 1.0]), "0.8 x 0.9 x 2.1 mm"),
    ],
)
def test_channels_on_different_grids_are_named_with_both_grids(
    raw: Path, data: np.ndarray, affine: np.ndarray, expected: str
) -> None:
    for case in "ab":
        save(raw / f"imagesTr/{case}_0001.nii.gz", data, affine)
    problems = refused(raw)
    assert [Path(problem.partition(": ")[0]).name for problem in problems] == [
        "a_0001.nii.gz",
        "b_0001.nii.gz",
    ]
    assert all(
        expected in problem and "12 x 11 x 10 voxels of 0.8 x 0.9 x 2 mm" in problem for problem in problems
    )


def test_a_damaged_channel_is_named(raw: Path) -> None:
    path = raw / "imagesTr/b_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    (problem,) = refused(raw)
    assert "b_0000.nii.gz" in problem


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"labels": {"background": 0, "whole": [1, 2]}}, "'whole' is a region"),
        ({"channel_names": {}}, "lacks channel_names or labels"),
        ({"channel_names": {"1": "T2", "2": "ADC"}}, "has the keys 1, 2, expected 0, 1, ..."),
        ({"labels": {"background": 0, "organ": 1, "ignore": 2}}, "'ignore' has no counterpart"),
        ({"labels": {"background": 0, "left": 1, "right": 1}}, "two names have one value"),
    ],
)
def test_a_description_that_cannot_be_turned_is_refused(raw: Path, change: dict, expected: str) -> None:
    (raw / "dataset.json").write_text(json.dumps(DESCRIPTION | change))
    (problem,) = refused(raw)
    assert expected in problem


def test_a_folder_that_is_there_is_left_alone(raw: Path) -> None:
    Path("out").mkdir()
    with pytest.raises(UserError, match="out: is there already"):
        convert(raw)
    assert list(Path("out").iterdir()) == []


def test_channels_are_named_by_their_numbers_and_the_source_is_kept(raw: Path) -> None:
    content = DESCRIPTION | {
        "channel_names": {"1": "ADC", "0": "T2"},
        "reference": "A hospital",
        "licence": "CC0",
    }
    (raw / "dataset.json").write_text(json.dumps(content))
    description = json.loads((convert(raw) / "dataset.json").read_text())
    assert description["modality"] == {"0": "T2", "1": "ADC"}
    assert (description["reference"], description["licence"]) == ("A hospital", "CC0")


def test_the_first_version_s_description_is_read_too(raw: Path) -> None:
    content = {
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "peripheral", "2": "transition"},
    }
    (raw / "dataset.json").write_text(json.dumps(content))
    assert json.loads((convert(raw) / "dataset.json").read_text())["labels"] == content["labels"]


def test_files_that_would_be_lost_are_problems(raw: Path) -> None:
    save(raw / "imagesTs/t1.nii.gz", voxels("t", 0))
    nibabel.save(nibabel.load(raw / "imagesTr/a_0000.nii.gz"), raw / "imagesTr/a_0000.nii")
    nibabel.save(nibabel.load(raw / "labelsTr/a.nii.gz"), raw / "labelsTr/a.nii")
    texts = refused(raw)
    assert [Path(text.partition(": ")[0]).name for text in texts] == [
        "a_0000.nii.gz",
        "t1.nii.gz",
        "a.nii.gz",
    ]
    assert "is not named CASE_0000" in texts[1]


def test_a_damaged_label_is_named(raw: Path) -> None:
    path = raw / "labelsTr/b.nii.gz"
    path.write_bytes(path.read_bytes()[:100])
    (problem,) = refused(raw)
    assert "labelsTr/b.nii.gz" in problem


@pytest.mark.parametrize(("largest", "dtype"), [(2**24 + 1, np.int32), (2**31 + 5, np.float32)])
def test_channels_of_different_types_keep_their_values(raw: Path, largest: int, dtype: type) -> None:
    second = voxels("a", 1).astype(np.uint32)
    second[0, 0, 0] = largest
    save(raw / "imagesTr/a_0000.nii.gz", voxels("a", 0).astype(np.int32))
    save(raw / "imagesTr/a_0001.nii.gz", second)
    image = nibabel.load(convert(raw) / "imagesTr/a.nii.gz")
    assert image.get_data_dtype() == dtype
    assert image.header.get_xyzt_units()[0] == "mm"
    assert float(image.dataobj[0, 0, 0, 1]) == pytest.approx(largest, rel=1e-7)
