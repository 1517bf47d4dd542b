"""dataset.json and names of files that users write, told in terms of the file and of what to write instead."""

import gzip
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from msd_dataset import Dataset

from context_fbr.config.prepare.split import Split
from context_fbr.core.errors import UserError
from context_fbr.datasets import dataset_json
from context_fbr.datasets.problems import Problem
from context_fbr.datasets.verify import verify
from context_fbr.preprocessing.splits import assign_splits

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "müller") for form in ("NFC", "NFD"))
PAIR = '{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}'


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.make(tmp_path / "Task99_Zoo")


def found(dataset: Dataset) -> tuple[Problem, ...]:
    return verify(dataset.path, workers=1).problems


def described(dataset: Dataset, **changes: object) -> str:
    return json.dumps(dataset.description() | changes, ensure_ascii=False)


def without(dataset: Dataset, *keys: str, **changes: object) -> str:
    content = dataset.description() | changes
    return json.dumps({key: value for key, value in content.items() if key not in keys})


REVERSED = {"background": 0, "spleen": 1}
UNUSABLE: list[tuple[str, Callable[[Dataset], str | bytes], str, str]] = [
    ("J10 UTF-16", lambda d: described(d).encode("utf-16"), "is UTF-16; expected UTF-8", "save it as UTF-8"),
    ("J10 Latin-1", lambda d: b"{\n" + described(d, name="Müller")[1:].encode("latin-1"), "line 2 holds the byte 0xfc, which is not UTF-8", "save it as UTF-8"),
    ("J12 reversed", lambda d: without(d, labels=REVERSED), "labels.background is 0", '"labels": {"0": "background", "1": "spleen"}'),
    ("J12 reversed, without modality", lambda d: without(d, "modality", labels={"spleen": "1", "background": "0"}), "labels.spleen is 1", '"labels": {"1": "spleen", "0": "background"}'),
    ("J12 a list", lambda d: without(d, labels=["background", "spleen"]), 'labels: is ["background", "spleen"]; expected `"labels": {"0": "background"', "medicaldecathlon.com"),
    ("J12 a name among numbers", lambda d: without(d, labels={"0": "background", "one": "spleen"}), 'labels.one: "one" is not a whole number; expected `"labels": {"0"', "medicaldecathlon.com"),
    ("J13 training as texts", lambda d: without(d, training=["imagesTr/a.nii.gz", "b", "c"]), f'training.0: is "imagesTr/a.nii.gz", and 2 more such values; expected `"training": [{PAIR}', "medicaldecathlon.com"),
    ("J13 label as a list", lambda d: without(d, training=[{"image": "a", "label": ["b"]}]), 'training.0.label: is ["b"]; expected `"training": [{', "medicaldecathlon.com"),
    ("J13 top level a list", lambda _: "[]", "top level: is []; expected `{", "medicaldecathlon.com"),
    ("J13 a pair without label", lambda d: without(d, training=[{"image": "a"}] * 2), "training.0.label: is missing, and 1 more such value", "medicaldecathlon.com"),
    ("J13 test as pairs", lambda d: without(d, test=[{"label": "a"}, 5]), 'test.0: is {"label": "a"}, and 2 more such values; expected `"test"', "medicaldecathlon.com"),
    ("brackets without end", lambda _: "[" * 100_000, "is no JSON", "medicaldecathlon.com"),
    ("a Git LFS pointer", lambda _: "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer", "git lfs pull"),
    ("a page", lambda _: "<!DOCTYPE html><title>Sign in</title>", "is a web page (HTML)", "download it again"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "text", "remedy"), [case[1:] for case in UNUSABLE], ids=[case[0] for case in UNUSABLE]
)
def test_an_unusable_dataset_json_is_one_problem_that_says_what_to_write(
    dataset: Dataset, content: Callable[[Dataset], str | bytes], text: str, remedy: str
) -> None:
    written = content(dataset)
    (dataset.path / "dataset.json").write_bytes(written.encode() if isinstance(written, str) else written)
    (problem,) = found(dataset)
    assert (problem.severity, problem.file) == ("error", "dataset.json")
    assert text in problem.text
    assert remedy in problem.remedy
    for internal in ("_Pair", "_File", "_TestImage", "instance of", "Input should", "[key]", "codec"):
        assert internal not in problem.text


def test_the_reversed_labels_that_the_remedy_writes_are_accepted(dataset: Dataset) -> None:
    dataset.describe(dataset.description() | {"labels": REVERSED})
    (problem,) = found(dataset)
    dataset.describe(dataset.description() | json.loads(f"{{{problem.remedy.split('`')[1]}}}"))
    assert found(dataset) == ()


def test_each_wrong_key_of_the_top_level_is_a_problem_of_its_own(dataset: Dataset) -> None:
    dataset.describe(dataset.description() | {"training": "none", "labels": REVERSED, "numTest": "two"})
    assert [problem.text.split(":")[0] for problem in found(dataset)] == ["labels", "training", "numTest"]


def test_a_design_has_a_number_for_every_test_case(dataset: Dataset) -> None:
    (name,) = (dataset_json.case_name(image) for image in dataset.description()["test"])
    dataset.describe(dataset.description() | {"test_design": {name: 2.5}})
    assert found(dataset) == ()
    description, _ = dataset_json.read(dataset.path)
    assert description is not None
    assert description.test_design == {name: 2.5}
    for wrong in ({name: 2.5, "b": 3}, {"b": 3}):
        dataset.describe(dataset.description() | {"test_design": wrong})
        (problem,) = found(dataset)
        assert (problem.severity, problem.file) == ("error", "dataset.json")
        assert "test_design and test differ in" in problem.text
    for value in ("two", None, float("inf")):
        dataset.describe(dataset.description() | {"test_design": {name: value}})
        assert found(dataset)[0].severity == "error"


def test_variants_are_of_test_cases_and_have_a_name(dataset: Dataset) -> None:
    (name,) = (dataset_json.case_name(image) for image in dataset.description()["test"])
    dataset.describe(dataset.description() | {"test_variants": {name: "exchanged"}})
    assert found(dataset) == ()
    description, _ = dataset_json.read(dataset.path)
    assert description is not None
    assert description.test_variants == {name: "exchanged"}
    for wrong in ({"b": "exchanged"}, {name: ""}, {name: 1}):
        dataset.describe(dataset.description() | {"test_variants": wrong})
        (problem,) = found(dataset)
        assert (problem.severity, problem.file) == ("error", "dataset.json")


def test_a_dataset_json_that_would_never_end_is_refused_by_name(dataset: Dataset) -> None:
    path = dataset.path / "dataset.json"
    path.unlink()
    os.mkfifo(path)
    assert [problem.text for problem in dataset_json.read(dataset.path)[1]] == ["is not a file"]
    path.unlink()
    path.symlink_to("/dev/zero")
    assert [problem.text for problem in dataset_json.read(dataset.path)[1]] == ["is not a file"]


def windows(text: str) -> str:
    return text.replace("/", "\\")


@pytest.mark.parametrize(
    ("write", "written"),
    [
        pytest.param(windows, ".\\imagesTr\\a.nii.gz", id="J14 separators of Windows"),
        pytest.param(lambda text: f"/data/zoo/{text[2:]}", "/data/zoo/imagesTr/a.nii.gz", id="J15 absolute"),
        pytest.param(
            lambda text: windows(f"D:/zoo/{text[2:]}"), "D:\\zoo\\imagesTr\\a.nii.gz", id="J15 of Windows"
        ),
    ],
)
def test_paths_that_are_written_otherwise_are_one_problem(
    dataset: Dataset, write: Callable[[str], str], written: str
) -> None:
    content = dataset.description()
    training = [{key: write(path) for key, path in pair.items()} for pair in content["training"]]
    dataset.describe(content | {"training": training, "test": [write(path) for path in content["test"]]})
    (problem,) = found(dataset)
    assert (problem.severity, problem.file) == ("error", "dataset.json")
    assert problem.text.startswith(f"lists {written}, and 6 more paths alike; expected ")
    assert problem.remedy == "write `./imagesTr/a.nii.gz`"


def test_a_path_into_another_folder_stays_a_problem_of_its_case(dataset: Dataset) -> None:
    content = dataset.description()
    content["training"][0]["image"] = "/data/zoo/imagesTs/a.nii.gz"
    dataset.describe(content)
    text = "lists /data/zoo/imagesTs/a.nii.gz, expected a file directly in imagesTr"
    assert [problem.text for problem in found(dataset) if problem.file == "dataset.json"] == [text]


@pytest.mark.parametrize(
    ("listed", "image", "label"),
    [
        pytest.param(COMPOSED, DECOMPOSED, DECOMPOSED, id="J16 files of macOS"),
        pytest.param(DECOMPOSED, COMPOSED, COMPOSED, id="J16 dataset.json of macOS"),
        pytest.param(COMPOSED, DECOMPOSED, COMPOSED, id="J16 the image only"),
    ],
)
@pytest.mark.parametrize("in_split", [COMPOSED, DECOMPOSED], ids=["composed split", "decomposed split"])
def test_names_are_compared_in_one_normal_form(
    dataset: Dataset, listed: str, image: str, label: str, in_split: str
) -> None:
    dataset.file("imagesTr", "b").rename(dataset.file("imagesTr", image))
    dataset.file("labelsTr", "b").rename(dataset.file("labelsTr", label))
    content = dataset.description()
    content["training"][1] = {"image": f"./imagesTr/{listed}.nii.gz", "label": f"./labelsTr/{listed}.nii.gz"}
    dataset.describe(content)
    assert found(dataset) == ()
    split = Split(train=("a",), validation=("c",), test=(in_split,))
    test = assign_splits(dataset.path, split)[-1]
    assert (test.name, test.split) == (COMPOSED, "test")
    assert [path.name for path in (test.image, test.label)] == [f"{image}.nii.gz", f"{label}.nii.gz"]


def test_two_files_of_one_name_in_two_normal_forms_are_refused(dataset: Dataset) -> None:
    for name in (COMPOSED, DECOMPOSED):
        dataset.write("imagesTr", name, dataset.voxels("imagesTr", "b"))
        dataset.write("labelsTr", name, dataset.voxels("labelsTr", "b"))
    twice = {problem.file for problem in found(dataset) if problem.kind == "two files"}
    assert twice == {f"{folder}/{COMPOSED}.nii.gz" for folder in ("imagesTr", "labelsTr")}
    with pytest.raises(UserError, match=r"is there as .* too; remove one of them"):
        assign_splits(dataset.path, Split(train=1, validation=1, test=1))


def test_a_name_that_is_not_utf_8_is_refused_before_a_table_of_results_needs_it(dataset: Dataset) -> None:
    name = os.fsdecode(b"r\xe9sum")
    for folder in ("imagesTr", "labelsTr"):
        dataset.file(folder, "b").rename(dataset.file(folder, name))
    names = [problem.file for problem in found(dataset) if problem.kind == "name"]
    assert names == [f"imagesTr/{name}.nii.gz", f"labelsTr/{name}.nii.gz"]


def unpacked(dataset: Dataset, folder: str, lists: bool) -> None:
    """Unpack the file of case b, and write that into dataset.json."""
    path = dataset.file(folder, "b")
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    if lists:
        text = (dataset.path / "dataset.json").read_text()
        (dataset.path / "dataset.json").write_text(text.replace(f"{folder}/b.nii.gz", f"{folder}/b.nii"))


@pytest.mark.parametrize("lists", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_a_pair_of_which_one_is_packed_is_one_problem_with_the_command(
    dataset: Dataset, folder: str, lists: bool
) -> None:
    unpacked(dataset, folder, lists)
    (problem,) = found(dataset)
    assert (problem.severity, problem.kind, problem.case) == ("error", "packed otherwise", "b")
    assert problem.file == f"{folder}/b.nii"
    assert problem.remedy == f"`gzip {folder}/b.nii`, and list it as ./{folder}/b.nii.gz"


def test_a_file_that_is_listed_with_another_ending_is_one_problem(dataset: Dataset) -> None:
    for folder in ("imagesTr", "labelsTr"):
        unpacked(dataset, folder, lists=False)
    assert [(problem.kind, problem.file, problem.remedy) for problem in found(dataset)] == [
        ("missing file", f"{folder}/b.nii.gz", f"list it as ./{folder}/b.nii")
        for folder in ("imagesTr", "labelsTr")
    ]
