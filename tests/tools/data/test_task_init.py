"""`context-fbr task init`: what it finds is in the files, what it proposes can be used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mri_dataset
import nibabel
import numpy as np
import pytest
import real_ct
from msd_dataset import AFFINE, Dataset
from ruamel.yaml import YAML
from workspace import ROOT

from context_fbr.config.document import Document, plain
from context_fbr.config.raw.source import FolderRaw
from context_fbr.config.study import Study, Task, read_study
from context_fbr.core.errors import UserError
from context_fbr.datasets.verify import verify
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing.splits import Source, assign_splits
from context_fbr_tools.cli import run as run_cli
from context_fbr_tools.data import survey as surveying
from context_fbr_tools.data import task_init, yaml_block
from context_fbr_tools.data.proposal import propose_spacing, propose_split, propose_steps
from context_fbr_tools.data.survey import Survey, survey

REAL_CT = ROOT.parent / "shared" / "data" / "real_ct"
CASES = [f"blob_{number}" for number in range(8)]


@pytest.fixture(autouse=True)
def _in_project(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(params.parent)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.make(tmp_path / "zoo")


@pytest.fixture
def mri(tmp_path: Path) -> Dataset:
    """Images of float, odd names, and a label 3 in one case only."""
    made = Dataset(tmp_path / "mri")
    mri_dataset.make(made.path)
    for case in CASES:
        rewrite(made, "imagesTr", case, lambda v: (v * 0.37).astype(np.float32))
        if case != "blob_3":
            rewrite(made, "labelsTr", case, lambda v: np.where(v == 3, 0, v))
    names = {"0": "background", "1": "core", "2": "rim\nof the core", "3": "dot #1"}
    made.describe(
        made.description() | {"name": "Knee-MR 3T", "modality": {"0": "MRI\n  T1\a"}, "labels": names}
    )
    return made


def rewrite(dataset: Dataset, folder: str, case: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change voxels and keep the grid."""
    before = nibabel.load(dataset.file(folder, case))
    dataset.write(folder, case, change(np.asarray(before.dataobj)), before.affine)


def init(*arguments: str | Path) -> None:
    """Run the command line in this process."""
    run_cli(["task", "init", *map(str, arguments)])


def proposed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    init(*arguments)
    return capsys.readouterr().out


def study_with(text: str) -> Study:
    """The study of params.yaml with a block pasted below its last task."""
    params = Path("params.yaml").read_text()
    before = "\nmodels:"
    assert params.count(before) == 1
    return read_study(Document(Path("params.yaml"), YAML().load(params.replace(before, f"\n{text}{before}"))))


def read_all(dataset: Dataset, folder: str) -> list[nibabel.Nifti1Image]:
    return [nibabel.load(path) for path in sorted((dataset.path / folder).glob("*.nii.gz"))]


def prepared_shapes(dataset: Dataset, task: Task) -> list[tuple[int, ...]]:
    """By the stage itself."""
    classes = {int(value) for value in dataset.description()["labels"]}
    shapes = []
    for image in sorted((dataset.path / "imagesTr").glob("*")):
        source = Source("c", "train", Path("imagesTr", image.name), Path("labelsTr", image.name))
        shapes.append(prepare_case(source, dataset.path, task.prepare, classes)[1].shape)
    return shapes


def found_in(dataset: Dataset, *foreground: int) -> Survey:
    return survey(verify(dataset.path), foreground, workers=2)


@pytest.mark.parametrize(("name", "foreground"), [("dataset", [1]), ("mri", [1]), ("mri", [2, 3])])
def test_a_survey_is_what_numpy_and_nibabel_find_in_the_files(
    name: str, foreground: list[int], request: pytest.FixtureRequest
) -> None:
    dataset = request.getfixturevalue(name)
    found = found_in(dataset, *foreground)
    images, labels = read_all(dataset, "imagesTr"), read_all(dataset, "labelsTr")
    canonical = [nibabel.as_closest_canonical(image) for image in images]
    np.testing.assert_allclose(
        found.spacings_mm, [image.header.get_zooms() for image in canonical], rtol=1e-6
    )
    assert [case.grid.cropped_shape for case in found.cases] == [image.shape for image in canonical]
    masks = [np.isin(label.get_fdata(), foreground) for label in labels]
    assert [case.foreground_voxels for case in found.cases] == [mask.sum() for mask in masks]
    assert [case.zeros for case in found.cases] == [(image.get_fdata() == 0).sum() for image in images]
    inside = np.concatenate([image.get_fdata()[mask] for image, mask in zip(images, masks, strict=True)])
    for percent in (0.5, 10, 50, 99.5, 100):
        assert found.percentile(percent) == pytest.approx(np.percentile(inside, percent), rel=1e-6)


def test_of_a_large_foreground_a_sample_is_kept_that_is_always_the_same(
    mri: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = found_in(mri, 1)
    monkeypatch.setattr(surveying, "SAMPLE", 200)
    one, two = found_in(mri, 1), found_in(mri, 1)
    assert {case.foreground.size for case in one.cases} == {200}
    assert [case.foreground_voxels for case in one.cases] == [c.foreground_voxels for c in exact.cases]
    for a, b, whole in zip(one.cases, two.cases, exact.cases, strict=True):
        assert (a.foreground == b.foreground).all()
        assert np.isin(a.foreground, whole.foreground).all()
    for percent in (10, 50, 90):
        below = [(case.foreground < one.percentile(percent)).mean() for case in exact.cases]
        assert abs(np.mean(below) * 100 - percent) < 3  # cases of different size count equally


def test_the_survey_of_several_threads_is_that_of_one(mri: Dataset) -> None:
    report = verify(mri.path)
    one, two = (survey(report, (1,), workers) for workers in (1, 2))
    assert one.percentile(50) == two.percentile(50)
    assert [case.name for case in one.cases] == [case.name for case in two.cases] == CASES


def test_the_block_of_a_ct_is_valid_and_says_what_the_files_say(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    text = proposed(capsys, "zoo")
    study = study_with(text)
    task = study.tasks["zoo"]
    assert task.raw == FolderRaw(source="folder", folder="zoo")
    inside = np.concatenate(
        [dataset.voxels("imagesTr", case)[dataset.voxels("labelsTr", case) == 1] for case in "abc"]
    )
    low, high = np.percentile(inside, [0.5, 99.5])
    assert task.prepare.window == (np.floor(low / 10) * 10, np.ceil(high / 10) * 10)
    assert f"{low:.4g} and {high:.4g}, which nnU-Net clips to" in text
    assert (task.prepare.crop, task.prepare.z_score, task.prepare.foreground) == (True, False, (1,))
    assert task.prepare.spacing_mm == (0.8, 0.8, 5.0)
    assert task.evaluate.surface_tolerance_mm == 5.0
    split = task.prepare.split
    assert (split.train, split.validation, split.test) == (1, 1, 1)
    assert len(assign_splits(dataset.path, split)) == 3
    assert task.train.epochs * 1 == 60 * 13 == 780  # the steps of spleen
    assert "x 1 steps (training cases: 1, a step takes 2) = 780 steps; spleen has 780" in text
    assert f"gives volumes of {yaml_block.ranges(prepared_shapes(dataset, task))} voxels" in text
    assert "cases padded, as the patch is larger: 16 (3 of 3), 32 (3 of 3), 48 (3 of 3)" in text


def test_the_block_of_an_mri_is_valid_and_says_what_the_files_say(
    mri: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text(
        Path("params.yaml").read_text().replace("patch_sizes: [16, 32, 48]", "patch_sizes: [16, 32]")
    )
    text = proposed(capsys, "mri", "--foreground", "2,3")
    task = study_with(text).tasks["knee_mr_3t"]
    assert (task.prepare.window, task.prepare.z_score, task.prepare.crop) == (None, True, True)
    assert task.prepare.foreground == (2, 3)
    assert text.splitlines()[0].endswith("# MRI T1, 8 labelled cases; proposed by `context-fbr task init`")
    assert "rim of the core, dot #1; of 1 core, 2 rim of the core, 3 dot #1\n" in text
    assert "label values in a list are segmented together as one class" in text
    shapes = prepared_shapes(mri, task)
    assert len({shape[0] for shape in shapes}) > 1
    assert f"gives volumes of {yaml_block.ranges(shapes)} voxels" in text
    padded = [(size, sum(min(shape) < size for shape in shapes)) for size in (16, 32)]
    assert f"larger: {', '.join(f'{size} ({n} of 8)' for size, n in padded if n)}\n" in text
    zooms = [nibabel.as_closest_canonical(image).header.get_zooms() for image in read_all(mri, "imagesTr")]
    assert task.prepare.spacing_mm == pytest.approx(np.median(zooms, axis=0), abs=0.006)
    assert task.evaluate.surface_tolerance_mm == max(task.prepare.spacing_mm)
    split = task.prepare.split
    assert (split.train, split.validation, split.test) == (5, 1, 2)
    assert task.train.epochs == 260  # x 3 steps = 780


def test_the_first_label_that_a_case_has_is_proposed_and_rare_ones_are_reported(
    mri: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    for case in CASES:
        rewrite(mri, "labelsTr", case, lambda v: np.where(v == 1, 2, v))
    assert study_with(proposed(capsys, "mri")).tasks["knee_mr_3t"].prepare.foreground == (2,)
    assert "7 of 8 cases have none of it" in proposed(capsys, "mri", "--foreground", "3")


def test_images_without_a_background_of_zeros_are_not_cropped(
    mri: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(mri, "imagesTr", "blob_2", lambda v: v + 3)
    text = proposed(capsys, "mri")
    task = study_with(text).tasks["knee_mr_3t"]
    assert not task.prepare.crop
    assert f"gives volumes of {yaml_block.ranges(prepared_shapes(mri, task))} voxels" in text
    rewrite(mri, "imagesTr", "blob_2", lambda v: v - 4)
    text = proposed(capsys, "mri")
    assert "1 of 8 images go below 0, which counts as no tissue" in text
    assert not study_with(text).tasks["knee_mr_3t"].prepare.crop


def test_zeros_are_no_background_where_something_is_below_them(
    mri: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(mri, "imagesTr", "blob_2", lambda v: np.where(v == v.max(), -1, v))
    text = proposed(capsys, "mri")
    assert not study_with(text).tasks["knee_mr_3t"].prepare.crop


def test_labelled_test_images_are_the_test_set(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.write("labelsTs", "t", np.roll(dataset.voxels("labelsTr", "a"), 1))
    text = proposed(capsys, "zoo")
    split = study_with(text).tasks["zoo"].prepare.split
    assert (split.train, split.validation, split.test) == (2, 1, "imagesTs")
    assert "26 : 5 as published; its own 1 test cases" in text
    assert len(assign_splits(dataset.path, split)) == 4


def test_a_data_set_of_unknown_modality_is_reported_with_the_window(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.describe({key: value for key, value in dataset.description().items() if key != "modality"})
    text = proposed(capsys, "zoo")
    assert "if these are CT, in HU, a window is better" in text
    assert study_with(text).tasks["zoo"].prepare.z_score


def test_a_ct_in_other_words_gets_a_window(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    """J19."""
    dataset.describe(dataset.description() | {"modality": {"0": "CT (venous)"}})
    prepare = study_with(proposed(capsys, "zoo")).tasks["zoo"].prepare
    assert (prepare.window is not None, prepare.z_score) == (True, False)


def test_the_split_is_in_the_published_proportion() -> None:
    for cases in range(3, 300):
        split = propose_split(cases, has_test_set=False)
        assert split.train + split.validation + split.test == cases
        assert min(split.train, split.validation, split.test) >= 1
        assert abs(split.train - cases * 26 / 41) <= 1.5
    assert vars(propose_split(41, False)) == {"train": 26, "validation": 5, "test": 10}
    assert vars(propose_split(31, True)) == {"train": 26, "validation": 5, "test": "imagesTs"}
    assert vars(propose_split(2, True)) == {"train": 1, "validation": 1, "test": "imagesTs"}


def test_the_spacing_follows_nnu_net_s_rule() -> None:
    even = np.array([[0.7039, 0.8, 1.5]] * 4 + [[0.9, 0.8, 2.0]])
    assert propose_spacing(even) == ((0.7, 0.8, 1.5), None)
    thick = np.column_stack([np.full(11, 0.8), np.full(11, 0.7), np.linspace(1, 6, 11)])
    assert propose_spacing(thick) == ((0.8, 0.7, 1.5), 2)
    turned = thick[:, [2, 0, 1]]
    assert propose_spacing(turned) == ((1.5, 0.8, 0.7), 0)
    thick[:2, 2] = 0.5  # never finer than the next axis
    assert propose_spacing(thick) == ((0.8, 0.7, 0.8), 2)
    assert propose_spacing(np.array([[0.0123, 0.0123, 0.0123]])) == ((0.012, 0.012, 0.012), None)


def test_as_many_steps_as_the_longest_task_and_whole_rounds_of_validation(params: Path) -> None:
    study = read_study(Document.read(params))
    for training_cases in (1, 7, 26, 70, 5000):
        steps = propose_steps(training_cases, study)
        assert steps.epochs % study.train.validate_every_epochs == 0
        total = steps.epochs * -(-training_cases // 2)
        assert 780 <= total <= 780 + study.train.validate_every_epochs * -(-training_cases // 2)
    assert propose_steps(26, study).epochs == 60  # as spleen has


def test_write_puts_the_block_behind_the_last_task_and_changes_nothing_else(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], params: Path
) -> None:
    before = params.read_text()
    text = proposed(capsys, "zoo")
    assert params.read_text() == before
    said = proposed(capsys, "zoo", "--write")
    after = params.read_text()
    assert after == before.replace("\n\nmodels:", f"\n\n{text}\nmodels:")
    assert said.startswith(f"params.yaml:{after.splitlines().index(text.splitlines()[0]) + 1}: ")
    params.write_text(after.replace("tasks: [spheres]", "tasks: [spheres, zoo]"))
    assert {cell.task for cell in read_study(Document.read(params)).cells} == {"spheres", "zoo"}


def test_the_report_of_verify_is_next_to_the_block(mri: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    init("mri", "--foreground", "2")
    streams = capsys.readouterr()
    assert list(YAML(typ="safe").load(streams.out)) == ["knee_mr_3t"]
    assert "no problems" in streams.err.splitlines()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("\nmodels:", "\n  # a task of mine\n\n# The networks.\nmodels:"),
        lambda text: text[text.index("\nmodels:") :] + "\n" + text[: text.index("\nmodels:")],
        lambda text: text.replace("\n  spheres:\n", "\n  spheres:   # ä\n"),
    ],
    ids=["Windows", "no last newline", "comments around", "tasks last", "an umlaut"],
)
def test_every_line_and_comment_of_params_yaml_is_kept_however_it_is_written(
    dataset: Dataset, params: Path, change: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = change(params.read_text()).encode()
    params.write_bytes(before)
    init("zoo", "--write")
    after = params.read_bytes()
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    assert after.count(b"\n") == after.count(newline)
    old, new = before.split(newline), after.removesuffix(newline).split(newline)
    start = next(i for i, line in enumerate(new) if line.startswith(b"  zoo:"))
    end = next(i for i, line in enumerate(new) if line.startswith(b"      surface_tolerance_mm: 5.0"))
    rest = [line for line in new[:start] + new[end + 1 :] if line]
    assert rest == [line for line in old if line]
    study = read_study(Document.read(params))
    assert list(study.tasks) == ["spheres", "hippocampus", "spleen", "zoo"]


def test_tasks_that_are_indented_by_four_stay_as_they_are_in_values(
    dataset: Dataset, params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = params.read_text().splitlines(keepends=True)
    first, end = (
        lines.index("tasks:\n") + 1,
        next(i for i, n in enumerate(lines) if n.startswith("models:")),
    )
    params.write_text("".join(f"  {line}" if first <= i < end else line for i, line in enumerate(lines)))
    before = read_study(Document.read(params)).tasks
    init("zoo", "--write")
    after = dict(read_study(Document.read(params)).tasks)
    assert after.pop("zoo").raw.folder == "zoo"
    assert after == before


def test_tasks_in_braces_are_refused(dataset: Dataset, params: Path) -> None:
    root = plain(Document.read(params).root)
    params.write_text(json.dumps(root))
    assert "params.yaml:1: tasks: is in { }" in refused("zoo")


def test_a_block_that_is_not_valid_leaves_params_yaml_alone(params: Path) -> None:
    before = params.read_bytes()
    with pytest.raises(UserError, match=r"params.yaml:\d+: tasks.zoo"):
        task_init.insert("zoo", "  zoo: {raw: 1}\n")
    assert params.read_bytes() == before


def test_names_come_from_dataset_json_else_from_the_folder_and_are_what_yaml_takes_for_text(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, expected in (
        ("MSD Spleen-CT", "msd_spleen_ct"),
        ("2023", "task_2023"),
        ("null", "task_null"),
        ("", "zoo"),
        ("膵臓", "zoo"),
    ):
        dataset.describe(dataset.description() | {"name": name})
        assert expected in study_with(proposed(capsys, "zoo")).tasks
    assert "mine" in study_with(proposed(capsys, "zoo", "--name", "mine")).tasks


def test_the_folder_is_written_so_that_the_stage_finds_it(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(given: str | Path) -> str:
        return study_with(proposed(capsys, given, "--name", "x")).tasks["x"].raw.folder

    odd = tmp_path / 'a: "b" #c' / "12"
    shutil.copytree(dataset.path, odd)
    shutil.copytree(dataset.path, tmp_path / "12")
    assert folder("zoo") == folder(dataset.path) == folder("./zoo/") == "zoo"
    assert folder("12") == "12"
    assert folder(odd) == 'a: "b" #c/12'
    (tmp_path / "inner").mkdir()
    shutil.move(tmp_path / "params.yaml", tmp_path / "inner")
    monkeypatch.chdir(tmp_path / "inner")
    assert folder("../zoo") == folder(dataset.path) == str(dataset.path)


def refused(*arguments: str | Path) -> str:
    """The refusal; params.yaml must be as it was."""
    before = Path("params.yaml").read_bytes()
    with pytest.raises(UserError) as found:
        init(*arguments, "--write")
    assert Path("params.yaml").read_bytes() == before
    return str(found.value)


def test_what_can_be_seen_before_reading_every_file_is_refused_together(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.describe(dataset.description() | {"labels": {"0": "b", "1": "s", "12": "t"}})
    lines = Path("params.yaml").read_text().splitlines()
    (at,) = (number for number, line in enumerate(lines, 1) if line.startswith("  spleen:"))
    assert refused("zoo", "--name", "spleen", "--foreground", "0,2,1,1").splitlines() == [
        f"params.yaml:{at}: tasks.spleen: is there already; choose another name, for example --name spleen_2",
        "--foreground 0: is no label of dataset.json that can be foreground; allowed: 1, 12",
        "--foreground 2: is no label of dataset.json that can be foreground; did you mean 12? allowed: 1, 12",
        "--foreground: 1 is there more than once",
    ]
    assert "verify" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "hint"), [("My-CT", "my_ct"), ("12", "task_12"), ("null", "task_null"), ("ä", "")]
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(
    dataset: Dataset, name: str, hint: str
) -> None:
    said = refused("zoo", "--name", name)
    assert said.startswith(f"--name {name}: a task's name holds a-z, 0-9 and _ only")
    assert (f"; for example --name {hint}" in said) == bool(hint)


def test_a_folder_that_is_none_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "zoo.tar").write_text("")
    assert "zoo.tar: is a file, expected a folder; unpack an archive first" in refused("zoo.tar")
    assert "nowhere: is no folder; name one that holds dataset.json" in refused("nowhere")
    shutil.move(dataset.path, tmp_path / "data" / "raw" / "zoo")
    assert "is where the raw stage of zoo would write, and DVC empties it" in refused("data/raw/zoo")


def test_too_few_cases_are_refused(dataset: Dataset) -> None:
    for folder in ("imagesTr", "labelsTr"):
        dataset.file(folder, "c").unlink()
    assert "2 cases, expected 3 at least: one each to train, validate and test" in refused("zoo")
    for folder in ("imagesTr", "labelsTr"):
        dataset.file(folder, "b").unlink()
    dataset.write("labelsTs", "t", np.roll(dataset.voxels("labelsTr", "a"), 1))
    assert "1 cases, expected 2 at least: one each to train and validate" in refused("zoo")


def test_a_data_set_with_errors_gets_no_block_but_verify_s_report(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.cut("imagesTr", "b")
    assert refused("zoo").startswith("zoo: has errors")
    streams = capsys.readouterr()
    assert "is a gzip file that is cut" in streams.err
    assert streams.err.splitlines()[-1] == "1 error"
    assert streams.out == ""
    (dataset.path / "dataset.json").write_text("{")
    assert "zoo: has errors" in refused("zoo")
    assert "is no JSON" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert "empty: has errors" in refused("empty")


def test_a_label_that_no_case_has_is_refused(mri: Dataset) -> None:
    rewrite(mri, "labelsTr", "blob_3", lambda v: np.where(v == 3, 0, v))
    assert "no training case has foreground 3 (dot #1); choose another" in refused("mri", "--foreground", "3")


def test_images_with_nothing_above_0_are_refused_all_at_once(mri: Dataset) -> None:
    for case in ("blob_1", "blob_4"):
        rewrite(mri, "imagesTr", case, lambda v: v - 1e6)
    lines = refused("mri").splitlines()
    assert [line.split(": its image has no voxel above 0: ")[0] for line in lines] == [
        "mri: blob_1",
        "mri: blob_4",
    ]


def test_outside_of_a_project_or_with_an_invalid_study_nothing_is_read(
    dataset: Dataset, params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = params.read_text()
    params.write_text(text.replace("batch_volumes: 2", "batch_volumes: none"))
    assert "train.batch_volumes: is 'none'" in refused("zoo")
    params.unlink()
    with pytest.raises(UserError, match=r"params.yaml: not found; run this in the folder"):
        init("zoo")
    assert capsys.readouterr().err == ""


def test_label_values_that_are_no_numbers_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        init("zoo", "--foreground", "spleen")
    assert "expected whole numbers, such as 1,2, got 'spleen'" in capsys.readouterr().err


@pytest.mark.skipif(not REAL_CT.is_dir(), reason="../shared/data/real_ct is not there")
def test_the_block_of_a_real_ct_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Dataset(tmp_path / "real")
    real_ct.make(REAL_CT, made.path)
    text = proposed(capsys, "real")
    task = study_with(text).tasks["real_ct"]
    images, labels = read_all(made, "imagesTr"), read_all(made, "labelsTr")
    inside = np.concatenate([i.get_fdata()[m.get_fdata() == 1] for i, m in zip(images, labels, strict=True)])
    low, high = np.percentile(inside, [0.5, 99.5])
    assert task.prepare.window == (np.floor(low / 10) * 10, np.ceil(high / 10) * 10)
    assert task.prepare.spacing_mm == pytest.approx((3, 3, 3), abs=0.006)
    assert f"gives volumes of {yaml_block.ranges(prepared_shapes(made, task))} voxels" in text


def test_a_case_has_its_axes_towards_right_anterior_superior(dataset: Dataset) -> None:
    """One case stored slices first: a swap of axes must not change what is found."""
    before = found_in(dataset, 1)
    for folder in ("imagesTr", "labelsTr"):
        dataset.write(folder, "b", dataset.voxels(folder, "b").transpose(2, 0, 1), AFFINE[:, [2, 0, 1, 3]])
    after = found_in(dataset, 1)
    assert [c.grid.cropped_shape for c in after.cases] == [c.grid.cropped_shape for c in before.cases]
    assert (after.spacings_mm == before.spacings_mm).all()
