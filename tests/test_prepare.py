"""Raw volumes to prepared ones, and every way in which a volume can be wrong."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from conftest import ROOT

from context_fbr import nifti, prepare, prepared, profiles, raw
from context_fbr.errors import UserError

NAMES = [f"spheres_{i:03d}" for i in range(7)]


@pytest.fixture
def workspace(tmp_path: Path, params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the raw data of the tiny overlay: 3 train, 1 validation, 3 test."""
    profiles.apply_overlay(ROOT / "tests" / "overlays" / "tiny.yaml", params)
    monkeypatch.chdir(tmp_path)
    raw.main(["spheres"])
    return tmp_path


def test_raw_data_is_an_msd_data_set_that_nibabel_reads(workspace: Path) -> None:
    folder = workspace / "data" / "raw" / "spheres"
    assert sorted(p.name for p in folder.iterdir()) == [
        "dataset.json", "imagesTr", "imagesTs", "labelsTr", "labelsTs",
    ]  # fmt: skip
    image = nibabel.load(folder / "imagesTs" / "spheres_004.nii.gz")
    assert image.shape == (16, 16, 16)
    assert image.header.get_zooms() == (1.0, 1.0, 1.0)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_raw_data_has_the_same_bytes_every_time(workspace: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted((workspace / "data" / "raw").rglob("*.*"))}

    before = content()
    raw.main(["spheres"])
    assert content() == before
    assert len(before) == 15


def test_cases_are_split_by_sorted_file_name_and_voxels_are_kept(workspace: Path) -> None:
    prepare.main(["spheres"])
    names = {
        split: [case.name for case in prepared.read_cases("spheres", split)] for split in prepared.SPLITS
    }
    assert names == {"train": NAMES[:3], "validation": NAMES[3:4], "test": NAMES[4:]}
    for case in prepared.read_cases("spheres", "test"):
        image, label = prepared.read_volume("spheres", case)
        source = workspace / "data" / "raw" / "spheres" / "imagesTs" / f"{case.name}.nii.gz"
        np.testing.assert_array_equal(image, nibabel.load(source).get_fdata(dtype=np.float32))
        assert case.foreground_ratio == label.mean()
        np.testing.assert_array_equal(case.affine, np.eye(4))


def test_a_volume_in_another_orientation_is_turned_to_ras_with_its_affine(workspace: Path) -> None:
    path = workspace / "data" / "raw" / "spheres" / "imagesTr" / NAMES[0]
    affine = np.array([[0, -2.0, 0, 30], [1.0, 0, 0, 5], [0, 0, -3.0, 9], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    label = (voxels > 0.5).astype(np.uint8)
    files = [path.with_name(name) for name in ("image.nii.gz", "label.nii.gz")]
    for file, array in zip(files, (voxels, label), strict=True):
        nifti.write(file, array, affine)
    case, image, turned = prepare.read_source(prepare.Source("case", "train", *files), {0, 1})
    assert nibabel.aff2axcodes(np.asarray(case.affine)) == ("R", "A", "S")
    for index in np.ndindex(voxels.shape):  # every voxel keeps its place in the world
        world = affine @ [*index, 1]
        there = np.rint(np.linalg.solve(case.affine, world)[:3]).astype(int)
        assert image[tuple(there)] == voxels[index]
        assert turned[tuple(there)] == label[index]


def damage(folder: Path, kind: str) -> None:
    """One kind of damage to the first training case."""
    image, label = (folder / sub / f"{NAMES[0]}.nii.gz" for sub in ("imagesTr", "labelsTr"))
    if kind == "cut":
        image.write_bytes(image.read_bytes()[:-200])
    elif kind == "no gzip":
        image.write_bytes(b"nothing of the kind")
    elif kind == "flipped byte":
        content = bytearray(image.read_bytes())
        content[len(content) // 2] ^= 0xFF
        image.write_bytes(content)
    elif kind == "gone":
        image.unlink()
    elif kind == "shape":
        nifti.write(label, np.zeros((5, 5, 5), np.uint8), np.eye(4))
    elif kind == "affine":
        nifti.write(label, nifti.read(label).get_fdata().astype(np.uint8), np.diag([1.0, 1, 2, 1]))
    elif kind == "nan":
        voxels = nifti.read(image).get_fdata(dtype=np.float32)
        voxels[1, 2, 3] = np.nan
        nifti.write(image, voxels, np.eye(4))
    elif kind == "label 7":
        nifti.write(label, np.full((16, 16, 16), 7, np.uint8), np.eye(4))
    elif kind == "four dimensions":
        nifti.write(image, np.zeros((4, 4, 4, 2), np.float32), np.eye(4))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cut", "imagesTr/spheres_000.nii.gz: is no readable NIfTI file"),
        ("no gzip", "imagesTr/spheres_000.nii.gz: is no readable NIfTI file"),
        ("flipped byte", "imagesTr/spheres_000.nii.gz: is no readable NIfTI file"),
        ("gone", "labelsTr/spheres_000.nii.gz: label without image"),
        ("shape", r"spheres_000.nii.gz: shape \(5, 5, 5\), but its image has \(16, 16, 16\)"),
        ("affine", "its affine is not that of its image"),
        ("nan", "1 voxels are NaN or infinite"),
        ("label 7", r"labels \[7.0\], expected \[0, 1\]"),
        ("four dimensions", "expected a 3D volume"),
    ],
)
def test_a_damaged_case_is_named_and_nothing_is_left_half_written(
    workspace: Path, kind: str, expected: str
) -> None:
    damage(workspace / "data" / "raw" / "spheres", kind)
    with pytest.raises(UserError, match=expected):
        prepare.main(["spheres"])
    assert list((workspace / "data" / "prepared").glob("*")) == []


def test_several_damaged_cases_are_reported_together(workspace: Path) -> None:
    folder = workspace / "data" / "raw" / "spheres"
    damage(folder, "nan")
    (folder / "imagesTs" / f"{NAMES[5]}.nii.gz").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        prepare.main(["spheres"])
    assert [NAMES[0] in caught.value.problems[0], NAMES[5] in caught.value.problems[1]] == [True, True]


def test_a_split_that_asks_for_more_than_there_is_names_the_parameter(workspace: Path) -> None:
    (workspace / "data/raw/spheres/imagesTr" / f"{NAMES[3]}.nii.gz").unlink()
    (workspace / "data/raw/spheres/labelsTr" / f"{NAMES[3]}.nii.gz").unlink()
    with pytest.raises(
        UserError, match=r"3 volumes, but the split asks for 3 \+ 1; change tasks.spheres.prepare"
    ):
        prepare.main(["spheres"])


@pytest.mark.parametrize("kind", ["missing", "cut", "other shape"])
def test_a_prepared_volume_that_is_missing_or_damaged_is_named(workspace: Path, kind: str) -> None:
    prepare.main(["spheres"])
    case = prepared.read_cases("spheres", "test")[0]
    path = workspace / "data" / "prepared" / "spheres" / "images" / f"{case.name}.npy"
    if kind == "missing":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        np.save(path, np.zeros((2, 2, 2), np.float32))
    with pytest.raises(UserError, match=f"{case.name}.npy: .*dvc checkout"):
        prepared.read_volume("spheres", case)


def test_a_task_that_was_not_prepared_says_what_to_run(workspace: Path) -> None:
    with pytest.raises(UserError, match="dvc repro prepare@spheres"):
        prepared.read_cases("spheres", "train")
    prepare.main(["spheres"])
    (workspace / "data/prepared/spheres/cases.json").write_text('{"format": 1, "cases": [{"name": 1}]}')
    with pytest.raises(UserError, match="is damaged"):
        prepared.read_cases("spheres", "train")
