"""Raw volumes to prepared ones, and every way in which a volume can be wrong."""

import json
import shutil
import threading
import time
import tracemalloc
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from workspace import ROOT

from context_fbr import prepare, raw
from context_fbr.config import profiles
from context_fbr.config.prepare.preprocessing import Preparation, Prepare, Split
from context_fbr.core import nifti, resources
from context_fbr.core.errors import UserError
from context_fbr.evaluation.case_scores import score_case
from context_fbr.metrics.columns import CASE_SCORES
from context_fbr.preprocessing import prepared, recipe
from context_fbr.preprocessing.originals import Original
from context_fbr.preprocessing.splits import Source

NAMES = [f"spheres_{i:03d}" for i in range(7)]
DESIGNED = "{radius: [2, 7], each: true}"
PLAIN = Prepare(split=Split(train=1, validation=1, test=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the raw data of the tiny overlay: 3 train, 1 validation, 3 test; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(ROOT / "tests" / "support" / "study.yaml", folder / "params.yaml")
    profiles.apply_overlay(ROOT / "tests" / "support" / "overlays" / "tiny.yaml", folder / "params.yaml")
    with chdir(folder):
        raw.main(["spheres"])
    return folder


@pytest.fixture
def workspace(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the raw data and its params.yaml."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
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
    names = {
        split: [case.name for case in prepared.read_cases("spheres", split)]
        for split in ("train", "validation", "test")
    }
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


def test_the_radii_of_a_designed_test_set_come_with_the_cases_and_random_cases_have_none(
    workspace: Path,
) -> None:
    prepare.main(["spheres"])
    assert "design" not in (workspace / "data/raw/spheres/dataset.json").read_text()
    assert '"design"' not in (workspace / "data/prepared/spheres/cases.json").read_text()
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("{volumes: 3, radius: [2, 7], each: false}", DESIGNED))
    raw.main(["spheres"])
    prepare.main(["spheres"])
    test = prepared.read_cases("spheres", "test")
    assert [case.design for case in test] == [2, 3, 4, 5, 6, 7]
    assert all(case.design is None for case in prepared.read_cases("spheres", "train"))
    edges = [np.ptp(np.argwhere(prepared.read_volume("spheres", case)[1]), axis=0).max() for case in test]
    assert edges == [2 * case.design for case in test]
    row, _ = score_case(
        *2 * (prepared.read_volume("spheres", test[1])[1],), test[1], Original(np.ones((1, 1, 1))), 1.0
    )
    assert dict(zip(CASE_SCORES, row, strict=True))["design"] == 3


def test_a_volume_in_another_orientation_is_turned_to_ras_with_its_affine(workspace: Path) -> None:
    path = workspace / "data" / "raw" / "spheres" / "imagesTr" / NAMES[0]
    affine = np.array([[0, -2.0, 0, 30], [1.0, 0, 0, 5], [0, 0, -3.0, 9], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    label = (voxels > 0.5).astype(np.uint8)
    files = [path.with_name(name) for name in ("image.nii.gz", "label.nii.gz")]
    for file, array in zip(files, (voxels, label), strict=True):
        nifti.write(file, array, affine)
    source = Source("case", "train", *(file.relative_to(workspace) for file in files))
    case, image, turned, warnings = prepare.prepare_case(source, workspace, PLAIN, {0, 1})
    assert warnings == ()
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
        nifti.write(image, np.zeros((16, 16, 16, 2), np.float32), np.eye(4))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cut", "imagesTr/spheres_000.nii.gz: is no readable NIfTI file"),
        ("no gzip", "imagesTr/spheres_000.nii.gz: is a text"),
        ("flipped byte", "imagesTr/spheres_000.nii.gz: is no readable NIfTI file"),
        ("gone", "labelsTr/spheres_000.nii.gz: label without image"),
        ("shape", r"spheres_000.nii.gz: shape \(5, 5, 5\), but its image has \(16, 16, 16\)"),
        ("affine", "its affine is not that of its image"),
        ("nan", "1 voxels are NaN or infinite"),
        ("label 7", r"labels \[7.0\], expected \[0, 1\]"),
        ("four dimensions", "channels"),
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
    monkeypatch.setattr(resources.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(resources, "usable_cores", lambda: cores)
    assert resources.usable_workers(jobs, memory_each=10) == expected


@pytest.mark.parametrize(("room_for", "expected"), [(0.5, 1), (2.5, 2)])
def test_no_more_cases_are_in_hand_than_memory_holds(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, room_for: float, expected: int
) -> None:
    image = workspace / "data" / "raw" / "spheres" / "imagesTr" / f"{NAMES[0]}.nii.gz"
    free = int(room_for * prepare.memory_to_prepare(image, PLAIN))
    monkeypatch.setattr(resources.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    monkeypatch.setattr(resources, "usable_cores", lambda: 8)
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


@pytest.mark.parametrize(
    ("stored", "settings"),
    [
        ("int16", {"window": (-57.0, 164.0), "crop": True, "spacing_mm": (1.5, 1.5, 2.0)}),
        ("int16", {"window": (-57.0, 164.0), "spacing_mm": (0.7, 0.7, 1.0)}),
        ("float32", {"z_score": True, "spacing_mm": (0.7, 0.7, 1.5)}),
        ("float64", {"z_score": True}),
        ("int16", {}),
    ],
)
def test_the_memory_that_a_case_takes_is_known_from_its_header(
    tmp_path: Path, stored: str, settings: dict[str, object]
) -> None:
    """Against what numpy and the rest of Python allocate at the same time."""
    voxels = np.random.default_rng(0).integers(-100, 300, (90, 80, 70))
    affine = np.diag([-0.8, -0.8, 2.5, 1.0])
    nifti.write(tmp_path / "image.nii.gz", voxels.astype(stored), affine)
    nifti.write(tmp_path / "label.nii.gz", (voxels > 0).astype(np.uint8), affine)
    source = Source("a", "train", Path("image.nii.gz"), Path("label.nii.gz"))
    prepared_as = Prepare(split=PLAIN.split, **settings)
    prepare.prepare_case(source, tmp_path, prepared_as, {0, 1})  # what is imported once does not count
    tracemalloc.start()
    prepare.prepare_case(source, tmp_path, prepared_as, {0, 1})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimated = prepare.memory_to_prepare(tmp_path / "image.nii.gz", prepared_as)
    assert 0.5 < peak / estimated < 1.25  # the interpreter's own garbage comes and goes


def test_headers_alone_tell_the_memory_and_one_that_cannot_be_read_counts_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    random = np.random.default_rng(0).random((40, 50, 60))
    nifti.write(path, random, np.diag([1.0, 1.0, 2.0, 1.0]))
    finer = Prepare(split=PLAIN.split, spacing_mm=(0.5, 1.0, 2.0))
    whole = prepare.memory_to_prepare(path, finer)
    assert (
        whole
        == 40 * 50 * 60 * prepare.BYTES_PER_SOURCE_VOXEL + 79 * 50 * 60 * prepare.BYTES_PER_PREPARED_VOXEL
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 10])
    assert prepare.memory_to_prepare(path, finer) == whole
    nifti.write(tmp_path / "four.nii.gz", random[..., None].repeat(2, axis=3), np.eye(4))
    path.write_bytes(content[:30])
    header = nibabel.Nifti1Image(random, np.eye(4)).to_bytes()
    (tmp_path / "other.nii").write_bytes(header.replace(b"n+1\0", b"nix\0"))
    for name in ("a.nii.gz", "none.nii.gz", "four.nii.gz", "other.nii"):
        assert prepare.memory_to_prepare(tmp_path / name, finer) == 0, name


def with_settings(
    workspace: Path, more: str, split: str = "{train: 3, validation: 1, test: imagesTs}"
) -> int:
    """Give the spheres' `prepare` another split and more keys; the line of the first of these."""
    params = workspace / "params.yaml"
    lines = params.read_text().splitlines()
    (place,) = (
        n for n, line in enumerate(lines) if "split: {train: 3, validation: 1, test: imagesTs}" in line
    )
    lines[place : place + 1] = [f"      split: {split}", *(f"      {key}" for key in more.split("; ") if key)]
    params.write_text("\n".join(lines))
    return place + 2


def test_a_foreground_that_is_no_label_of_the_data_set_names_the_parameter(workspace: Path) -> None:
    with_settings(workspace, "foreground: [1, 3]")
    with pytest.raises(
        UserError, match=r"tasks.spheres.prepare.foreground: \[3\] are no labels of .*\[0, 1\]"
    ):
        prepare.main(["spheres"])
    assert not (workspace / "data" / "prepared").exists()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("{train: 3, validation: 1, test: imagesTs}", ""),
        ("{train: 2, validation: 1, test: imagesTs}", "spheres: 1 case is in no split: spheres_003\n"),
        (
            "{train: [spheres_002], validation: [spheres_001], test: imagesTs}",
            "spheres: 2 cases are in no split: spheres_000, spheres_003\n",
        ),
    ],
)
def test_cases_that_are_in_no_split_are_reported(
    workspace: Path, capsys: pytest.CaptureFixture[str], split: str, said: str
) -> None:
    with_settings(workspace, "", split)
    prepare.main(["spheres"])
    assert capsys.readouterr().out == said


def warnings_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    prepare.main(["spheres"])
    said = capsys.readouterr().err.splitlines()
    return [line.removeprefix("warning: ") for line in said if line.startswith("warning: ")]


def test_foreground_that_the_crop_leaves_out_is_reported_by_case_with_its_share(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace / "data" / "raw" / "spheres"
    image, label = np.zeros((16, 16, 16), np.float32), np.zeros((16, 16, 16), np.uint8)
    image[4:12, 4:12, 4:12] = np.random.default_rng(0).random((8, 8, 8)) + 0.5
    for case, box in ((0, np.s_[4:12, 4:12, 4:12]), (1, np.s_[10:14, 5:7, 5:7]), (4, np.s_[13:15, 3, 3])):
        label[:] = 0
        label[box] = 1
        suffix = "Tr" if case < 4 else "Ts"
        nifti.write(folder / f"images{suffix}" / f"{NAMES[case]}.nii.gz", image, np.eye(4))
        nifti.write(folder / f"labels{suffix}" / f"{NAMES[case]}.nii.gz", label, np.eye(4))
    assert warnings_of(capsys) == []
    with_settings(workspace, "crop: true")
    files = [
        Path("data/raw/spheres") / part
        for part in (f"labelsTr/{NAMES[1]}.nii.gz", f"labelsTs/{NAMES[4]}.nii.gz")
    ]
    remedy = "out there no voxel is above 0; correct the label, or change window or crop"
    assert warnings_of(capsys) == [
        f"{files[0]}: the crop leaves out 8 of 16 foreground voxels (50.0%): {remedy}",
        f"{files[1]}: the crop leaves out 2 of 2 foreground voxels (100.0%): {remedy}",
        f"{files[1]}: no foreground (label values [1]) on the prepared grid; the case has no Dice",
    ]
    assert [case.foreground_voxels for case in prepared.read_cases("spheres", "train")[:2]] == [512, 8]


@pytest.mark.parametrize(
    ("modality", "settings", "warns"),
    [
        ("CT", "crop: true", True),
        ("CT", "crop: true; z_score: true", True),
        ("CT", "crop: true; window: [0, 1]", False),
        ("CT", "spacing_mm: [2.0, 2.0, 2.0]", False),
        ("MRI", "crop: true", False),
    ],
)
def test_a_crop_of_a_ct_without_window_is_warned_of(
    workspace: Path, capsys: pytest.CaptureFixture[str], modality: str, settings: str, warns: bool
) -> None:
    path = workspace / "data" / "raw" / "spheres" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "modality": {"0": modality}}))
    line = with_settings(workspace, settings)
    text = f"params.yaml:{line}: tasks.spheres.prepare.crop: crops a CT to what is above 0 HU"
    assert [warning.startswith(text) for warning in warnings_of(capsys)] == [True] * warns


@pytest.mark.parametrize("text", [None, "{", '{"labels": 3}', "[]"])
def test_a_data_set_without_a_usable_description_is_reported(workspace: Path, text: str | None) -> None:
    path = workspace / "data" / "raw" / "spheres" / "dataset.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"spheres/dataset.json: .*; run `dvc repro raw@spheres`"):
        prepare.main(["spheres"])


def test_the_task_keeps_how_its_images_were_made(workspace: Path) -> None:
    prepare.main(["spheres"])
    kept = recipe.from_json(prepared.read_task("spheres").recipe)
    training = prepared.read_cases("spheres", "train")
    assert kept.modality == ("synthetic",)
    assert kept.lowest_intensity == min(case.lowest_intensity for case in training)
    assert kept.preparation == Preparation()
    assert json.dumps(kept.as_json()) == json.dumps(prepared.read_task("spheres").recipe)


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


def test_prepared_cases_that_are_missing_damaged_or_of_another_version_are_one_error(workspace: Path) -> None:
    with pytest.raises(UserError, match="dvc repro prepare@spheres"):
        prepared.read_cases("spheres", "train")
    prepare.main(["spheres"])
    path = workspace / "data/prepared/spheres/cases.json"
    for text, expected in (
        ('{"format": 1, "cases": []}', f"format 1, expected {prepared.FORMAT}; run `dvc repro prepare`"),
        (f'{{"format": {prepared.FORMAT}, "cases": [{{"name": 1}}]}}', "is damaged"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("é", "is damaged"),
    ):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(UserError, match=f"cases.json: {expected}"):
            prepared.read_cases("spheres", "train")
