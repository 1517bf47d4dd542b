"""An image that is another one, or a part of it, however it is stored, is found wherever it is."""

import itertools
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from msd_dataset import AFFINE, Dataset

from context_fbr.config.raw.source import FolderRaw
from context_fbr.core.errors import UserError
from context_fbr.datasets.archive.acquire import acquire
from context_fbr.datasets.overlaps import KEPT, Image, blocks_of, overlap_problems
from context_fbr.datasets.verify import as_json, verify

Change = Callable[[nibabel.Nifti1Image], nibabel.Nifti1Image]
TEST = "imagesTs/t.nii.gz"
WHOLE, PART = "duplicate image", "part of an image"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.make(tmp_path / "Task99_Zoo")


def reoriented(image: nibabel.Nifti1Image, codes: str) -> nibabel.Nifti1Image:
    """The same image in the world, its axes stored towards the directions of `codes`."""
    now = nibabel.orientations.axcodes2ornt(nibabel.aff2axcodes(image.affine))
    wanted = nibabel.orientations.axcodes2ornt(codes)
    return image.as_reoriented(nibabel.orientations.ornt_transform(now, wanted))


LEAKS: list[tuple[str, Change, str, str]] = [
    ("A18 mirrored with its affine", lambda i: reoriented(i, "LAS"), WHOLE, "another order or direction"),
    ("A18 axes in another order", lambda i: reoriented(i, "SPL"), WHOLE, "another order or direction"),
    ("A18 without its last slice", lambda i: i.slicer[:, :, :-1], PART, "from its voxel (0, 0, 0) "),
    ("A18 a box of it", lambda i: i.slicer[1:, 2:9, 3:], PART, "from its voxel (1, 2, 3) "),
    ("A18 a box of it, mirrored", lambda i: reoriented(i.slicer[1:, 2:9, 3:], "PIR"), PART, "voxel (1, 2, 3) "),
    ("A18 a box of it, elsewhere in the world", lambda i: nibabel.Nifti1Image(np.asarray(i.dataobj)[2:], AFFINE), PART, "voxel (2, 0, 0) "),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind", "text"), [leak[1:] for leak in LEAKS], ids=[leak[0] for leak in LEAKS]
)
def test_a_test_image_that_is_in_training_is_refused_by_verify_and_raw(
    dataset: Dataset, tmp_path: Path, change: Change, kind: str, text: str
) -> None:
    nibabel.save(change(nibabel.load(dataset.file("imagesTr", "b"))), dataset.path / TEST)
    (problem,) = verify(dataset.path, workers=1).problems
    assert (problem.severity, problem.kind, problem.case, problem.file) == ("error", kind, "t", TEST)
    assert "imagesTr/b.nii.gz" in problem.text
    assert text in problem.text
    with pytest.raises(UserError, match=TEST):
        acquire(FolderRaw(source="folder", folder=str(dataset.path)), "zoo", tmp_path)


def test_a_training_image_that_is_a_part_of_a_test_image_is_an_error_of_the_part(dataset: Dataset) -> None:
    whole = nibabel.load(dataset.file("imagesTr", "b"))
    nibabel.save(whole, dataset.path / TEST)
    for folder in ("imagesTr", "labelsTr"):
        image = nibabel.load(dataset.file(folder, "b"))
        nibabel.save(
            nibabel.Nifti1Image(np.asarray(image.dataobj)[:, :, 1:], image.affine), dataset.file(folder, "b")
        )
    (problem,) = verify(dataset.path, workers=1).problems
    assert (problem.kind, problem.file) == (PART, "imagesTr/b.nii.gz")


def test_images_that_share_much_but_not_all_are_no_parts_of_each_other(dataset: Dataset) -> None:
    voxels = dataset.voxels("imagesTr", "b").copy()
    voxels[5, 5, 4] += 1
    dataset.write("imagesTs", "t", voxels[:, :, :-1])
    dataset.write("imagesTr", "c", np.roll(dataset.voxels("imagesTr", "a"), 1, axis=2))
    assert verify(dataset.path, workers=1).problems == ()


def test_the_blocks_of_an_image_are_for_no_program_to_read(dataset: Dataset) -> None:
    report = verify(dataset.path, workers=1)
    assert all(case.image and case.image.blocks for case in report.cases)
    assert "blocks" not in as_json(report)["cases"][0]["image"]


def write(folder: Path, **voxels: np.ndarray) -> list[Image]:
    images = []
    for name, values in voxels.items():
        nibabel.save(nibabel.Nifti1Image(values, AFFINE), folder / f"{name}.nii")
        blocks = blocks_of(values.astype(np.float32), tuple(map(tuple, AFFINE)))
        images += [Image(f"{name}.nii", name, blocks)] if blocks else []
    return images


def pairs(folder: Path, **voxels: np.ndarray) -> list[tuple[str, str]]:
    """File and kind of each problem."""
    return [(problem.file, problem.kind) for problem in overlap_problems(folder, write(folder, **voxels))]


def test_blocks_of_a_large_image_are_some_of_those_of_its_parts(tmp_path: Path) -> None:
    """More blocks than are kept, in the image and in one of the parts."""
    large = np.random.default_rng(1).integers(-1000, 1000, (64, 65, 66), dtype=np.int16)
    parts = {"half": large[:, :, 33:], "small": large[20:30, 30:40, 40:50], "tiny": large[5:14, 5:14, 5:14]}
    images = write(tmp_path, large=large, **parts)
    assert [len(image.blocks.keys) for image in images] == pytest.approx([KEPT, KEPT, 9**3, 8**3], abs=1)
    texts = {problem.file: problem.text for problem in overlap_problems(tmp_path, images)}
    assert set(texts) == {"half.nii", "small.nii", "tiny.nii"}
    assert all(text.startswith("is a part of large.nii, from its voxel (") for text in texts.values())
    assert "(20, 30, 40)" in texts["small.nii"]


@pytest.mark.parametrize("values", [4, 50])
def test_what_a_comparison_of_all_places_finds_is_found_in_images_of_few_values(
    tmp_path: Path, values: int
) -> None:
    """Against the definition, by brute force: noise of a few values on a constant background."""
    generator = np.random.default_rng(values)
    volumes = {}
    for name in "abcd":
        volume = np.zeros((9, 9, 9), np.int16)
        volume[2:7, 2:7, 2:7] = generator.integers(0, values, (5, 5, 5))
        volumes[name] = volume
    volumes |= {"e": volumes["a"][1:, :, 1:], "f": volumes["b"][:8, 2:, :], "g": volumes["c"][::-1]}
    expected = set()
    for (inner, small), (outer, large) in itertools.permutations(volumes.items(), 2):
        rooms = [range(b - a + 1) for a, b in zip(small.shape, large.shape, strict=True)]
        places = (
            tuple(slice(s, s + n) for s, n in zip(shift, small.shape, strict=True))
            for shift in itertools.product(*rooms)
        )
        if any(np.array_equal(small, large[place]) for place in places):
            expected.add((inner, outer))
    problems = overlap_problems(tmp_path, write(tmp_path, **volumes))
    found = {(problem.file[0], problem.text.split(".nii")[0][-1]) for problem in problems}
    assert expected == {("e", "a"), ("f", "b")}
    assert found == expected


def test_images_without_any_structure_are_parts_of_nothing(tmp_path: Path) -> None:
    assert pairs(tmp_path, a=np.zeros((9, 9, 9)), b=np.zeros((8, 9, 9)), c=np.ones((1, 9, 9))) == []
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    assert blocks_of(np.random.default_rng(1).random((9, 9, 9), np.float32), tuple(map(tuple, flat))) is None
