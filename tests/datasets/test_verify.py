"""`context-fbr verify`: a zoo of broken data sets, and real ones that must pass."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from msd_dataset import AFFINE, Dataset
from workspace import ROOT

from context_fbr.core.errors import UserError
from context_fbr.datasets import layout, volume_facts
from context_fbr.datasets import verify as verifying
from context_fbr.datasets.problems import Severity
from context_fbr.datasets.verify import Report, verify
from context_fbr_tools.data import verify as command

DATA = ROOT / ".." / "shared" / "data"
UNREADABLE = Path("/proc/self/mem")  # a regular file whose first bytes give an input/output error
needs_proc = pytest.mark.skipif(not UNREADABLE.exists(), reason="only Linux has /proc/self/mem")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.make(tmp_path / "Task99_Zoo")


def problems(dataset: Dataset) -> list[tuple[str, str, str, str]]:
    """Severity, kind, case, file."""
    found = verify(dataset.path, workers=1).problems
    return [(problem.severity.value, problem.kind, problem.case, problem.file) for problem in found]


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(problem.kind, problem.case) for problem in report.problems]


def with_one(voxels: np.ndarray, value: float) -> np.ndarray:
    changed = voxels.copy()
    changed[-1, -1, -1] = value  # the last voxel of the file
    return changed


def turned(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return rotation @ AFFINE


def sheared() -> np.ndarray:
    affine = AFFINE.copy()
    affine[1, 2] = 1.5
    return affine


def test_a_valid_data_set_has_no_problems(dataset: Dataset) -> None:
    report = verify(dataset.path, workers=2)
    assert report.problems == ()
    assert (report.files, [case.name for case in report.cases]) == (7, ["a", "b", "c", "t"])
    first = report.cases[0]
    assert first.image is not None
    assert first.label is not None
    assert first.image.shape == (12, 11, 10)
    assert first.image.spacing_mm == pytest.approx((0.8, 0.8, 5.0))
    assert (first.image.minimum, first.image.maximum) == (-1024, 700)
    assert (first.label.values, first.label.foreground) == ((0.0, 1.0), 4 * 4 * 3)


def qform(path: Path, affine: np.ndarray, **fields: float) -> None:
    """Give a file a qform next to its sform."""
    volume = nibabel.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes()))
    volume.header.set_qform(affine, code=1)
    for name, value in fields.items():
        volume.header[name] = value
    path.write_bytes(gzip.compress(volume.to_bytes()))


def fields(path: Path, **values: object) -> None:
    """Write fields of a header."""
    content = gzip.decompress(path.read_bytes())
    header = nibabel.Nifti1Header(content[:348], check=False)
    for name, value in values.items():
        header[name] = value
    path.write_bytes(gzip.compress(header.binaryblock + content[348:]))


def plain(path: Path) -> None:
    path.write_bytes(gzip.decompress(path.read_bytes()))


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.nii.gz")


def nifti_2(path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image.from_image(nibabel.load(path)), path)


def as_nii(path: Path) -> None:
    """Leave the unpacked file next to the other, as a case that nothing lists."""
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


IMAGE, LABEL = "imagesTr/b.nii.gz", "labelsTr/b.nii.gz"
ZOO: list[tuple[str, Callable[[Dataset], object], tuple[str, str, str], str]] = [
    ("a cut image", lambda d: d.cut("imagesTr", "b"), ("error", "unreadable", IMAGE), "gzip file that is cut"),
    ("an image without its last byte", lambda d: d.cut("imagesTr", "b", 0.999), ("error", "unreadable", IMAGE), "gzip file that is cut"),
    ("a cut label", lambda d: d.cut("labelsTr", "b"), ("error", "unreadable", LABEL), "gzip file that is cut"),
    ("an empty file", lambda d: d.cut("labelsTr", "b", 0), ("error", "unreadable", LABEL), "is empty (0 bytes)"),
    ("a web page", lambda d: d.file("imagesTr", "b").write_text("<html>"), ("error", "unreadable", IMAGE), "is a web page"),
    ("two channels", lambda d: d.image(lambda v: v[..., None].repeat(2, -1)), ("error", "channels", IMAGE), "2 channels, but dataset.json lists CT"),
    ("one slice", lambda d: d.image(lambda v: v[:, :, 5]), ("error", "unreadable", IMAGE), "has 2 axes (12 x 11 voxels)"),
    ("NIfTI-2", lambda d: nifti_2(d.file("imagesTr", "b")), ("error", "unreadable", IMAGE), "is NIfTI-2, expected NIfTI-1"),
    ("an image without label", lambda d: d.file("labelsTr", "b").unlink(), ("error", "no label", IMAGE), "labelsTr/b.nii.gz is not there"),
    ("a label without image", lambda d: d.file("imagesTr", "b").unlink(), ("error", "no image", LABEL), "imagesTr/b.nii.gz is not there"),
    ("a NaN in the image", lambda d: d.image(lambda v: with_one(v, np.nan)), ("error", "not finite", IMAGE), "1 of 1320 voxels are NaN"),
    ("an infinite voxel", lambda d: d.image(lambda v: with_one(v, np.inf)), ("error", "not finite", IMAGE), "1 of 1320 voxels are NaN"),
    ("nothing but NaN", lambda d: d.image(lambda v: v * np.nan), ("error", "not finite", IMAGE), "1320 of 1320 voxels"),
    ("a number beyond float32", lambda d: d.image(lambda v: with_one(v.astype(np.float64), 1e300)), ("error", "not finite", IMAGE), "1 of 1320 voxels"),
    ("a NaN in the label", lambda d: d.label(lambda v: with_one(v, np.nan)), ("error", "not finite", LABEL), "1 of 1320 voxels are NaN"),
    ("label value 7", lambda d: d.label(lambda v: with_one(v, 7)), ("error", "unknown label", LABEL), "1 unknown label value: 7; expected 0, 1"),
    ("half a label", lambda d: d.label(lambda v: v / 2), ("error", "unknown label", LABEL), "1 unknown label value: 0.5; expected 0, 1"),
    ("a negative label", lambda d: d.label(lambda v: -v), ("error", "unknown label", LABEL), "1 unknown label value: -1;"),
    ("almost a label", lambda d: d.label(lambda v: v * np.float32(1.0000001)), ("error", "unknown label", LABEL), "1 unknown label value: 1.0000001; expected 0, 1"),
    ("an image for a label", lambda d: shutil.copy(d.path / IMAGE, d.path / LABEL), ("error", "unknown label", LABEL), "unknown label values: -1024, "),
    ("an empty label", lambda d: d.label(lambda v: v * 0), ("error", "empty label", LABEL), "every voxel is 0"),
    ("another shape", lambda d: d.label(lambda v: v[:, :, :-1]), ("error", "shapes differ", LABEL), "shape 12 x 11 x 9, but its image has 12 x 11 x 10"),
    ("a label moved by a voxel", lambda d: d.write("labelsTr", "b", d.voxels("labelsTr", "b"), AFFINE + np.eye(4, k=3) * 0.8), ("error", "affines differ", LABEL), "up to 0.8 mm"),
    ("a label of thicker slices", lambda d: d.write("labelsTr", "b", d.voxels("labelsTr", "b"), np.diag([0.8, 0.8, 5.1, 1])), ("error", "affines differ", LABEL), "up to 1 mm away"),
    ("no slice spacing", lambda d: d.flatten(), ("error", "singular affine", IMAGE), "every edge must be above 0"),
    ("two equal axes", lambda d: d.grid(AFFINE[:, [0, 0, 2, 3]]), ("error", "singular affine", IMAGE), "two axes"),
    ("metres", lambda d: d.grid(np.diag([0.0008, 0.0008, 0.005, 1])), ("error", "spacing", IMAGE), "0.0008 x 0.0008 x 0.005 mm"),
    ("slices 21 mm apart", lambda d: d.grid(np.diag([2, 2, 21, 1])), ("error", "spacing", IMAGE), "2 x 2 x 21 mm"),
    ("anisotropy 36", lambda d: d.grid(np.diag([0.5, 0.5, 18, 1])), ("error", "anisotropy", IMAGE), "36 times"),
    ("anisotropy 20", lambda d: d.grid(np.diag([0.5, 0.5, 10, 1])), ("warning", "anisotropy", IMAGE), "20 times"),
    ("a qform elsewhere", lambda d: qform(d.file("labelsTr", "b"), AFFINE + np.eye(4, k=3) * 2), ("warning", "forms differ", LABEL), "sform and qform lie up to 2 mm apart"),
    ("a qform that is flipped", lambda d: qform(d.file("imagesTr", "b"), AFFINE * [[-1], [1], [1], [1]]), ("warning", "forms differ", IMAGE), "sform and qform lie up to 19.2 mm apart"),
    ("a damaged qform", lambda d: qform(d.file("imagesTr", "b"), AFFINE, quatern_b=5.0), ("warning", "forms differ", IMAGE), "(one of them is damaged)"),
    ("an oblique grid", lambda d: d.grid(turned(10)), ("note", "oblique", IMAGE), "turned by 10.0 degrees"),
    ("a sheared grid", lambda d: d.grid(sheared()), ("error", "sheared", IMAGE), "sheared by 16.7 degrees"),
    ("N3 no spacing", lambda d: fields(d.file("imagesTr", "b"), sform_code=0, pixdim=[0] * 8), ("error", "unreadable", IMAGE), "no spacing"),
    ("N3 a repaired field", lambda d: fields(d.file("labelsTr", "b"), sform_code=1, qform_code=0, bitpix=7), ("warning", "header repaired", LABEL), "bitpix 7 is read as 8"),
    ("N5 voxels at byte 0", lambda d: fields(d.file("imagesTr", "b"), vox_offset=0), ("error", "unreadable", IMAGE), "first voxel at byte 0"),
    ("N12 plain, named .nii.gz", lambda d: plain(d.file("labelsTr", "b")), ("warning", "misnamed", LABEL), "is not packed by gzip"),
    ("N14 a Git LFS pointer", lambda d: d.file("imagesTr", "b").write_text("version https://git-lfs.github.com/spec/v1\n"), ("error", "unreadable", IMAGE), "is a Git LFS pointer"),
    ("N15 a dangling link", lambda d: dangling(d.file("labelsTr", "b")), ("error", "unreadable", LABEL), "is a link to a file that is not there"),
    ("N16 capitals", lambda d: d.file("imagesTr", "b").rename(d.path / "imagesTr/b.NII.GZ"), ("warning", "misnamed", "imagesTr/b.NII.GZ"), "other programs"),
    ("a forgotten intercept", lambda d: d.image(lambda v: v + 1024), ("error", "not HU", IMAGE), "0 to 1724 are not HU"),
    ("an image scaled to 0..1", lambda d: d.image(lambda v: (v + 1024) / 1724), ("error", "not HU", IMAGE), "0 to 1 are not HU"),
    ("a z-score", lambda d: d.image(lambda v: (v - v.mean()) / v.std()), ("error", "not HU", IMAGE), "nothing reaches 100"),
    ("a constant", lambda d: d.image(lambda v: v * 0 - 1024), ("error", "not HU", IMAGE), "-1024 to -1024"),
    ("40,000 HU", lambda d: d.image(lambda v: with_one(v, 40_000)), ("error", "not HU", IMAGE), "a CT has -32768 to 32767"),
    ("a crop without air", lambda d: d.image(lambda v: np.maximum(v, -150)), ("warning", "no air", IMAGE), "clipped to a window"),
    ("the same image", lambda d: shutil.copy(d.path / "imagesTr/a.nii.gz", d.path / IMAGE), ("error", "duplicate image", IMAGE), "the same voxels as imagesTr/a.nii.gz"),
    ("the same image in another type", lambda d: d.write("imagesTr", "b", d.voxels("imagesTr", "a").astype(np.float64)), ("error", "duplicate image", IMAGE), "imagesTr/a.nii.gz"),
    ("the same label", lambda d: shutil.copy(d.path / "labelsTr/a.nii.gz", d.path / LABEL), ("warning", "duplicate label", LABEL), "the same voxels as labelsTr/a.nii.gz, but another image"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("breaks", "expected", "text"), [case[1:] for case in ZOO], ids=[case[0] for case in ZOO]
)
def test_each_thing_that_is_wrong_with_a_case_is_reported_with_it_and_nothing_else_is(
    dataset: Dataset, breaks: Callable[[Dataset], object], expected: tuple[str, str, str], text: str
) -> None:
    breaks(dataset)
    report = verify(dataset.path, workers=1)
    (problem,) = report.problems
    assert (problem.severity, problem.kind, problem.file, problem.case) == (*expected, "b")
    assert text in problem.text
    assert problem.remedy


def test_real_kinds_of_ct_pass(dataset: Dataset) -> None:
    """Padded with -2048 or -1024, with metal, cropped but with air or fat and noise in it, as float."""
    dataset.image(lambda v: np.where(v == -1024, -2048, v), "a")
    dataset.image(lambda v: with_one(v, 30_710), "b")
    dataset.image(lambda v: np.maximum(v, -210).astype(np.float32), "c")
    assert problems(dataset) == []


def test_two_empty_labels_are_not_called_duplicates(dataset: Dataset) -> None:
    for case in "ab":
        dataset.label(lambda v: v * 0, case)
    assert kinds(verify(dataset.path, workers=1)) == [("empty label", "a"), ("empty label", "b")]


def test_the_label_s_grid_is_judged_where_the_image_cannot_be_read(dataset: Dataset) -> None:
    dataset.grid(np.diag([2, 2, 21, 1]))
    dataset.cut("imagesTr", "b")
    assert problems(dataset) == [
        ("error", "unreadable", "b", IMAGE),
        ("error", "spacing", "b", LABEL),
    ]


def test_affines_may_differ_by_the_rounding_of_headers(dataset: Dataset) -> None:
    affine = np.diag([0.80001, 0.8, 5.00001, 1.0])
    dataset.write("labelsTr", "b", dataset.voxels("labelsTr", "b"), affine)
    assert problems(dataset) == []


def test_intensities_of_another_modality_are_not_judged(dataset: Dataset) -> None:
    dataset.describe(dataset.description() | {"modality": {"0": "MRI"}})
    dataset.image(lambda v: v + 1024)
    assert problems(dataset) == []


def test_the_same_label_for_the_same_image_is_an_error(dataset: Dataset) -> None:
    for folder in ("imagesTr", "labelsTr"):
        shutil.copy(dataset.file(folder, "a"), dataset.file(folder, "c"))
    shutil.copy(dataset.file("labelsTr", "a"), dataset.file("labelsTr", "b"))
    assert problems(dataset) == [
        ("error", "duplicate image", "c", "imagesTr/c.nii.gz"),
        ("error", "duplicate label", "c", "labelsTr/c.nii.gz"),
        ("warning", "duplicate label", "b", LABEL),
    ]


def test_a_case_that_trains_and_tests_is_reported(dataset: Dataset) -> None:
    dataset.file("imagesTs", "t").rename(dataset.file("imagesTs", "c"))
    dataset.describe(dataset.description() | {"test": ["imagesTs/c.nii.gz"]})
    assert problems(dataset) == [("error", "same name", "c", "imagesTs/c.nii.gz")]


def test_a_case_that_is_there_packed_and_unpacked_is_reported_for_image_and_label(dataset: Dataset) -> None:
    for folder in ("imagesTr", "labelsTr"):
        as_nii(dataset.file(folder, "a"))
    found = [problem for problem in verify(dataset.path, workers=1).problems if problem.kind == "two files"]
    assert [(problem.file, problem.text) for problem in found] == [
        ("imagesTr/a.nii.gz", "is the same case as imagesTr/a.nii"),
        ("labelsTr/a.nii.gz", "is the same case as labelsTr/a.nii"),
    ]


def nifti_1(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image.from_image(nibabel.load(path)), path)


def test_the_remedy_of_a_newer_format_repairs_it(dataset: Dataset) -> None:
    nifti_2(dataset.file("imagesTr", "b"))
    (problem,) = verify(dataset.path, workers=1).problems
    assert "Nifti1Image.from_image" in problem.remedy
    nifti_1(dataset.path / IMAGE)
    assert problems(dataset) == []


def test_a_label_that_is_scaled_to_almost_whole_numbers_is_reported_with_its_repair(dataset: Dataset) -> None:
    path = dataset.path / LABEL
    volume = nibabel.Nifti1Image(dataset.voxels("labelsTr", "b"), AFFINE)
    content = bytearray(volume.to_bytes())
    content[112:116] = np.float32(1.0001).tobytes()  # scl_slope
    path.write_bytes(gzip.compress(content))
    (problem,) = verify(dataset.path, workers=1).problems
    assert "1 unknown label value: 1.0001; expected 0, 1" in problem.text
    assert "set scl_slope to 1 and scl_inter to 0" in problem.remedy
    dataset.label(lambda v: np.where(v > 0, 7.5, 0))
    (problem,) = verify(dataset.path, workers=1).problems
    assert problem.remedy == "correct the label, or name the value in dataset.json"


@needs_proc
def test_a_file_that_the_disk_does_not_give_is_reported_as_such(dataset: Dataset) -> None:
    (dataset.path / IMAGE).unlink()
    (dataset.path / IMAGE).symlink_to(UNREADABLE)
    (problem,) = verify(dataset.path, workers=1).problems
    assert (problem.kind, problem.text) == ("unreadable", "cannot be read: Input/output error")
    assert problem.remedy == "correct its permission, check its disk, or copy it again"


def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(dataset: Dataset) -> None:
    shutil.rmtree(dataset.path / "imagesTs")
    (dataset.path / "imagesTs").symlink_to("imagesTs")
    with pytest.raises(UserError, match=r"imagesTs: cannot be read: Too many levels of symbolic links"):
        verify(dataset.path, workers=1)


def test_only_visible_files_of_nifti_count_in_the_order_of_their_names(tmp_path: Path) -> None:
    assert layout.nifti_files(tmp_path / "nowhere") == []
    for name in ("b.nii.gz", "a.nii", "._a.nii", ".c.nii.gz", "a.nii.gz.bak", "d.nii.old", "e.NII", "notes"):
        (tmp_path / name).touch()
    (tmp_path / "f.nii.gz").mkdir()
    (tmp_path / "g.nii.gz").symlink_to("nowhere")
    names = [path.name for path in layout.nifti_files(tmp_path)]
    assert names == ["a.nii", "b.nii.gz", "e.NII", "g.nii.gz"]
    assert layout.nifti_files(tmp_path / "a.nii") == []


@pytest.mark.parametrize(
    ("kind", "slope"),
    [("uint8", 1), ("int16", 1), ("int16", 2), ("float32", 1), ("float64", 1), ("uint8", 2)],
)
@pytest.mark.parametrize("holds_nan", [False, True])
def test_the_memory_that_reading_takes_is_known_from_the_header(
    tmp_path: Path, kind: str, slope: float, holds_nan: bool
) -> None:
    voxels = np.random.default_rng(1).integers(0, 100, (80, 90, 100)).astype(kind)
    if holds_nan and kind.startswith("float"):
        voxels[0, 0, 0] = np.nan
    volume = nibabel.Nifti1Image(voxels, AFFINE)
    content = bytearray(volume.to_bytes())
    content[112:116] = np.float32(slope).tobytes()  # scl_slope
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content, 1))
    volume_facts.inspect(tmp_path, "a.nii.gz", is_label=False)  # what is imported once does not count
    tracemalloc.start()
    volume_facts.inspect(tmp_path, "a.nii.gz", is_label=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (
        0.5 < peak / volume_facts.memory_to_read(tmp_path / "a.nii.gz") < 1.25
    )  # the interpreter's own garbage comes and goes


def test_files_are_read_side_by_side_as_the_memory_of_the_largest_allows(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def one(jobs: int, memory_each: int) -> int:
        asked.append((jobs, memory_each))
        return 1

    monkeypatch.setattr(verifying, "usable_workers", one)
    verify(dataset.path)
    dataset.image(lambda v: np.concatenate([v] * 3), "a")
    dataset.cut("imagesTr", "b", 0)  # counts as nothing
    dataset.file("imagesTr", "c").write_text("<html>")
    verify(dataset.path)
    assert asked == [(7, 1320 * (2 + 9)), (7, 3 * 1320 * (4 + 9))]


def test_nothing_that_nibabel_says_of_a_header_reaches_the_terminal(dataset: Dataset) -> None:
    nifti_2(dataset.file("imagesTr", "a"))
    (dataset.path / IMAGE).write_bytes(gzip.compress(bytes(1000)))
    content = bytearray(gzip.decompress(dataset.file("imagesTr", "c").read_bytes()))
    content[76:80] = np.float32(0.5).tobytes()  # pixdim[0], which nibabel repairs aloud
    dataset.file("imagesTr", "c").write_bytes(gzip.compress(content))
    done = context_fbr(dataset.path.parent, "verify", dataset.path.name)
    assert done.returncode == 1
    assert "is NIfTI-2, expected NIfTI-1" in done.stdout
    assert [line for line in done.stderr.splitlines() if not line.startswith("verify ")] == []


def test_the_dataset_json_of_nnunet_is_reported_in_one_sentence_with_what_to_write(dataset: Dataset) -> None:
    nnunet = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "spleen": 1},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    dataset.describe(nnunet)
    (problem,) = verify(dataset.path, workers=1).problems
    assert (problem.severity, problem.file) == (Severity.ERROR, "dataset.json")
    assert problem.text == "is nnU-Net's (channel_names, labels by name), expected that of the Decathlon"
    labels, modality = '"labels": {"0": "background", "1": "spleen"}', '"modality": {"0": "CT"}'
    assert labels in problem.remedy
    assert modality in problem.remedy
    pairs = [{"image": f"imagesTr/{n}.nii.gz", "label": f"labelsTr/{n}.nii.gz"} for n in "abc"]
    written = json.loads(f"{{{labels}, {modality}}}") | {"training": pairs, "test": ["imagesTs/t.nii.gz"]}
    dataset.describe(nnunet | written)  # as the remedy says; its own keys may stay
    assert problems(dataset) == []


def test_an_image_of_the_test_set_that_is_also_in_training_is_reported(dataset: Dataset) -> None:
    shutil.copy(dataset.file("imagesTr", "c"), dataset.file("imagesTs", "t"))
    assert problems(dataset) == [("error", "duplicate image", "t", "imagesTs/t.nii.gz")]


def test_labels_of_test_images_are_verified_where_there_are_any(dataset: Dataset) -> None:
    shutil.copy(dataset.file("imagesTs", "t"), dataset.file("imagesTs", "u"))
    label = dataset.voxels("labelsTr", "a").copy()
    label[0, 0, 0] = 9
    dataset.write("labelsTs", "t", label)
    assert problems(dataset) == [
        ("error", "unknown label", "t", "labelsTs/t.nii.gz"),
        ("error", "duplicate image", "u", "imagesTs/u.nii.gz"),
        ("error", "no label", "u", "imagesTs/u.nii.gz"),
        ("error", "not listed", "u", "imagesTs/u.nii.gz"),
    ]


def test_missing_and_unlisted_files_are_reported(dataset: Dataset) -> None:
    for folder in ("imagesTr", "labelsTr"):
        dataset.file(folder, "b").rename(dataset.file(folder, "z"))
    (dataset.path / "imagesTr" / "notes.txt").write_text("?")
    assert problems(dataset) == [
        ("error", "missing file", "b", IMAGE),
        ("error", "missing file", "b", LABEL),
        ("error", "not listed", "z", "imagesTr/z.nii.gz"),
        ("error", "not listed", "z", "labelsTr/z.nii.gz"),
        ("warning", "other file", "", "imagesTr/notes.txt"),
    ]


def test_what_dcm2niix_writes_next_to_an_image_is_passed_over_and_other_files_are_not(
    dataset: Dataset,
) -> None:
    for name in ("a.json", "b.json", "a.bval", "a.bvec", "z.json", "a.txt"):
        (dataset.path / "imagesTr" / name).write_text("{}")
    assert problems(dataset) == [
        ("warning", "other file", "", "imagesTr/a.txt"),
        ("warning", "other file", "", "imagesTr/z.json"),
    ]


def test_two_files_whose_names_differ_by_the_case_of_their_endings_are_the_same_case(
    dataset: Dataset,
) -> None:
    shutil.copy(dataset.file("imagesTr", "b"), dataset.path / "imagesTr/b.NII.GZ")
    found = [problem for problem in verify(dataset.path, workers=1).problems if problem.kind == "two files"]
    assert [(problem.file, problem.text) for problem in found] == [
        ("imagesTr/b.nii.gz", "is the same case as imagesTr/b.NII.GZ")
    ]


@pytest.mark.parametrize(
    ("modality", "is_ct"),
    [
        *[(name, True) for name in ("CT", " ct ", "CT (venous)", "portal-venous CT", "CTA", "Computed Tomography", "CT, arterial phase", "low-dose CT")],
        *[(name, False) for name in ("MRI", "PET/CT", "nonCT", "non-CT", "SPECT", "CBCT", "cone-beam CT", "micro-CT", "T2", "ECT", "")],
    ],
)  # fmt: skip
def test_a_modality_that_is_a_ct_in_other_words_is_one_in_hounsfield_units(
    dataset: Dataset, modality: str, is_ct: bool
) -> None:
    dataset.describe(dataset.description() | {"modality": {"0": modality}})
    dataset.image(lambda v: v + 1024)
    assert problems(dataset) == [("error", "not HU", "b", IMAGE)] * is_ct


def test_the_hidden_files_of_macos_are_ignored_and_that_is_said(dataset: Dataset) -> None:
    (dataset.path / "imagesTr" / "._a.nii.gz").write_bytes(b"Mac OS X")
    (found,) = verify(dataset.path, workers=1).problems
    assert (found.severity, found.file) == (Severity.NOTE, "imagesTr")
    assert "1 hidden files (`._a.nii.gz`)" in found.text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "is missing"),
        ("{", "is no JSON"),
        ("[]", "top level: is []"),
        ('{"labels": {"0": "b"}}', "training: is missing"),
        ('{"labels": {"background": "0"}, "training": []}', "labels.background"),
        ('{"labels": {"0": "b", "1": "s"}, "training": [{"image": "imagesTr/a.nii.gz"}]}', "training.0.label: is missing"),
    ],
)  # fmt: skip
def test_without_a_sound_dataset_json_the_files_are_verified_nevertheless(
    dataset: Dataset, content: str | None, text: str
) -> None:
    description = dataset.path / "dataset.json"
    description.unlink()
    if content is not None:
        description.write_text(content)
    dataset.label(lambda v: v / 2)
    first, second = verify(dataset.path, workers=1).problems
    assert (first.severity, first.file) == (Severity.ERROR, "dataset.json")
    assert text in first.text
    assert (second.kind, second.case) == ("unknown label", "b")
    assert "0.5; expected whole numbers" in second.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"labels": {"1": "spleen"}}, "expected 0 (background) and at least one more"),
        ({"numTraining": 41}, "numTraining is 41, but 3 are listed"),
        ({"modality": {}}, "modality: is missing"),
        ({"test": ["imagesTs/t.nii.gz"] * 2, "numTest": 2}, "lists imagesTs/t.nii.gz 2 times"),
        ({"test": ["imagesTs/t.nii.gz", "../../etc/passwd"], "numTest": 2}, "lists ../../etc/passwd, expected a file directly in imagesTs"),
    ],
)  # fmt: skip
def test_what_dataset_json_says_of_itself_is_verified(
    dataset: Dataset, change: dict[str, object], text: str
) -> None:
    dataset.describe(dataset.description() | change)
    assert text in " ".join(problem.text for problem in verify(dataset.path, workers=1).problems)


def test_labels_that_are_swapped_in_the_list_are_reported(dataset: Dataset) -> None:
    description = dataset.description()
    first, second = description["training"][:2]
    first["label"], second["label"] = second["label"], first["label"]
    dataset.describe(description)
    report = verify(dataset.path, workers=1)
    assert kinds(report) == [("description", "a"), ("description", "b")]
    assert "pairs imagesTr/a.nii.gz with labelsTr/b.nii.gz" in report.problems[0].text


def test_labels_that_are_swapped_on_disk_are_reported_where_their_grids_differ(dataset: Dataset) -> None:
    dataset.grid(np.diag([0.7, 0.7, 3.0, 1.0]), "b")
    path = dataset.file("labelsTr", "a").rename(dataset.path / "c")
    dataset.file("labelsTr", "b").rename(dataset.file("labelsTr", "a"))
    path.rename(dataset.file("labelsTr", "b"))
    assert kinds(verify(dataset.path, workers=1)) == [("affines differ", "a"), ("affines differ", "b")]


def test_a_folder_without_any_file_is_one_error(tmp_path: Path) -> None:
    assert kinds(verify(tmp_path)) == [("no files", ""), ("no description", "")]
    with pytest.raises(UserError, match="nowhere: is no folder"):
        verify(tmp_path / "nowhere")


def _break_several(dataset: Dataset) -> None:
    dataset.cut("imagesTr", "a")
    dataset.label(lambda v: with_one(v, 7), "a")
    dataset.image(lambda v: with_one(v, np.nan), "b")
    dataset.label(lambda v: v[:, :, :-1] * 0, "b")
    dataset.file("labelsTr", "c").unlink()


def test_several_problems_are_reported_together_by_two_workers_as_by_one(dataset: Dataset) -> None:
    _break_several(dataset)
    report = verify(dataset.path, workers=2)
    assert kinds(report) == [
        ("unreadable", "a"),
        ("unknown label", "a"),
        ("not finite", "b"),
        ("empty label", "b"),
        ("shapes differ", "b"),
        ("no label", "c"),
    ]
    assert report == verify(dataset.path, workers=1)


def context_fbr(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = [sys.executable, "-c", "from context_fbr_tools.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(code, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_prints_a_table_writes_json_and_exits_with_1_for_errors(dataset: Dataset) -> None:
    _break_several(dataset)
    dataset.image(lambda v: v * np.nan, "c")
    done = context_fbr(dataset.path.parent, "verify", dataset.path.name, "--json", "report.json")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["case", "file", "problem", "what", "to", "do"]
    assert lines[-3:] == [
        "Task99_Zoo: 6 files, 4 cases: 1 with image and label, 2 with image only, 1 with label only",
        "sizes 12 x 11 x 10 voxels, spacings 0.8 x 0.8 x 5 mm",
        "7 errors",
    ]
    assert "verify Task99_Zoo: 6/6 files" in done.stderr
    report = json.loads((dataset.path.parent / "report.json").read_text())
    assert (report["errors"], report["warnings"], report["files"]) == (7, 0, 6)
    assert {problem["case"] for problem in report["problems"]} == {"a", "b", "c"}
    assert report["cases"][2]["image"]["minimum"] is None  # every voxel is NaN


@pytest.mark.slow
def test_the_command_exits_with_0_for_warnings_and_takes_a_task(dataset: Dataset, params: Path) -> None:
    project = params.parent
    missing = context_fbr(project, "verify", "spheres")
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: data/raw/spheres: not found; ")
    assert "`dvc repro raw@spheres`" in missing.stderr
    unknown = context_fbr(project, "verify", "spheers")
    assert "spheers: is neither a folder nor a task of params.yaml; did you mean spheres?" in unknown.stderr
    dataset.image(lambda v: np.maximum(v, -150))
    (project / "data" / "raw").mkdir(parents=True)
    dataset.path.rename(project / "data" / "raw" / "spheres")
    done = context_fbr(project, "verify", "spheres")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 warning")


@needs_data
def test_the_real_ct_and_its_mask_have_no_problems(tmp_path: Path) -> None:
    dataset = tmp_path / "Real"
    shutil.copytree(DATA / "real_ct", dataset, copy_function=shutil.copyfile)
    pair = {"image": "./imagesTr/ct_3mm.nii.gz", "label": "./labelsTr/ct_3mm.nii.gz"}
    description = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen"}, "training": [pair]}
    (dataset / "dataset.json").write_text(json.dumps(description))
    report = verify(dataset)
    assert report.problems == ()
    assert report.cases[0].image is not None
    assert report.cases[0].image.shape == (122, 101, 112)


@needs_data
@pytest.mark.slow
def test_all_41_real_labels_are_sound_and_lack_nothing_but_their_images() -> None:
    report = verify(DATA / "msd_spleen_labels")
    assert {problem.kind for problem in report.problems} == {"no image", "missing file"}
    labels = [case.label for case in report.cases if case.label]
    assert len(labels) == 41
    assert all(label.values == (0.0, 1.0) for label in labels)
    for label in labels[:3]:  # nibabel, which reads them another way
        volume = nibabel.load(DATA / "msd_spleen_labels" / label.file)
        assert label.foreground == np.count_nonzero(np.asanyarray(volume.dataobj))
        assert label.spacing_mm == pytest.approx(volume.header.get_zooms(), abs=1e-4)


@pytest.mark.slow
@needs_data
def test_real_labels_with_generated_images_have_no_problems(tmp_path: Path) -> None:
    """Slices of 7.5 and 8 mm, the thickest."""
    dataset = Dataset(tmp_path / "Generated")
    labels = DATA / "msd_spleen_labels" / "labelsTr"
    training = []
    for number, case in enumerate(("spleen_16", "spleen_8")):
        label = nibabel.load(labels / f"{case}.nii.gz")
        image = np.full(label.shape, -1024, dtype=np.int16)
        image[100:400, 100:400] = 40 + number
        image[np.asanyarray(label.dataobj) > 0] = 120
        dataset.write("imagesTr", case, image, label.affine)
        (dataset.path / "labelsTr").mkdir(exist_ok=True)
        shutil.copyfile(labels / f"{case}.nii.gz", dataset.file("labelsTr", case))
        training.append({"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"})
    description = json.loads((DATA / "msd_spleen_labels" / "dataset.json").read_text())
    dataset.describe(description | {"training": training, "test": [], "numTraining": 2, "numTest": 0})
    report = verify(dataset.path)
    assert report.problems == ()
    assert "sizes 512 x 512 x 31..61 voxels" in command.render(report)


def test_a_flipped_bit_in_a_compressed_file_is_found(dataset: Dataset) -> None:
    """The stream still unpacks to the right length: only the checksum tells."""
    path = dataset.file("imagesTr", "b")
    content = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert problems(dataset) == [("error", "unreadable", "b", IMAGE)]
