"""Headers and names of NIfTI files: read right, refused or warned of, the same by verify and predict."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from mutations import TIMES
from scan_files import AFFINE, VOXELS, corners, open_with_itk, turned, write_scan
from scipy.spatial.transform import Rotation

from context_fbr.config.prepare.preprocessing import Preparation
from context_fbr.core import file_kinds, nifti
from context_fbr.core.errors import UserError
from context_fbr.datasets.checks import image_problems
from context_fbr.datasets.problems import Severity
from context_fbr.datasets.volume_facts import Damage, Facts, inspect
from context_fbr.preprocessing.recipe import Recipe
from context_fbr.preprocessing.transforms import check_grid
from context_fbr_tools.study import predict

RECIPE = Recipe(Preparation(foreground=(1,)), ("MRI",), 0.0)
SKEW = 5e-4
"""Within what is taken for a right angle, and more than ITK takes for one."""


def skewed(affine: np.ndarray, cosine: float = SKEW) -> np.ndarray:
    """Lean the second axis towards the first, which nibabel and ITK judge differently."""
    leant = affine.copy()
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    leant[:3, 1] += cosine * edges[1] / edges[0] * affine[:3, 0]
    return leant


def read(path: Path) -> nifti.Volume:
    volume = nifti.read_volume(path)
    check_grid(volume.image, path)
    return volume


def mask_of(path: Path) -> tuple[Path, np.ndarray]:
    """Write a mask of a scan as evaluate and predict do."""
    volume = read(path)
    mask = (volume.image.get_fdata(dtype=np.float32) > 50).astype(np.uint8)
    target = path.parent / "mask" / "a.nii.gz"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(nifti.encode_mask(mask, volume.header))
    return target, mask


def compare_in_itk(path: Path) -> SimpleITK.Image | None:
    """The scan in SimpleITK, after a comparison with its mask; None where SimpleITK does not open the scan."""
    target, mask = mask_of(path)
    scan = open_with_itk(path)
    if scan is None:
        return None
    there = SimpleITK.ReadImage(str(target))
    assert there.GetSize() == scan.GetSize()[:3]
    np.testing.assert_allclose(corners(there), corners(scan), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(there).T, mask)
    return scan


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"sform": skewed(turned(20)), "qform": turned(20)}, id="N6 skewed sform, good qform"),
        pytest.param({"codes": (1, 0), "sform": turned(20)}, id="N6 qform alone"),
        pytest.param({"codes": (0, 2), "sform": turned(20)}, id="N6 sform alone"),
        pytest.param({"codes": (0, 0)}, id="N6 no form"),
        pytest.param({"codes": (2, 1), "qform": AFFINE * [[-1], [1], [1], [1]]}, id="N6 forms that differ"),
        pytest.param({"endianness": ">", "sform": turned(20)}, id="N6 big-endian"),
        pytest.param({"unit": 1, "sform": turned(20)}, id="N1 metre"),
        pytest.param({"unit": 3, "sform": turned(20)}, id="N2 micron"),
        pytest.param({"unit": 0}, id="N2 no unit"),
        pytest.param({"voxels": VOXELS[..., None]}, id="N10 an axis of one"),
        pytest.param({"voxels": VOXELS[..., None, None]}, id="N10 two axes of one"),
    ],
)
def test_a_mask_opens_in_itk_where_its_scan_does(tmp_path: Path, fields: dict[str, object]) -> None:
    write_scan(tmp_path / "a.nii.gz", **fields)
    assert compare_in_itk(tmp_path / "a.nii.gz") is not None


@pytest.mark.parametrize(
    "count", [pytest.param(100, id="few"), pytest.param(1_000 * TIMES, id="many", marks=pytest.mark.slow)]
)
def test_a_mask_of_any_valid_header_opens_in_itk_where_its_scan_does(tmp_path: Path, count: int) -> None:
    """Form codes 0, 1, 2, skew up to the limit, oblique, mm, m and micron, axes of one, both byte orders."""
    opened = 0
    for seed in range(count):
        generator = np.random.default_rng(seed)
        axes = np.eye(3)[generator.permutation(3)] * generator.choice([-1, 1], 3)
        degrees = generator.uniform(-45, 45, 3) * generator.integers(2)
        qform = np.eye(4)
        qform[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ axes
        qform[:3, :3] *= generator.choice([0.3, 0.7, 0.8, 1, 2.5, 5], 3)
        qform[:3, 3] = generator.uniform(-300, 300, 3)
        skew = float(generator.choice([0, 2e-4, SKEW, 9e-4]))
        codes = (int(generator.integers(3)), int(generator.integers(3)))
        shape = (*generator.integers(2, 8, 3), *(1,) * int(generator.integers(3)))
        voxels = generator.integers(0, 100, shape).astype(generator.choice(["uint8", "int16", "float32"]))
        path = tmp_path / generator.choice(["packed.nii.gz", "plain.nii"])
        unit, order = int(generator.integers(4)), str(generator.choice(["<", ">"]))
        write_scan(path, voxels, skewed(qform, skew), qform, codes, unit, order)
        scan = compare_in_itk(path)
        opened += scan is not None
        if scan is not None and not skew and max(codes):  # then there is one place, and it is ours
            image = read(path).image
            ends = [(0, length - 1) for length in image.shape]
            ours = [image.affine @ [i, j, k, 1] for i in ends[0] for j in ends[1] for k in ends[2]]
            np.testing.assert_allclose(np.array(ours)[:, :3] * [-1, -1, 1], corners(scan), rtol=0, atol=1e-4)
    assert opened > count * 0.7


def test_a_mask_takes_over_nothing_but_what_places_the_scan(tmp_path: Path) -> None:
    fields = {"descrip": b"Jane Doe", "intent_code": 1001, "cal_max": 99.0, "scl_slope": 2.0, "slice_code": 3}
    write_scan(tmp_path / "a.nii.gz", codes=(2, 1), unit=3, **fields)
    target, mask = mask_of(tmp_path / "a.nii.gz")
    header = nibabel.load(target).header
    assert (header["qform_code"], header["sform_code"], header["xyzt_units"]) == (2, 1, 3)
    assert [header[name].item() for name in ("intent_code", "cal_max", "slice_code")] == [0, 0, 0]
    assert not header["descrip"].item()
    np.testing.assert_array_equal(np.asarray(nibabel.load(target).dataobj), mask)


def test_the_mask_of_a_volume_of_ours_has_the_bytes_that_it_always_had(tmp_path: Path) -> None:
    for affine in (np.eye(4), np.diag([0.8, 0.8, 5.0, 1.0])):
        nifti.write(tmp_path / "a.nii.gz", VOXELS.astype(np.float32), affine)
        target, mask = mask_of(tmp_path / "a.nii.gz")
        assert target.read_bytes() == nifti.encode(mask, affine)


REFUSED = [
    pytest.param({"codes": (0, 0), "pixdim": [1, 0, 0, 0, 0, 0, 0, 0]}, "no spacing: pixdim is 0 x 0 x 0", "write", id="N3 no spacing"),
    pytest.param({"codes": (1, 0), "pixdim": [1, 0.8, 0, 2.5, 0, 0, 0, 0]}, "no spacing: pixdim is 0.8 x 0 x 2.5", "write", id="N3 one edge missing"),
    pytest.param({"codes": (0, 0), "pixdim": [1, 0.8, -0.9, 2.5, 0, 0, 0, 0]}, "0.8 x -0.9 x 2.5", "write", id="N3 negative"),
    pytest.param({"codes": (0, 0), "pixdim": [1, 0.8, np.nan, 2.5, 0, 0, 0, 0]}, "0.8 x nan x 2.5", "write", id="N3 NaN"),
    pytest.param({"sform_code": 7}, "sform_code is 7, expected 0 to 5", "write 1 into sform_code", id="N3 an unknown code"),
    pytest.param({"codes": (1, 0), "quatern_b": 5}, "its qform is damaged", "write", id="N3 a damaged qform"),
    pytest.param({"srow_x": [np.nan, 0, 0, 0]}, "not finite", "write", id="N3 a NaN in the sform"),
    pytest.param({"vox_offset": 0}, "first voxel at byte 0 (vox_offset), expected 352", "352", id="N5 no offset"),
    pytest.param({"vox_offset": 348}, "first voxel at byte 348", "352", id="N5 behind the header"),
    pytest.param({"vox_offset": 352.5}, "first voxel at byte 352.5", "352", id="N5 half a byte"),
    pytest.param({"vox_offset": np.nan}, "first voxel at byte nan", "352", id="N5 NaN"),
    pytest.param({"xyzt_units": 5}, "lengths in unit 5", "1 for m, 2 for mm, 3 for micron", id="N2 an unknown unit"),
    pytest.param({"voxels": VOXELS[..., None, None].repeat(3, -1)}, "has 5 axes (7 x 6 x 5 x 1 x 3 voxels)", "vector", id="N11 vectors"),
    pytest.param({"dim": [4, 7, 6, 5, 0, 1, 1, 1]}, "axis 4 of 4 a length of 0 (7 x 6 x 5 x 0 voxels)", "write 1 into dim[4]", id="N11 dim[4] of 0"),
    pytest.param({"dim": [3, 7, 0, 5, 1, 1, 1, 1]}, "axis 2 of 3 a length of 0", "convert the scan again", id="N11 dim[2] of 0"),
    pytest.param({"dim": [3, 7, 6, 0, 1, 1, 1, 1]}, "axis 3 of 3 a length of 0", "write the right one", id="N11 dim[3] of 0"),
    pytest.param({"voxels": VOXELS[..., 0]}, "has 2 axes (7 x 6 voxels)", "stack", id="N11 one slice"),
    pytest.param({"dim": [-5, 7, 6, 5, 1, 1, 1, 1]}, "dim[0]", "copy or download", id="N11 no axes"),
    pytest.param({"datatype": 128, "bitpix": 24}, "colours (RGB)", "original scan", id="colours"),
    pytest.param({"datatype": 32, "bitpix": 64}, "complex64", "original scan", id="complex"),
    pytest.param({"datatype": 99}, "datatype 99 is not one of NIfTI-1", "write", id="an unknown type"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "text", "remedy"), REFUSED)
def test_a_header_without_one_meaning_is_refused_by_verify_and_predict_with_the_same_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], fields: dict[str, object], text: str, remedy: str
) -> None:
    path = tmp_path / "a.nii.gz"
    write_scan(path, **fields)
    with pytest.raises(nifti.UnreadableError) as caught:
        nifti.read_volume(path)
    assert text in caught.value.text
    assert remedy in caught.value.remedy
    assert caught.value.problems == (f"{path}: {caught.value.text}; {caught.value.remedy}",)
    damage = inspect(tmp_path, "a.nii.gz", is_label=False)
    assert damage == Damage("a.nii.gz", caught.value.text, caught.value.remedy)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("unit", "named"), [(0, "not given"), (1, "m"), (2, "mm"), (3, "micron")], ids=["0", "m", "mm", "micron"]
)
@pytest.mark.parametrize("codes", [(0, 1), (1, 0), (1, 1)])
def test_lengths_are_read_in_the_unit_of_the_header(
    tmp_path: Path, unit: int, named: str, codes: tuple[int, int]
) -> None:
    write_scan(tmp_path / "a.nii.gz", sform=turned(20), unit=unit, codes=codes)
    image = nifti.read(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(image.affine, turned(20), rtol=0, atol=1e-4)
    facts = inspect(tmp_path, "a.nii.gz", is_label=False)
    assert isinstance(facts, Facts), named
    assert facts.spacing_mm == pytest.approx((0.8, 0.8, 2.5), abs=1e-6)
    assert [problem.kind for problem in image_problems(facts, None)] == ["oblique"]


@pytest.mark.parametrize("axes", [1, 2, 4])
def test_axes_of_one_behind_the_third_are_left_out(tmp_path: Path, axes: int) -> None:
    write_scan(tmp_path / "a.nii.gz", VOXELS.reshape(*VOXELS.shape, *(1,) * axes))
    image = nifti.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), VOXELS)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    assert image.header.get_data_shape() == VOXELS.shape


def test_voxels_behind_extensions_are_read_where_the_header_says(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii", vox_offset=352 + 48)
    content = (tmp_path / "a.nii").read_bytes()
    extension = bytes([1, 0, 0, 0]) + (48).to_bytes(4, "little") + (6).to_bytes(4, "little") + b"x" * 40
    (tmp_path / "a.nii").write_bytes(content[:348] + extension + content[352:])
    np.testing.assert_array_equal(np.asarray(nifti.read(tmp_path / "a.nii").dataobj), VOXELS)


WARNED = [
    pytest.param({}, [], "", id="nothing"),
    pytest.param({"pixdim": [0, 0.8, 0.9, 2.5, 0, 0, 0, 0], "codes": (0, 1)}, [], "", id="N3 a qfac of 0 means 1"),
    pytest.param({"pixdim": [1, 0, 0.9, 2.5, 0, 0, 0, 0], "codes": (0, 1)}, ["header repaired"], "pixdim[1] 0 is read as 1", id="N3 pixdim beside an sform"),
    pytest.param({"pixdim": [1, -0.8, 0.9, 2.5, 0, 0, 0, 0], "codes": (0, 1)}, ["header repaired"], "pixdim[1] -0.8 is read as 0.8", id="N3 a negative pixdim"),
    pytest.param({"pixdim": [-0.5, 0.8, 0.9, 2.5, 0, 0, 0, 0]}, ["header repaired"], "pixdim[0] -0.5 is read as -1", id="N3 qfac"),
    pytest.param({"bitpix": 8}, ["header repaired"], "bitpix 8 is read as 16", id="N3 bitpix"),
    pytest.param({"qform_code": -1}, ["header repaired"], "qform_code -1 is read as 0", id="N3 a negative code"),
    pytest.param({"sizeof_hdr": 0}, ["header repaired"], "sizeof_hdr 0 is read as 348", id="N3 the header's length"),
    pytest.param({"scl_slope": np.inf}, ["header repaired"], "scl_slope inf is read as 1", id="N3 an infinite slope"),
    pytest.param({"codes": (0, 0)}, ["no orientation"], "neither sform nor qform", id="N3 no form"),
    pytest.param({"qform": AFFINE * [[-1], [1], [1], [1]]}, ["forms differ"], "sform and qform lie up to", id="N8 forms differ"),
    pytest.param({"pixdim": [-1, 0.8, 0.9, 5, 0, 0, 0, 0], "codes": (0, 1)}, ["forms differ"], "0.8 x 0.9 x 5 mm by its pixdim, 0.8 x 0.9 x 2.5 mm by its sform", id="N8 pixdim differs"),
    pytest.param({"pixdim": [-1, 0.82, 0.9, 2.5, 0, 0, 0, 0], "codes": (0, 1)}, ["forms differ"], "0.82 x 0.9 x 2.5 mm by", id="N8 pixdim differs, seen at the far end"),
    pytest.param({"codes": (0, 1), "vox_offset": 352 + 8, "dim": [3, 7, 6, 4, 1, 1, 1, 1]}, [], "", id="an offset that 16 does not divide"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "kinds", "text"), WARNED)
def test_verify_and_predict_warn_of_the_same_with_the_same_words(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    fields: dict[str, object],
    kinds: list[str],
    text: str,
) -> None:
    path = tmp_path / "a.nii.gz"
    write_scan(path, **fields)
    facts = inspect(tmp_path, "a.nii.gz", is_label=False)
    assert isinstance(facts, Facts)
    problems = image_problems(facts, None)
    assert [(problem.severity, problem.kind) for problem in problems] == [
        (Severity.WARNING, k) for k in kinds
    ]
    assert text in "".join(problem.text for problem in problems)
    warnings = predict.check_image(nifti.read_volume(path), path, RECIPE)
    assert warnings == [f"{path}: {problem.text}; {problem.remedy}" for problem in problems]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("written", "named", "right"),
    [
        pytest.param("a.nii", "a.nii.gz", "a.nii", id="N12 plain, named .nii.gz"),
        pytest.param("a.nii.gz", "a.nii", "a.nii.gz", id="N13 packed, named .nii"),
        pytest.param("a.nii.gz", "a.NII.GZ", "a.nii.gz", id="N16 capitals"),
        pytest.param("a.nii", "a.Nii", "a.nii", id="N17 a capital"),
        pytest.param("a.nii", "a.img", "a.img.nii", id="another ending"),
        pytest.param("a.nii.gz", "a.nii.gz", None, id="right, packed"),
        pytest.param("a.nii", "a.nii", None, id="right, plain"),
    ],
)
def test_the_first_bytes_decide_how_a_volume_is_read_and_a_wrong_name_is_warned_of_with_the_right_one(
    tmp_path: Path, written: str, named: str, right: str | None
) -> None:
    write_scan(tmp_path / written)
    path = (tmp_path / written).rename(tmp_path / named)
    volume = nifti.read_volume(path)
    np.testing.assert_array_equal(np.asarray(volume.image.dataobj), VOXELS)
    warnings = predict.check_image(volume, path, RECIPE)
    assert [warning.endswith(f"; rename it to {right}") for warning in warnings] == [True] * (
        right is not None
    )


@pytest.mark.parametrize(
    ("content", "key", "remedy"),
    [
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git-lfs", "git lfs pull", id="N14 Git LFS"),
        pytest.param(b"/annex/objects/SHA256E-s1--4d.nii.gz\n", "git-annex", "git annex get", id="N14 git-annex"),
        pytest.param(b"<!doctype html><title>Sign in</title>", "html", "download it again", id="N14 a web page"),
        pytest.param(b"", "empty", "download it again", id="N15 an empty file"),
        pytest.param(None, "dangling", "bring back", id="N15 a dangling link"),
        pytest.param(gzip.compress(bytes(2000)), "zeros", "download it again", id="N15 zeros"),
    ],
)  # fmt: skip
def test_what_is_not_the_file_itself_is_named_with_what_to_do(
    tmp_path: Path, content: bytes | None, key: str, remedy: str
) -> None:
    path = tmp_path / "a.nii.gz"
    if content is None:
        path.symlink_to("nowhere.nii.gz")
    else:
        path.write_bytes(content)
    with pytest.raises(nifti.UnreadableError) as caught:
        nifti.read_volume(path)
    assert caught.value.text == file_kinds.look(path).kind.text
    assert file_kinds.look(path).kind.key == key
    assert remedy in caught.value.remedy
    assert inspect(tmp_path, path.name, is_label=True) == Damage(
        path.name, caught.value.text, caught.value.remedy
    )


def to_nifti_1_by_nibabel(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image.from_image(nibabel.load(path)), path.parent / "converted.nii.gz")


def to_nifti_1_by_itk(path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(path.parent / "converted.nii.gz"))


@pytest.mark.parametrize(
    ("name", "image", "named", "convert"),
    [
        pytest.param("a.nii", nibabel.Nifti2Image, "NIfTI-2", to_nifti_1_by_nibabel, id="N18 NIfTI-2"),
        pytest.param("a.mgz", nibabel.MGHImage, "MGH", to_nifti_1_by_nibabel, id="N18 .mgz"),
        pytest.param("a.hdr", nibabel.Nifti1Pair, "NIfTI-1 pair", to_nifti_1_by_nibabel, id="N18 .hdr and .img"),
        pytest.param("a.hdr", nibabel.Spm2AnalyzeImage, "Analyze", to_nifti_1_by_nibabel, id="N18 Analyze"),
        pytest.param("a.nrrd", None, "NRRD", to_nifti_1_by_itk, id="N18 .nrrd"),
        pytest.param("a.mha", None, "MetaImage", to_nifti_1_by_itk, id="N18 .mha"),
    ],
)  # fmt: skip
def test_another_format_is_named_and_its_remedy_gives_the_same_volume(
    tmp_path: Path, name: str, image: type | None, named: str, convert: object
) -> None:
    path = tmp_path / name
    if image:
        nibabel.save(image(VOXELS, AFFINE), path)
    else:
        write_scan(tmp_path / "first.nii")
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(tmp_path / "first.nii")), str(path))
    with pytest.raises(nifti.UnreadableError) as caught:
        nifti.read_volume(path)
    assert named in caught.value.text
    assert (
        "nibabel.save" if convert is to_nifti_1_by_nibabel else "SimpleITK.WriteImage"
    ) in caught.value.remedy
    convert(path)
    converted = nifti.read(tmp_path / "converted.nii.gz")
    np.testing.assert_array_equal(converted.get_fdata(), VOXELS)
    np.testing.assert_allclose(converted.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(
    ("lowest", "minimum", "taken"),
    [(0.0, -1.0, False), (1.0, -1.0, False), (-1.0, -2.0, True), (0.0, 0.0, True)],
)
def test_negative_intensities_are_refused_where_the_training_images_had_none(
    tmp_path: Path, lowest: float, minimum: float, taken: bool
) -> None:
    voxels = VOXELS.copy()
    voxels[0, 0, 0] = minimum
    write_scan(tmp_path / "a.nii.gz", voxels)
    volume = nifti.read_volume(tmp_path / "a.nii.gz")
    recipe = Recipe(RECIPE.preparation, RECIPE.modality, lowest)
    if taken:
        assert predict.check_image(volume, Path("a.nii.gz"), recipe) == []
    else:
        with pytest.raises(UserError, match=r"the training images .MRI. have none below 0"):
            predict.check_image(volume, Path("a.nii.gz"), recipe)


@pytest.mark.parametrize(
    ("training", "warned"),
    [
        pytest.param([[8.0, 9.0, 25.0]], True, id="N30 a tenth"),
        pytest.param([[0.08, 0.09, 0.25]], True, id="N30 ten times"),
        pytest.param([[0.8, 0.9, 10.0]], True, id="N30 one axis"),
        pytest.param([[0.8, 0.9, 10.0], [0.8, 0.9, 5.0]], False, id="near one of them"),
        pytest.param([[0.8, 0.9, 2.5], [0.08, 0.09, 0.25]], False, id="between them"),
        pytest.param([[0.8, 0.9, 2.5]], False, id="the same"),
    ],
)
def test_an_image_of_another_spacing_than_the_training_s_is_warned_of(
    tmp_path: Path, training: list[list[float]], warned: bool
) -> None:
    write_scan(tmp_path / "a.nii.gz")
    volume = nifti.read_volume(tmp_path / "a.nii.gz")
    warnings = predict.check_image(volume, Path("a.nii.gz"), RECIPE, np.array(training))
    assert [("0.8 x 0.9 x 2.5 mm" in text, "spacing_mm" in text) for text in warnings] == [
        (True, True)
    ] * warned
