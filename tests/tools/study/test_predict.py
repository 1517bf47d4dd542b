"""Segment images with a trained cell: on their own grid, as evaluate does, or a clear refusal."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scan_files import corners, turned, write_scan
from workspace import ROOT, TINY

from context_fbr import evaluate, prepare, raw, train
from context_fbr.config import profiles
from context_fbr.config.cell import Cell
from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.networks import sliding_window
from context_fbr.training.weights import read_training
from context_fbr_tools import cli
from context_fbr_tools.study import predict

CELL = Cell("spheres", "unet", 16, 1)
TEST = Path("data/raw/spheres/imagesTs")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny study and its trained and evaluated cell."""
    folder = tmp_path_factory.mktemp("predict")
    shutil.copy(ROOT / "tests" / "support" / "study.yaml", folder / "params.yaml")
    profiles.apply_overlay(TINY, folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        raw.main(["spheres"])
        prepare.main(["spheres"])
        arguments = [CELL.task, CELL.model, str(CELL.patch_size), str(CELL.seed)]
        train.main(arguments)
        evaluate.main(arguments)
    return folder


@pytest.fixture
def study(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    folder = Path(shutil.copytree(trained, tmp_path / "study"))
    monkeypatch.chdir(folder)
    return folder


def run(*images: Path | str, out: str = "masks", overwrite: bool = False) -> list[str]:
    return list(predict.predict(CELL, [Path(image) for image in images], Path(out), overwrite))


def test_masks_are_the_bytes_that_evaluate_wrote_for_the_same_images(study: Path) -> None:
    lines = run(TEST)
    names = sorted(path.name for path in TEST.iterdir())
    assert [line.partition(": ")[0] for line in lines] == [f"masks/{name}" for name in names]
    for name in names:
        assert (Path("masks") / name).read_bytes() == (CELL.predictions / name).read_bytes()


def test_an_image_in_another_orientation_gives_the_same_mask_in_the_world(study: Path) -> None:
    source = nibabel.load(sorted(TEST.iterdir())[0])
    turn = ornt_transform(io_orientation(source.affine), axcodes2ornt(("P", "S", "L")))
    nibabel.save(source.as_reoriented(turn), "turned.nii.gz")
    run(sorted(TEST.iterdir())[0], "turned.nii.gz")
    mask, turned = (
        nibabel.load(f"masks/{sorted(TEST.iterdir())[0].name}"),
        nibabel.load("masks/turned.nii.gz"),
    )
    assert nibabel.aff2axcodes(turned.affine) == ("P", "S", "L")
    np.testing.assert_array_equal(turned.affine, nibabel.load("turned.nii.gz").affine)
    back = turned.as_reoriented(ornt_transform(io_orientation(turned.affine), axcodes2ornt("RAS")))
    np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(mask.dataobj))
    assert np.asarray(mask.dataobj).any()


def test_a_line_tells_the_volume_in_ml(study: Path) -> None:
    name = sorted(TEST.iterdir())[0]
    (line,) = run(name)
    voxels = int(np.asarray(nibabel.load(Path("masks") / name.name).dataobj).sum())
    assert line == f"masks/{name.name}: {voxels} voxels, {voxels / 1000:.1f} ml"


def test_the_preparation_is_that_of_the_training_whatever_params_yaml_says_now(study: Path) -> None:
    text = Path("params.yaml").read_text()
    changed = text.replace("    prepare:\n", "    prepare:\n      window: [5, 6]\n", 1)
    assert changed != text
    Path("params.yaml").write_text(changed)
    name = sorted(TEST.iterdir())[0]
    run(name)
    assert (Path("masks") / name.name).read_bytes() == (CELL.predictions / name.name).read_bytes()


def test_images_that_cannot_be_used_are_reported_together_and_do_not_stop_the_others(study: Path) -> None:
    good = sorted(TEST.iterdir())[0]
    voxels = np.asarray(nibabel.load(good).dataobj)
    nan, cold = voxels.copy(), voxels.copy()
    nan[1, 2, 3] = np.nan
    cold[0, 0, 0] = -900
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    four = np.zeros((4, 4, 4, 2), np.float32)
    Path("bad").mkdir()
    for name, array, affine in (
        ("nan", nan, np.eye(4)),
        ("cold", cold, np.eye(4)),
        ("sheared", voxels, sheared),
        ("four", four, np.eye(4)),
    ):
        nifti.write(Path(f"bad/{name}.nii.gz"), array, affine)
    Path("bad/photo.nii.gz").write_bytes(b"\xff\xd8\xff\xe0 no NIfTI")
    with pytest.raises(UserError) as caught:
        run("bad", good)
    expected = {
        "cold": "values down to -900, but the training images (synthetic) have none below 0",
        "four": "2 channels, but the cell was trained with 1",
        "nan": "1 of 4096 voxels are NaN or infinite",
        "photo": "is a picture",
        "sheared": "its axes are sheared by 16.7 degrees",
    }
    assert len(caught.value.problems) == len(expected)
    for problem, (name, text) in zip(caught.value.problems, expected.items(), strict=True):
        assert problem.startswith(f"bad/{name}.nii.gz: ")
        assert text in problem
    assert [path.name for path in Path("masks").iterdir()] == [good.name]


def test_a_ct_cell_refuses_what_is_not_in_hounsfield_units(study: Path) -> None:
    training = json.loads(CELL.training.read_text())
    training["recipe"]["modality"] = ["CT"]
    CELL.training.write_text(json.dumps(training))
    with pytest.raises(UserError, match="are not HU: nothing is below 0"):
        run(sorted(TEST.iterdir())[0])


def test_nothing_is_written_if_a_file_is_missing_or_a_mask_is_there(study: Path) -> None:
    good = sorted(TEST.iterdir())[0]
    Path("empty").mkdir()
    with pytest.raises(UserError) as caught:
        run(good, "none.nii.gz", "empty")
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == ["none.nii.gz", "empty"]
    assert not Path("masks").exists()
    run(good)
    with pytest.raises(UserError, match="is there already; name another folder, or give --overwrite"):
        run(good)
    assert len(run(good, overwrite=True)) == 1


def test_an_image_is_never_overwritten_by_its_mask(study: Path) -> None:
    good = sorted(TEST.iterdir())[0]
    before = good.read_bytes()
    with pytest.raises(UserError, match="is an image itself"):
        run(good, out=str(TEST), overwrite=True)
    assert good.read_bytes() == before


def test_two_images_of_the_same_name_are_not_written_over_each_other(study: Path) -> None:
    good = sorted(TEST.iterdir())[0]
    Path("other").mkdir()
    (Path("other") / good.name).write_bytes(good.read_bytes())
    with pytest.raises(UserError, match="has the same name as"):
        run(good, Path("other") / good.name)


def test_a_small_image_is_padded_and_the_line_says_so(study: Path) -> None:
    voxels = np.asarray(nibabel.load(sorted(TEST.iterdir())[0]).dataobj)[2:14, :, :9]
    nifti.write(Path("small.nii.gz"), np.ascontiguousarray(voxels), np.eye(4))
    (line,) = run("small.nii.gz")
    assert line.endswith("; padded, its shape of 12 x 16 x 9 is smaller than the window")
    assert nibabel.load("masks/small.nii.gz").shape == (12, 16, 9)


@pytest.mark.parametrize("content", [None, "{", "{}", '{"recipe": {"modality": ["CT"]}}'])
def test_a_cell_that_is_not_trained_or_of_another_version_says_what_to_run(
    study: Path, content: str | None
) -> None:
    CELL.training.unlink()
    if content is not None:
        CELL.training.write_text(content)
    with pytest.raises(UserError, match=f"training.json: .*train@{CELL.key}"):
        run(sorted(TEST.iterdir())[0])


def test_a_folder_represents_the_nifti_files_in_it(study: Path) -> None:
    good = sorted(TEST.iterdir())[0]
    for name in ("b.nii.gz", "a.nii.gz", "._a.nii.gz", "a.nii.gz.bak", "deeper/c.nii.gz"):
        path = Path("scans") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(good.read_bytes())
    Path("scans/folder.nii.gz").mkdir()
    assert [line.partition(": ")[0] for line in run("scans")] == ["masks/a.nii.gz", "masks/b.nii.gz"]


def test_a_mask_opens_in_itk_where_its_scan_does_although_the_sform_is_skewed(study: Path) -> None:
    """N6: within what is taken for a right angle, more than ITK takes for one; it takes the qform."""
    voxels = np.asarray(nibabel.load(sorted(TEST.iterdir())[0]).dataobj)
    sform = turned(20)
    sform[:3, 1] += 5e-4 * sform[:3, 0]
    write_scan(Path("scan.nii.gz"), voxels, sform, turned(20), codes=(1, 2))
    run("scan.nii.gz")
    scan, mask = (SimpleITK.ReadImage(name) for name in ("scan.nii.gz", "masks/scan.nii.gz"))
    np.testing.assert_allclose(corners(mask), corners(scan), rtol=0, atol=1e-4)
    assert SimpleITK.GetArrayFromImage(mask).any()


def test_evaluate_s_masks_take_over_the_header_of_the_scan_too(study: Path) -> None:
    """N6, on a scan in micron with an axis of one: the bytes of predict's mask, and ITK opens it."""
    path = sorted(TEST.iterdir())[0]
    sform = turned(20, (1.0, 1.0, 1.0))
    qform = sform.copy()
    sform[:3, 1] += 5e-4 * sform[:3, 0]
    for file in (path, Path("data/raw/spheres/labelsTs") / path.name):
        voxels = np.asarray(nibabel.load(file).dataobj)
        write_scan(file, voxels[..., None], sform, qform, codes=(1, 2), unit=3)
    prepare.main(["spheres"])
    evaluate.main([CELL.task, CELL.model, str(CELL.patch_size), str(CELL.seed)])
    run(path)
    evaluated = CELL.predictions / path.name
    assert evaluated.read_bytes() == (Path("masks") / path.name).read_bytes()
    scan, mask = (SimpleITK.ReadImage(str(name)) for name in (path, evaluated))
    np.testing.assert_allclose(corners(mask), corners(scan), rtol=0, atol=1e-4)


def test_a_scan_in_micron_with_an_axis_of_one_gives_the_mask_of_the_same_scan_in_mm(study: Path) -> None:
    voxels = np.asarray(nibabel.load(sorted(TEST.iterdir())[0]).dataobj)
    write_scan(Path("mm.nii"), voxels, turned(0), unit=2)
    write_scan(Path("micron.nii"), voxels[..., None], turned(0), unit=3)
    run("mm.nii", "micron.nii")
    mm, micron = (SimpleITK.ReadImage(f"masks/{name}.nii.gz") for name in ("mm", "micron"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(micron), SimpleITK.GetArrayFromImage(mm))
    np.testing.assert_allclose(corners(micron), corners(mm), rtol=0, atol=1e-4)


def test_what_verify_warns_of_is_printed_and_the_image_is_segmented(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voxels = np.asarray(nibabel.load(sorted(TEST.iterdir())[0]).dataobj)
    write_scan(Path("apart.nii"), voxels, np.eye(4), np.diag([-1.0, 1, 1, 1]))
    write_scan(Path("fine.nii"), voxels, np.eye(4) * [0.1, 0.1, 0.1, 1])
    assert len(run("apart.nii", "fine.nii")) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.split(": ")[1] for line in lines] == ["apart.nii", "fine.nii"]
    assert "sform and qform lie up to" in lines[0]
    assert "its voxels are 0.1 x 0.1 x 0.1 mm, those of the training images 1 x 1 x 1 mm" in lines[1]


def test_the_training_s_spacing_travels_with_the_model(study: Path) -> None:
    shutil.rmtree("data/prepared")
    np.testing.assert_array_equal(read_training(CELL).spacings_mm, [[1, 1, 1], [1, 1, 1]])


def test_names_with_control_characters_stay_on_one_line(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voxels = np.asarray(nibabel.load(sorted(TEST.iterdir())[0]).dataobj)
    write_scan(Path("two\nlines.nii"), voxels, np.eye(4), np.diag([-1.0, 1, 1, 1]))
    (line,) = run("two\nlines.nii")
    assert line.startswith(r"masks/two\nlines.nii.gz: ")
    assert r"warning: two\nlines.nii: " in capsys.readouterr().err
    assert Path("masks/two\nlines.nii.gz").is_file()


def test_a_link_to_nothing_and_a_folder_of_another_format_are_reported_with_what_to_do(study: Path) -> None:
    Path("scan.nii.gz").symlink_to(".git/annex/objects/a/b/SHA256E-s1")
    with pytest.raises(UserError, match=r"^scan\.nii\.gz: is a pointer of git-annex.*`git annex get`"):
        run("scan.nii.gz")
    Path("series").mkdir()
    Path("series/1.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(UserError, match=r"^series: holds no \.nii.*; 1\.dcm is a DICOM file: .*dcm2niix"):
        run("series")


def test_a_mask_is_not_put_next_to_an_unpacked_file_that_itk_would_read_in_its_place(study: Path) -> None:
    voxels = np.asarray(nibabel.load(sorted(TEST.iterdir())[0]).dataobj)
    Path("scans").mkdir()
    write_scan(Path("scans/a.nii"), voxels, np.eye(4))
    with pytest.raises(UserError, match=r"^scans/a\.nii\.gz: would be next to a\.nii"):
        run("scans", out="scans", overwrite=True)
    nibabel.save(nibabel.Nifti1Image(voxels * 0, np.eye(4)), "scans/a.nii.gz")
    assert SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("scans/a.nii.gz")).any()  # so it is


def test_a_file_where_the_masks_should_go_is_reported_at_once(study: Path) -> None:
    Path("masks").write_text("mine")
    with pytest.raises(UserError, match="masks: is a file, expected a folder for the masks"):
        run(sorted(TEST.iterdir())[0])
    assert Path("masks").read_text() == "mine"


def test_a_mask_that_cannot_be_written_is_reported_with_the_rest_and_does_not_stop_it(study: Path) -> None:
    names = sorted(path.name for path in TEST.iterdir())
    Path("bad.nii.gz").write_bytes(b"no NIfTI")
    (Path("masks") / names[0] / "in the way").mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        run("bad.nii.gz", TEST, overwrite=True)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "bad.nii.gz",
        f"masks/{names[0]}",
    ]
    assert all((Path("masks") / name).is_file() for name in names[1:])


def test_an_image_that_is_too_large_for_the_gpu_says_what_to_do_and_does_not_stop_the_others(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real segmentation, but for one image the error that PyTorch raises on a full GPU."""
    names = sorted(path.name for path in TEST.iterdir())
    real, calls = sliding_window.sliding_window, []

    def full_once(*arguments: object) -> torch.Tensor:
        calls.append(arguments)
        if len(calls) == 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
        return real(*arguments)

    monkeypatch.setattr(sliding_window, "sliding_window", full_once)
    with pytest.raises(UserError) as caught:
        run(TEST)
    assert caught.value.problems == (
        f"{TEST / names[1]}: cpu has too little memory for 16 x 16 x 16 voxels and windows of 16; lower "
        "sliding_window.voxels_per_batch in params.yaml, or set CONTEXT_FBR_DEVICE=cpu",
    )
    for name in (names[0], *names[2:]):
        assert (Path("masks") / name).read_bytes() == (CELL.predictions / name).read_bytes()
    assert not (Path("masks") / names[1]).exists()


def test_a_gpu_without_room_for_the_network_says_what_to_do(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> torch.nn.Module:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(predict, "load_network", full)
    with pytest.raises(
        UserError, match=r"free for the network; .* set CONTEXT_FBR_DEVICE to another GPU or to"
    ):
        run(TEST)


def command(key: str, image: str = "a.nii.gz") -> Namespace:
    return cli.command_line().finished().parse_args(["predict", key, image, "--out", "masks"])


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("spheres", "is no cell: its key is TASK-MODEL-PATCH_SIZE-SEED, such as spleen-unet-96-1"),
        ("spheres-unet-big-1", "is no cell: its key is TASK-MODEL-PATCH_SIZE-SEED, such as spleen-unet-96-1"),
        ("spheres-unet-24-1", "is neither in the grid of params.yaml nor trained"),
    ],
)
def test_a_key_of_no_cell_is_reported_in_one_sentence_with_the_nearest_of_the_grid(
    study: Path, key: str, told: str
) -> None:
    options = command(key)
    with pytest.raises(UserError) as caught:
        options.run(options)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{key}: {told}; nearest of the 2 in the grid: spheres-unet-16-1, ")
    assert "\n" not in problem


def test_a_cell_of_the_grid_that_is_not_trained_says_how_to_and_one_that_left_it_is_used(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = command("spheres-attention_unet-16-1", str(TEST))
    with pytest.raises(
        UserError, match=r"the cell is not trained; .*`dvc repro train@spheres-attention_unet-16-1`"
    ):
        options.run(options)
    text = Path("params.yaml").read_text()
    assert text.count("models: [unet, attention_unet]") == 1
    Path("params.yaml").write_text(text.replace("models: [unet, attention_unet]", "models: [attention_unet]"))
    options = command(CELL.key, str(TEST))
    assert options.run(options) is None
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_command_line_prints_a_line_for_each_image(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sorted(TEST.iterdir())[0]
    options = command(CELL.key, str(good))
    assert options.run(options) is None
    assert capsys.readouterr().out.startswith(f"masks/{good.name}: ")


def test_a_window_can_be_chosen_and_one_that_does_not_fit_is_refused(study: Path) -> None:
    name = sorted(TEST.iterdir())[0]
    masks = {}
    for window in (None, "patch", 16, "volume", 8):
        (line,) = predict.predict(CELL, [name], Path(f"masks_{window}"), False, window)
        assert line.startswith(f"masks_{window}/")
        masks[window] = (Path(f"masks_{window}") / name.name).read_bytes()
    assert masks[None] == masks["patch"] == masks[16] == masks["volume"]  # of volumes of 16 voxels
    assert masks[8] != masks[None]
    with pytest.raises(UserError, match="cannot take a window of 10 voxels"):
        list(predict.predict(CELL, [name], Path("masks"), False, 10))
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("windows: [patch]", "windows: [8, patch]", 1))
    list(predict.predict(CELL, [name], Path("again"), False))
    assert (Path("again") / name.name).read_bytes() == masks[8]


@pytest.mark.parametrize("window", ["0", "-1", "x", "1.5"])
def test_the_command_takes_no_other_window(window: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(["predict", CELL.key, "a.nii.gz", "--out", "b", "--window", window])
    assert ended.value.code == 2
    assert repr(window) in capsys.readouterr().err or window == "-1"
