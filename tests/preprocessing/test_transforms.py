"""One case from raw files to what the networks see, against the chain of MONAI's transforms as published."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    Orientationd,
    ScaleIntensityRange,
    ScaleIntensityRanged,
    Spacingd,
)
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from workspace import ROOT

from context_fbr.config.prepare.preprocessing import Preparation, Prepare, Split
from context_fbr.core.errors import UserError
from context_fbr.core.geometry import Geometry, to_prepared
from context_fbr.core.nifti import read, write
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing.splits import Source
from context_fbr.preprocessing.transforms import box_above_zero, check_pair, prepare_image, read_label

DATA = ROOT.parent / "shared" / "data"
LABELS = DATA / "msd_spleen_labels" / "labelsTr"
BOTH = ["image", "label"]
CT = Preparation(window=(-57.0, 164.0), crop=True, spacing_mm=(1.5, 1.5, 2.0))
PUBLISHED = Compose(
    [
        LoadImaged(BOTH),
        EnsureChannelFirstd(BOTH),
        ScaleIntensityRanged("image", a_min=-57, a_max=164, b_min=0, b_max=1, clip=True),
        CropForegroundd(BOTH, source_key="image", allow_smaller=True),
        Orientationd(BOTH, axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        Spacingd(BOTH, pixdim=(1.5, 1.5, 2.0), mode=("bilinear", "nearest")),
    ]
)


def ct_like(label: np.ndarray, seed: int) -> np.ndarray:
    """Air with something in it that is as smooth as a body and as noisy as a scan; int16 HU."""
    generator = np.random.default_rng(seed)
    field = gaussian_filter(generator.normal(0, 1, label.shape), (12, 12, 3))
    image = 200 * field / field.std() + generator.normal(0, 15, label.shape) + 60 * label
    x, y, z = np.indices(label.shape, sparse=True)
    i, j, k = label.shape
    body = ((x / i - 0.52) / 0.43) ** 2 + ((y / j - 0.47) / 0.41) ** 2 < 1
    image[~(body & (z >= 1) & (z < k - 1))] = -1000
    return image.round().astype(np.int16)


def pair(folder: Path, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> dict[str, Path]:
    """Write both as the files of a case."""
    files = {"image": folder / "image.nii.gz", "label": folder / "label.nii.gz"}
    write(files["image"], image, affine)
    write(files["label"], label, affine)
    return files


def msd_pair(folder: Path, case: str, axes: str, margin: int | None = 50) -> dict[str, Path]:
    """A label of MSD with an image made for it, cut around the spleen in-plane, in another orientation."""
    path = LABELS / f"{case}.nii.gz"
    if not path.is_file():
        pytest.skip("the labels of MSD Task09 are not at hand")
    volume = nibabel.load(path)
    if margin is not None:
        used = [np.flatnonzero((np.asarray(volume.dataobj) > 0).any(axis=a)) for a in ((1, 2), (0, 2))]
        x, y = (slice(max(int(axis[0]) - margin, 0), int(axis[-1]) + margin) for axis in used)
        volume = volume.slicer[x, y, :]
    orientation = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(volume.affine), nibabel.orientations.axcodes2ornt(axes)
    )
    volume = volume.as_reoriented(orientation)
    label = np.asarray(volume.dataobj).astype(np.uint8)
    return pair(folder, ct_like(label, seed=len(case)), label, volume.affine)


def compare_with_monai(files: dict[str, Path]) -> tuple[Geometry, int]:
    """Compare a prepared case with the published chain.

    The same shape, affine and image; the same label but where a voxel is exactly half-way between two.

    Returns:
        The geometry, and how many voxels of the label differ.
    """
    theirs = PUBLISHED(files)
    split = Split(train=1, validation=1, test=1)
    source = Source("case", "train", files["image"], files["label"])
    settings = Prepare(split=split, **CT.model_dump())
    case, image, label, warnings = prepare_case(source, Path(), settings, {0, 1})
    where = case.geometry
    assert warnings == ()
    assert image.shape == label.shape == where.shape == tuple(theirs["image"].shape[1:])
    assert (image.dtype, label.dtype) == (np.float32, np.uint8)
    for key in BOTH:
        np.testing.assert_allclose(where.affine, theirs[key].affine.numpy(), atol=1e-6, rtol=0)
    assert np.abs(image - theirs["image"][0].numpy()).max() <= 1e-6
    differs = np.argwhere(label != theirs["label"][0].numpy())
    position = [
        (np.arange(n) * step).clip(0, edge - 1)
        for n, step, edge in zip(where.shape, where.steps, where.cropped_shape, strict=True)
    ]
    half = [np.abs(at - np.floor(at) - 0.5) < 1e-6 for at in position]
    assert all(any(axis[i] for axis, i in zip(half, place, strict=True)) for place in differs)
    assert case.foreground_voxels == label.sum() > 0
    assert case.foreground_ratio == pytest.approx(label.mean(), rel=1e-12)
    return where, len(differs)


@pytest.mark.parametrize("axes", ["RAS", "LPI", "SLP"])
def test_a_made_scan_is_prepared_as_monai_does(tmp_path: Path, axes: str) -> None:
    label = np.zeros((60, 54, 17), np.uint8)
    label[20:41, 15:38, 5:12] = 1
    volume = nibabel.Nifti1Image(label, np.diag([0.9, 0.8, 4.5, 1.0]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(volume.affine), nibabel.orientations.axcodes2ornt(axes)
    )
    volume = volume.as_reoriented(turn)
    label = np.asarray(volume.dataobj)
    where, _ = compare_with_monai(pair(tmp_path, ct_like(label, seed=3), label, volume.affine))
    assert where.box != tuple((0, edge) for edge in label.shape)
    assert sorted(where.original_spacing_mm) == pytest.approx([0.8, 0.9, 4.5])


def test_a_real_ct_is_prepared_as_monai_does() -> None:
    files = {key: DATA / "real_ct" / f"{key}sTr" / "ct_3mm.nii.gz" for key in BOTH}
    if not files["image"].is_file():
        pytest.skip("the real CT is not at hand")
    where, differing = compare_with_monai(files)
    assert where.original_spacing_mm == pytest.approx((3, 3, 3))
    assert differing < 1e-3 * np.prod(where.shape)  # 3 mm to 1.5 mm: every second voxel is half-way


@pytest.mark.parametrize(
    ("case", "axes", "slice_mm"),
    [
        ("spleen_8", "RAS", 7.5),
        ("spleen_16", "LPS", 8.0),
        ("spleen_56", "PIR", 7.0),
        ("spleen_3", "LAS", 5.0),
    ],
)
def test_a_scan_with_thick_slices_is_prepared_as_monai_does_however_its_axes_lie(
    tmp_path: Path, case: str, axes: str, slice_mm: float
) -> None:
    where, differing = compare_with_monai(msd_pair(tmp_path, case, axes))
    assert max(where.original_spacing_mm) == pytest.approx(slice_mm, abs=1e-3)
    assert "".join(nibabel.aff2axcodes(np.array(where.original_affine))) == axes
    assert nibabel.aff2axcodes(np.array(where.affine)) == ("R", "A", "S")
    assert differing < 1e-3 * np.prod(where.shape)


@pytest.mark.slow
def test_a_whole_scan_of_512_by_512_is_prepared_as_monai_does(tmp_path: Path) -> None:
    where, differing = compare_with_monai(msd_pair(tmp_path, "spleen_56", "RAS", margin=None))
    assert where.original_shape[:2] == (512, 512)
    assert differing < 1e-3 * np.prod(where.shape)


def image_of(voxels: np.ndarray, affine: np.ndarray | None = None) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4) if affine is None else affine)


def prepared(voxels: np.ndarray, settings: Preparation) -> tuple[np.ndarray, Geometry, float]:
    return prepare_image(image_of(voxels), Path("a.nii.gz"), settings)


def brain(seed: int = 0) -> np.ndarray:
    """0 outside, a skewed distribution inside of (2:9, 1:8, 3:10)."""
    voxels = np.zeros((12, 10, 11), np.float32)
    voxels[2:9, 1:8, 3:10] = np.random.default_rng(seed).gamma(2, 300, (7, 7, 7)) + 1
    return voxels


@pytest.mark.parametrize("crop", [False, True])
def test_a_z_score_gives_the_voxels_above_zero_mean_0_and_deviation_1(crop: bool) -> None:
    voxels = brain()
    ours, where, background = prepared(voxels, Preparation(z_score=True, crop=crop))
    assert where.shape == ((7, 7, 7) if crop else voxels.shape)
    box = tuple(slice(start, stop) for start, stop in where.box)
    tissue = ours[voxels[box] > 0].astype(np.float64)
    assert tissue.mean() == pytest.approx(0, abs=1e-5)
    assert tissue.std() == pytest.approx(1, abs=1e-5)
    above = voxels[voxels > 0].astype(np.float64)
    assert background == pytest.approx(-above.mean() / above.std(), rel=1e-5)


def test_a_z_score_counts_every_voxel_above_zero() -> None:
    voxels = np.array([0, 0.25, 0.75, 2, 0, 0, 0, 0], np.float32).reshape(2, 2, 2)
    ours, _, _ = prepared(voxels, Preparation(z_score=True))
    assert ours.ravel()[1:4] == pytest.approx((voxels.ravel()[1:4] - 1) / np.std([0.25, 0.75, 2]))


def test_a_spacing_may_give_a_thousand_times_as_many_voxels_and_no_more() -> None:
    """Two voxels at 1998 mm are 1999 at 1 mm."""
    settings = Preparation(spacing_mm=(1.0, 1.0, 1.0))

    def image(edge: float) -> nibabel.Nifti1Image:
        return nibabel.Nifti1Image(np.ones((2, 1, 1), np.float32), np.diag([edge, 1, 1, 1]))

    voxels, where, _ = prepare_image(image(1998), Path("a.nii.gz"), settings)
    assert voxels.shape == where.shape == (1999, 1, 1)
    with pytest.raises(UserError, match=r"^a\.nii\.gz: .* 2001 x 1 x 1 mm .* spacing_mm in params\.yaml"):
        prepare_image(image(2001), Path("a.nii.gz"), settings)


def test_the_background_of_a_z_score_is_that_of_a_voxel_of_0_to_the_last_bit() -> None:
    """Or all of the air would lie above it, and patches would be centred there."""
    spacing = (0.7, 1.3, 1.1)
    for seed in range(50):
        voxels = brain(seed)
        ours, _, background = prepared(voxels, Preparation(z_score=True))
        assert (ours[voxels == 0] == background).all()
        assert (ours > background).sum() == (voxels > 0).sum()
        resampled, where, background = prepared(voxels, Preparation(z_score=True, spacing_mm=spacing))
        near = to_prepared((voxels > 0).astype(np.float32), where, linear=True)
        assert (resampled[near == 0] == background).all()


def test_a_window_gives_0_to_1_and_what_is_outside_is_clipped() -> None:
    voxels = np.array([-1000, -57, -40, 53.5, 164, 3000], np.float32).reshape(1, 2, 3)
    ours, where, background = prepared(voxels, Preparation(window=(-57.0, 164.0)))
    np.testing.assert_allclose(ours.ravel(), [0, 0, 17 / 221, 0.5, 1, 1], atol=1e-7)
    assert where.is_kept
    assert background == 0


def test_each_channel_has_its_own_window_as_monai_scales_it() -> None:
    voxels = np.random.default_rng(2).uniform(-200, 400, (4, 5, 6, 3)).astype(np.float32)
    windows = ((-57.0, 164.0), (0.0, 100.0), (-150.0, 250.0))
    ours, _, background = prepared(voxels, Preparation(window=windows))
    for own, (low, high), channel in zip(ours, windows, np.moveaxis(voxels, 3, 0), strict=True):
        theirs = ScaleIntensityRange(low, high, 0.0, 1.0, clip=True)(channel)
        np.testing.assert_allclose(own, theirs, atol=1e-6)
    assert background == (0, 0, 0)
    same, _, _ = prepared(voxels, Preparation(window=(windows[0],) * 3))
    one, _, _ = prepared(voxels, Preparation(window=windows[0]))
    np.testing.assert_array_equal(same, one)


def test_windows_that_are_not_one_for_each_channel_are_refused() -> None:
    windows = Preparation(window=((0.0, 1.0), (0.0, 2.0)))
    with pytest.raises(UserError, match=r"a\.nii\.gz: 3 channels, but prepare\.window of params\.yaml has 2"):
        prepared(np.zeros((2, 2, 2, 3), np.float32), windows)
    with pytest.raises(UserError, match="1 channel, but"):
        prepared(np.zeros((2, 2, 2), np.float32), windows)
    for wrong in (((0.0, 1.0), (2.0, 1.0)), ((3.0, 3.0),), (3.0, 3.0)):
        with pytest.raises(ValidationError, match="low, high"):
            Preparation(window=wrong)


def test_without_settings_an_image_is_what_it_was() -> None:
    voxels = brain() - 100
    ours, where, background = prepared(voxels, Preparation())
    np.testing.assert_array_equal(ours, voxels)
    assert where.is_kept
    assert background == 0


def test_the_crop_is_the_smallest_box_of_the_voxels_above_zero_and_after_the_window() -> None:
    voxels = brain()
    assert prepared(voxels, Preparation(crop=True))[1].box == ((2, 9), (1, 8), (3, 10))
    voxels[0, 9, 0] = 0.5
    assert prepared(voxels, Preparation(crop=True))[1].box == ((0, 9), (1, 10), (0, 10))
    assert prepared(voxels, Preparation(crop=True, window=(1.0, 900.0)))[1].box == ((2, 9), (1, 8), (3, 10))
    one = np.zeros((3, 4, 5), np.float32)
    assert box_above_zero(one) is None
    one[2, 0, 4] = 1
    assert box_above_zero(one) == ((2, 3), (0, 1), (4, 5))


def sheared(degrees: float) -> np.ndarray:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[1, 2] = 3 * np.tan(np.radians(degrees))
    return affine


@pytest.mark.parametrize(
    ("voxels", "affine", "settings", "expected"),
    [
        (np.full((3, 3, 3), np.nan), np.eye(4), CT, "a.nii.gz: 27 voxels are NaN or infinite"),
        (np.full((3, 3, 3), -np.inf), np.eye(4), CT, "a.nii.gz: 27 voxels are NaN or infinite"),
        (np.full((3, 3, 3), -1000.0), np.eye(4), CT, "no voxel is above the low end of the window, -57"),
        (np.zeros((3, 3, 3)), np.eye(4), Preparation(crop=True), "no voxel is above 0"),
        (np.full((3, 3, 3), 7.0), np.eye(4), Preparation(z_score=True), "are equal"),
        (
            np.zeros((3, 3, 3)),
            np.eye(4),
            Preparation(z_score=True),
            "a.nii.gz: no voxel is above 0: there is",
        ),
        (
            brain(),
            sheared(15),
            CT,
            "a.nii.gz: its axes are sheared by 15.0 degrees; resample it to axes at right",
        ),
        (brain(), np.diag([1.0, 1, 0, 1]), CT, "a.nii.gz: its affine gives voxels with no edge"),
        (brain(), np.diag([1.0, np.nan, 1, 1]), CT, "an edge that is no number"),
    ],
)
def test_an_image_that_cannot_be_prepared_is_refused_in_one_line(
    voxels: np.ndarray, affine: np.ndarray, settings: Preparation, expected: str
) -> None:
    image = nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4))
    image._affine = affine  # nibabel writes none of these
    with pytest.raises(UserError, match=expected) as caught:
        prepare_image(image, Path("a.nii.gz"), settings)
    assert len(caught.value.problems) == 1


def test_a_turned_scan_and_one_with_rounded_directions_are_not_sheared(tmp_path: Path) -> None:
    turned = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(0.2, 0.3, 0.1) * (0.8, 0.8, 5))
    write(tmp_path / "a.nii.gz", brain(), turned.round(5))
    image, where, _ = prepare_image(read(tmp_path / "a.nii.gz"), Path("a.nii.gz"), CT)
    assert image.shape == where.shape


def test_chosen_label_values_become_one_class() -> None:
    values = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    mask = read_label(image_of(values), Path("l.nii.gz"), {0, 1, 2, 3}, [(1, 3)])
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, (values == 1) | (values == 3))


@pytest.mark.parametrize(
    ("value", "told"), [(4, r"\[4.0\]"), (0.5, r"\[0.5\]"), (-1, r"\[-1.0\]"), (np.nan, r"\[nan\]")]
)
def test_a_label_value_that_dataset_json_does_not_know_is_reported(value: float, told: str) -> None:
    values = np.zeros((3, 3, 3))
    values[1, 1, 1] = value
    with pytest.raises(
        UserError, match=f"l.nii.gz: labels {told}, expected \\[0, 1\\] as in dataset.json; correct"
    ):
        read_label(image_of(values), Path("l.nii.gz"), {0, 1}, [(1,)])


def test_image_and_label_may_differ_by_what_headers_round_and_no_more() -> None:
    affine = np.diag([0.8, 0.8, 5.0, 1.0])
    nudged, moved = affine.copy(), affine.copy()
    nudged[0, 3], moved[0, 3] = 0.079, 0.081  # a tenth of the shortest edge is 0.08 mm
    image = image_of(brain(), affine)
    paths = Path("i.nii.gz"), Path("l.nii.gz")
    check_pair(image, image_of(brain(), nudged), *paths)
    for label, expected in (
        (image_of(brain(), moved), "l.nii.gz: its affine is not that of its image i.nii.gz"),
        (image_of(brain()[1:], affine), r"l.nii.gz: shape \(11, 10, 11\), but its image has \(12, 10, 11\)"),
    ):
        with pytest.raises(UserError, match=expected):
            check_pair(image, label, *paths)
