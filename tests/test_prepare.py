"""Raw volumes to prepared ones, and every way in which a volume can be wrong."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from conftest import ROOT

from context_fbr import nifti, prepare, prepared, profiles, raw, recipe, workers
from context_fbr.errors import UserError
from context_fbr.splits import SPLITS, Source
from context_fbr.study.preparation import Preparation, Prepare, Split

NAMES = [f"spheres_{i:03d}" for i in range(7)]


@pytest.fixture
def workspace(tmp_path: Path, params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the raw data of the tiny overlay: 3 train, 1 validation, 3 test."""
    profiles.apply_overlay(ROOT / "tests" / "overlays" / "tiny.yaml", params)
    monkeypatch.chdir(tmp_path)
    raw.main(["spheres"])
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


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
    before = content(workspace / "data" / "raw")
    raw.main(["spheres"])
    assert content(workspace / "data" / "raw") == before
    assert len(before) == 15


def test_cases_are_split_by_sorted_file_name_and_voxels_are_kept(workspace: Path) -> None:
    prepare.main(["spheres"])
    names = {split: [case.name for case in prepared.read_cases("spheres", split)] for split in SPLITS}
    assert names == {"train": NAMES[:3], "validation": NAMES[3:4], "test": NAMES[4:]}
    for case in prepared.read_cases("spheres", "test"):
        image, label = prepared.read_volume("spheres", case)
        source = workspace / "data" / "raw" / "spheres" / "imagesTs" / f"{case.name}.nii.gz"
        np.testing.assert_array_equal(image, nibabel.load(source).get_fdata(dtype=np.float32))
        assert case.foreground_ratio == label.mean()
        np.testing.assert_array_equal(case.geometry.affine, np.eye(4))
        assert case.geometry.is_kept
        assert (case.background, case.foreground) == (0, (1,))
        assert case.lowest_intensity == image.min()


def test_a_volume_in_another_orientation_is_turned_to_ras_with_its_affine(workspace: Path) -> None:
    path = workspace / "data" / "raw" / "spheres" / "imagesTr" / NAMES[0]
    affine = np.array([[0, -2.0, 0, 30], [1.0, 0, 0, 5], [0, 0, -3.0, 9], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    label = (voxels > 0.5).astype(np.uint8)
    files = [path.with_name(name) for name in ("image.nii.gz", "label.nii.gz")]
    for file, array in zip(files, (voxels, label), strict=True):
        nifti.write(file, array, affine)
    settings = Prepare(split=Split(train=1, validation=1, test=1))
    source = Source("case", "train", *(file.relative_to(workspace) for file in files))
    case, image, turned = prepare.prepare_case(source, workspace, settings, {0, 1})
    assert nibabel.aff2axcodes(np.asarray(case.geometry.affine)) == ("R", "A", "S")
    for index in np.ndindex(voxels.shape):  # every voxel keeps its place in the world
        world = affine @ [*index, 1]
        there = np.rint(np.linalg.solve(case.geometry.affine, world)[:3]).astype(int)
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


def test_several_damaged_cases_are_reported_together_in_their_order(workspace: Path) -> None:
    prepare.main(["spheres"])
    before = content(workspace / "data" / "prepared")
    folder = workspace / "data" / "raw" / "spheres"
    damage(folder, "nan")
    (folder / "imagesTs" / f"{NAMES[5]}.nii.gz").write_bytes(b"")
    label = folder / "labelsTr" / f"{NAMES[2]}.nii.gz"
    nifti.write(label, np.full((16, 16, 16), 9, np.uint8), np.eye(4))
    with pytest.raises(UserError) as caught:
        prepare.main(["spheres"])
    assert [name for problem in caught.value.problems for name in NAMES if name in problem] == [
        NAMES[0], NAMES[2], NAMES[5],
    ]  # fmt: skip
    assert content(workspace / "data" / "prepared") == before  # and what was there is there


def test_preparing_again_gives_the_same_bytes_and_leaves_nothing_of_before(workspace: Path) -> None:
    prepare.main(["spheres"])
    folder = workspace / "data" / "prepared"
    before = content(folder)
    assert len(before) == 15
    (folder / "spheres" / "images" / "old.npy").touch()
    prepare.main(["spheres"])
    assert content(folder) == before


def test_cases_keep_their_order_however_long_each_takes(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real work, the first cases delayed so that they end last."""
    prepare.main(["spheres"])
    before = content(workspace / "data" / "prepared")
    real, ended = prepare.prepare_case, []

    def delayed(source: Source, *rest: object) -> object:
        time.sleep(0.05 * (len(NAMES) - NAMES.index(source.name)))
        result = real(source, *rest)
        ended.append(source.name)
        return result

    monkeypatch.setattr(prepare, "prepare_case", delayed)
    monkeypatch.setattr(prepare, "usable_workers", lambda jobs, _memory: jobs)
    prepare.main(["spheres"])
    assert ended != NAMES
    assert content(workspace / "data" / "prepared") == before


@pytest.mark.parametrize(
    ("free", "cores", "jobs", "expected"),
    [
        (100, 8, 5, 5),  # by the jobs
        (100, 2, 5, 2),  # by the cores
        (35, 8, 5, 3),  # by the memory: three times ten fit
        (3, 8, 5, 1),  # one runs even so
        (100, 8, 0, 1),
    ],
)
def test_workers_are_bounded_by_jobs_cores_and_free_memory(
    monkeypatch: pytest.MonkeyPatch, free: int, cores: int, jobs: int, expected: int
) -> None:
    monkeypatch.setattr(workers.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(workers, "usable_cores", lambda: cores)
    assert workers.usable_workers(jobs, memory_each=10) == expected


@pytest.mark.parametrize(("room_for", "expected"), [(0.5, 1), (2.5, 2)])
def test_no_more_cases_are_in_hand_than_memory_holds(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, room_for: float, expected: int
) -> None:
    free = int(room_for * prepare.MEMORY_PER_CASE)
    monkeypatch.setattr(workers.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)
    real, in_hand, most, lock = prepare.prepare_case, 0, 0, threading.Lock()

    def counted(*arguments: object) -> object:
        nonlocal in_hand, most
        with lock:
            in_hand += 1
            most = max(most, in_hand)
        time.sleep(0.03)
        result = real(*arguments)
        with lock:
            in_hand -= 1
        return result

    monkeypatch.setattr(prepare, "prepare_case", counted)
    prepare.main(["spheres"])
    assert most == expected


def test_a_foreground_that_is_no_label_of_the_data_set_names_the_parameter(
    change: Callable[[str, str], object], workspace: Path
) -> None:
    split = "      split: {train: 3, validation: 1, test: imagesTs}"
    params = workspace / "params.yaml"
    lines = [line for line in params.read_text().splitlines() if line.startswith(split)]
    assert len(lines) == 1
    change(lines[0], f"{lines[0]}\n      foreground: [1, 3]")
    with pytest.raises(
        UserError, match=r"tasks.spheres.prepare.foreground: \[3\] are no labels of .*\[0, 1\]"
    ):
        prepare.main(["spheres"])
    assert not (workspace / "data" / "prepared").exists()


@pytest.mark.parametrize("text", [None, "{", '{"labels": 3}', "[]"])
def test_a_data_set_without_a_usable_description_is_told(workspace: Path, text: str | None) -> None:
    path = workspace / "data" / "raw" / "spheres" / "dataset.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"spheres/dataset.json: .*; run `dvc repro raw@spheres`"):
        prepare.main(["spheres"])


def test_the_task_keeps_how_its_images_were_made(workspace: Path) -> None:
    prepare.main(["spheres"])
    kept = recipe.from_json(prepared.read_recipe("spheres"))
    training = prepared.read_cases("spheres", "train")
    assert kept.modality == ("synthetic",)
    assert kept.lowest_intensity == min(case.lowest_intensity for case in training)
    assert kept.preparation == Preparation()
    assert json.dumps(kept.as_json()) == json.dumps(prepared.read_recipe("spheres"))


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
    path = workspace / "data/prepared/spheres/cases.json"
    for text, expected in (
        ('{"format": 1, "cases": []}', f"format 1, expected {prepared.FORMAT}; run `dvc repro prepare`"),
        (f'{{"format": {prepared.FORMAT}, "cases": [{{"name": 1}}]}}', "is damaged"),
        ("{", "is damaged"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=expected):
            prepared.read_cases("spheres", "train")
