"""The data that other tests build can be trusted: grids, labels, intensities, the same bytes every time."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import mri_dataset
import msd_spleen
import nibabel
import numpy as np
import pytest
import real_ct
from ct_phantom import ct_image
from scipy.ndimage import binary_erosion
from workspace import ROOT

from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.datasets.archive.unpack import unpack
from context_fbr.datasets.verify import verify
from context_fbr.evaluation import baselines

DATA = ROOT.parent / "shared" / "data"
LABELS = DATA / "msd_spleen_labels"
REAL = DATA / "real_ct"
CASES = ["spleen_10", "spleen_56", "spleen_8"]  # few slices
SHRINK = 4

needs_labels = pytest.mark.skipif(
    not LABELS.is_dir(), reason=f"needs MSD's labels, {LABELS.relative_to(ROOT.parent)}"
)
needs_ct = pytest.mark.skipif(not REAL.is_dir(), reason=f"needs a real CT, {REAL.relative_to(ROOT.parent)}")


@pytest.fixture(scope="module")
def spleen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spleen") / "data"
    msd_spleen.write_dataset(LABELS, folder, CASES, SHRINK)
    return folder


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ct") / "data"
    real_ct.make(REAL, folder)
    return folder


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blobs") / "data"
    mri_dataset.make(folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def pairs(folder: Path) -> list[tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]]:
    names = sorted(path.name for path in (folder / "labelsTr").iterdir())
    return [tuple(nibabel.load(folder / kind / name) for kind in ("imagesTr", "labelsTr")) for name in names]


@needs_labels
def test_a_full_size_case_has_the_labels_own_bytes_and_an_image_with_its_header(tmp_path):
    msd_spleen.write_dataset(LABELS, tmp_path / "data", ["spleen_56"])
    source = LABELS / "labelsTr" / "spleen_56.nii.gz"
    assert (tmp_path / "data" / "labelsTr" / "spleen_56.nii.gz").read_bytes() == source.read_bytes()
    image, label = nibabel.load(tmp_path / "data" / "imagesTr" / "spleen_56.nii.gz"), nibabel.load(source)
    assert image.shape == label.shape == (512, 512, 33)
    assert np.array_equal(image.affine, label.affine)
    mine, its = dict(image.header), dict(label.header)
    assert (mine.pop("datatype"), mine.pop("bitpix")) == (4, 16)  # int16
    del its["datatype"], its["bitpix"]
    assert all(np.array_equal(mine[key], its[key], equal_nan=mine[key].dtype.kind == "f") for key in its)


@needs_labels
def test_shrinking_keeps_every_nth_voxel_where_it_was(spleen):
    original = nibabel.load(LABELS / "labelsTr" / "spleen_8.nii.gz")
    for kind in ("imagesTr", "labelsTr"):
        small = nibabel.load(spleen / kind / "spleen_8.nii.gz")
        assert small.shape == (128, 128, 31)
        for index in ((0, 0, 0), (20, 50, 7), (127, 127, 30)):
            there = original.affine @ [index[0] * SHRINK, index[1] * SHRINK, index[2], 1]
            assert small.affine @ [*index, 1] == pytest.approx(there, abs=1e-3)
            assert small.get_qform() @ [*index, 1] == pytest.approx(there, abs=1e-3)
        assert small.header.get_zooms() == pytest.approx(
            (0.785156 * SHRINK, 0.785156 * SHRINK, 7.5), abs=1e-4
        )
        assert small.header["sform_code"] == small.header["qform_code"] == 1
    kept = np.asanyarray(original.dataobj)[::SHRINK, ::SHRINK]
    assert np.array_equal(voxels(spleen / "labelsTr" / "spleen_8.nii.gz"), kept)


@pytest.mark.parametrize(
    "name",
    [pytest.param("spleen", marks=needs_labels), pytest.param("ct", marks=needs_ct), "blobs"],
)
def test_verify_finds_nothing_to_say(name, request):
    assert verify(request.getfixturevalue(name), workers=1).problems == ()


@needs_labels
def test_the_spleen_data_set_is_described_as_the_original_is(spleen):
    mine, its = (json.loads((folder / "dataset.json").read_text()) for folder in (spleen, LABELS))
    assert [mine[key] for key in ("name", "modality", "labels")] == [
        its[key] for key in ("name", "modality", "labels")
    ]
    assert [pair for pair in its["training"] if pair in mine["training"]] == mine["training"]
    assert (mine["numTraining"], mine["numTest"]) == (len(mine["training"]), len(mine["test"])) == (3, 2)
    assert set(mine["test"]) <= set(its["test"])
    assert not (spleen / "labelsTs").exists()


@needs_labels
def test_the_same_bytes_are_written_every_time(spleen, blobs, tmp_path):
    msd_spleen.write_dataset(LABELS, tmp_path / "spleen", CASES[::-1], SHRINK)
    assert content(tmp_path / "spleen") == content(spleen)
    mri_dataset.make(tmp_path / "blobs")
    assert content(tmp_path / "blobs") == content(blobs)
    for archive in ("a.tar", "b.tar"):
        msd_spleen.pack(tmp_path / "blobs", tmp_path / archive)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@needs_labels
def test_painted_tissues_have_their_hounsfield_units(spleen):
    spleens = []
    for image, label in pairs(spleen):
        ct, mask = np.asanyarray(image.dataobj), np.asanyarray(label.dataobj) > 0
        middle = ct[:, :, mask.any(axis=(0, 1))]
        assert ct.dtype == np.int16
        assert set(np.unique(ct[0, 0])) <= {-1024, -2048}, "outside of the scanned circle"
        assert 0.2 < (ct < -900).mean() < 0.7, "air around the body"
        assert 0.005 < (middle > 200).mean() < 0.1, "bone"
        assert 0.02 < ((middle > -140) & (middle < -60)).mean() < 0.4, "fat"
        assert 0.01 < ((ct > -900) & (ct < -700)).mean() < 0.4, "lung"
        inside = binary_erosion(mask, np.ones((3, 3, 1)))
        assert 15 < ct[inside].std() < 25, "noise in the spleen"
        assert 30 < ct[mask].mean() < 90
        spleens.append(ct[mask].mean())
    assert np.ptp(spleens) > 1, "patients differ"


@needs_labels
def test_no_threshold_finds_the_spleen(spleen):
    for image, label in pairs(spleen):
        ct, mask = np.asanyarray(image.dataobj), np.asanyarray(label.dataobj)
        window = np.clip((ct.astype(np.float32) + 57) / 221, 0, 1)
        assert baselines.threshold_dice(window, mask, np.linspace(0, 1, 222)).max() < 0.3
        # not even the best band of intensities does, in a box around the spleen
        used = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        box = tuple(slice(max(part[0] - 8, 0), part[-1] + 9) for part in used)
        near, truth = ct[box], mask[box] > 0
        bands = [(near >= low) & (near < low + width) for low in range(0, 70, 10) for width in (40, 80, 120)]
        assert max(2 * (band & truth).sum() / (band.sum() + truth.sum()) for band in bands) < 0.75


def test_an_image_turns_with_its_label_and_differs_by_name():
    label = np.zeros((40, 44, 12), np.uint8)
    label[6:14, 12:22, 4:9] = 1  # at the patient's left and back
    affine = np.diag([8.0, 7.0, 5.0, 1.0])
    image = ct_image(label, affine, "a")
    lps = affine @ np.array([[-1, 0, 0, 39], [0, -1, 0, 43], [0, 0, 1, 0], [0, 0, 0, 1]])
    turned = ct_image(np.ascontiguousarray(label[::-1, ::-1]), lps, "a")
    assert np.array_equal(turned[::-1, ::-1], image)
    permuted = ct_image(label.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]], "a")
    assert np.array_equal(permuted, image.transpose(2, 0, 1))
    assert (ct_image(label, affine, "b") != image).mean() > 0.5
    with pytest.raises(ValueError, match="its label is empty"):
        ct_image(np.zeros_like(label), affine, "a")


@needs_labels
def test_the_archive_unpacks_to_the_data_set_without_its_shadows(spleen, tmp_path):
    msd_spleen.pack(spleen, tmp_path / "Task09_Spleen.tar")
    with tarfile.open(tmp_path / "Task09_Spleen.tar") as tar:
        names = tar.getnames()
    assert {name.split("/")[0].removeprefix("._") for name in names} == {"Task09_Spleen"}
    assert "Task09_Spleen/imagesTr/._spleen_10.nii.gz" in names
    with atomic.directory(tmp_path / "unpacked") as folder:
        unpack(tmp_path / "Task09_Spleen.tar", folder)
    assert content(tmp_path / "unpacked") == content(spleen)


@needs_labels
def test_the_command_writes_an_archive_and_names_what_is_wrong(tmp_path):
    command = [sys.executable, ROOT / "tests" / "support" / "msd_spleen.py"]
    archive = tmp_path / "out" / "Task09_Spleen.tar"
    done = subprocess.run(
        [*command, LABELS, archive, "--cases", "1", "--shrink", "8"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "3/3 cases" in done.stderr
    assert str(archive) in done.stdout
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    done = subprocess.run([*command, tmp_path, archive], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: {tmp_path}: holds no dataset.json; name the folder with it and labelsTr\n",
    )
    with pytest.raises(UserError, match=r"no case spleen_0\n.*no case x"):
        msd_spleen.write_dataset(LABELS, tmp_path / "data", ["x", "spleen_0", "spleen_8"], SHRINK)
    assert not (tmp_path / "data").exists()


def test_the_mri_cases_differ_in_grid_orientation_and_gain_and_hold_three_labels(blobs):
    cases = pairs(blobs)
    assert len(cases) == 8
    assert len({image.header.get_zooms() for image, _ in cases}) == 8
    axes = {nibabel.aff2axcodes(image.affine) for image, _ in cases}
    assert len(axes) == 8
    assert {("R", "A", "S"), ("L", "P", "S"), ("A", "S", "R")} <= axes
    assert sum(min(image.shape) < 32 for image, _ in cases) >= 6
    assert json.loads((blobs / "dataset.json").read_text())["labels"] == {
        "0": "background",
        "1": "core",
        "2": "rim",
        "3": "dot",
    }
    medians = []
    for image, label in cases:
        assert np.array_equal(image.affine, label.affine)
        mri, mask = np.asanyarray(image.dataobj), np.asanyarray(label.dataobj)
        assert set(np.unique(mask)) == {0, 1, 2, 3}
        assert mri.min() == 0
        assert 0.3 < (mri == 0).mean() < 0.8, "outside of the head"
        core, rim, dot = (np.median(mri[mask == value]) for value in (1, 2, 3))
        assert core < rim < dot
        medians.append(np.median(mri[mri > 0]))
    assert max(medians) > 2.5 * min(medians), "no fixed window fits all"


def test_an_mri_case_keeps_its_place_in_the_world_when_its_axes_are_turned(blobs):
    shape, spacing, orientation = mri_dataset.GRIDS[2]
    upright = mri_dataset.paint("blob_2", shape, spacing)
    turned = nibabel.load(blobs / "labelsTr" / "blob_2.nii.gz")
    assert nibabel.aff2axcodes(turned.affine) == tuple(orientation)
    for value in (1, 2, 3):
        here, there = (
            nibabel.affines.apply_affine(affine, np.argwhere(mask == value).mean(axis=0))
            for mask, affine in (
                (upright.label, upright.affine),
                (np.asanyarray(turned.dataobj), turned.affine),
            )
        )
        assert here == pytest.approx(there, abs=1e-3)


@needs_ct
def test_the_parts_of_the_real_ct_lie_where_they_were_cut(ct):
    whole = {kind: nibabel.load(REAL / f"{kind}Tr" / real_ct.FILE) for kind in ("images", "labels")}
    parts = [
        *((f"ct_{n}", box, "Tr") for n, box in enumerate(real_ct.BOXES)),
        ("ct_6", real_ct.UNLABELLED, "Ts"),
    ]
    generator = np.random.default_rng(0)
    for name, _, suffix in parts:
        for kind in ("images", "labels")[: 1 if suffix == "Ts" else 2]:
            part = nibabel.load(ct / f"{kind}{suffix}" / f"{name}.nii.gz")
            assert part.get_data_dtype() == whole[kind].get_data_dtype()
            inner = generator.integers(0, part.shape, (200, 3))
            for affine in (part.get_sform(coded=True)[0], part.get_qform(coded=True)[0]):
                world = nibabel.affines.apply_affine(affine, inner)
                index = nibabel.affines.apply_affine(np.linalg.inv(whole[kind].affine), world)
                assert np.abs(index - np.rint(index)).max() < 1e-3
                outer = np.rint(index).astype(int)
                assert np.array_equal(
                    np.asanyarray(part.dataobj)[tuple(inner.T)],
                    np.asanyarray(whole[kind].dataobj)[tuple(outer.T)],
                )
    assert all(label.get_fdata().sum() > 1000 for _, label in pairs(ct)), (
        "each holds a good part of the spleen"
    )


@needs_ct
def test_another_ct_is_not_cut(ct, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / f"{kind}Tr").mkdir()
        (tmp_path / f"{kind}Tr" / real_ct.FILE).write_bytes((ct / f"{kind}Tr" / "ct_0.nii.gz").read_bytes())
    with pytest.raises(UserError, match=r"shape \(56, 64, 52\), expected \(122, 101, 112\)"):
        real_ct.make(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
