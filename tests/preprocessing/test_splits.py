"""Which cases train, validate and test."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from workspace import ROOT

from context_fbr.config.prepare.split import Split
from context_fbr.core.errors import UserError
from context_fbr.preprocessing.splits import assign_splits, in_no_split

LABELS = ROOT.parent / "shared" / "data" / "msd_spleen_labels" / "labelsTr"
SPLEEN = (
    2, 3, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 31, 32, 33, 38, 40, 41, 44, 45,
    46, 47, 49, 52, 53, 56, 59, 60, 61, 62, 63,
)  # fmt: skip
"""The numbers of Task09's labelled cases."""
PUBLISHED_TEST = [f"spleen_{number}" for number in (53, 56, 59, 6, 60, 61, 62, 63, 8, 9)]


def data_set(path: Path, training: list[str], test: list[str] | None = None) -> Path:
    """Empty files of image and label: only their names count here."""
    for suffix, cases in (("Tr", training), ("Ts", test or [])):
        for case in cases:
            for kind in ("images", "labels"):
                file = path / f"{kind}{suffix}" / f"{case}.nii.gz"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    return path


def names(raw: Path, split: Split) -> dict[str, list[str]]:
    """The cases of each split, in their order."""
    sources = assign_splits(raw, split)
    assert all((raw / path).is_file() for source in sources for path in (source.image, source.label))
    return {part: [s.name for s in sources if s.split == part] for part in ("train", "validation", "test")}


def problems(raw: Path, split: Split) -> list[str]:
    with pytest.raises(UserError) as caught:
        assign_splits(raw, split)
    return list(caught.value.problems)


def test_counts_of_the_published_study_give_its_test_cases(tmp_path: Path) -> None:
    raw = data_set(tmp_path / "spleen", [f"spleen_{number}" for number in SPLEEN])
    cases = names(raw, Split(train=26, validation=5, test=10))
    assert cases["test"] == PUBLISHED_TEST
    assert cases["train"][:3] == ["spleen_10", "spleen_12", "spleen_13"]
    assert (len(cases["train"]), len(cases["validation"])) == (26, 5)
    assert sorted(name for part in cases.values() for name in part) == sorted(f"spleen_{n}" for n in SPLEEN)


def test_image_and_label_belong_together_whatever_the_case_of_their_endings(tmp_path: Path) -> None:
    """N16."""
    raw = data_set(tmp_path / "spleen", ["a", "b", "c"])
    (raw / "imagesTr/b.nii.gz").rename(raw / "imagesTr/b.NII.GZ")
    assert names(raw, Split(train=1, validation=1, test=1)) == {
        "train": ["a"],
        "validation": ["b"],
        "test": ["c"],
    }
    (raw / "imagesTr/b.nii.gz").touch()
    assert problems(raw, Split(train=1, validation=1, test=1)) == [
        f"{raw}/imagesTr/b.nii.gz: is there as b.NII.GZ too; remove one of them"
    ]


def test_the_labelled_cases_of_task09_are_these() -> None:
    if not LABELS.is_dir():
        pytest.skip("the labels of MSD Task09 are not at hand")
    assert sorted(path.name for path in LABELS.glob("[!.]*.nii.gz")) == sorted(
        f"spleen_{number}.nii.gz" for number in SPLEEN
    )


def test_the_data_set_s_own_test_folder_is_taken_whole_and_the_rest_by_number(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b", "c", "d"], ["y", "x"])
    cases = names(raw, Split(train=2, validation=1, test="imagesTs"))
    assert cases == {"train": ["a", "b"], "validation": ["c"], "test": ["x", "y"]}


def test_lists_are_taken_in_their_own_order(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b", "c", "d", "e"], ["x"])
    listed = Split(train=("d", "a"), validation=("c",), test=("e", "b"))
    assert names(raw, listed) == {"train": ["d", "a"], "validation": ["c"], "test": ["e", "b"]}
    folder = Split(train=("d", "a"), validation=("c",), test="imagesTs")
    assert names(raw, folder) == {"train": ["d", "a"], "validation": ["c"], "test": ["x"]}


def test_unknown_names_are_reported_together_with_what_was_meant(tmp_path: Path) -> None:
    raw = data_set(tmp_path / "spleen", ["spleen_10", "spleen_12", "spleen_2"])
    found = problems(raw, Split(train=("spleen_10",), validation=("spleen12",), test=("spleen_2", "liver")))
    where = "params.yaml: tasks.spleen.prepare.split"
    image_folder = raw / "imagesTr"
    assert found == [
        f"{where}.validation: 'spleen12' is no case of {image_folder}; did you mean spleen_12? "
        "allowed: spleen_10, spleen_12, spleen_2",
        f"{where}.test: 'liver' is no case of {image_folder}; allowed: spleen_10, spleen_12, spleen_2",
    ]


@pytest.mark.parametrize("test", [2, "imagesTs"])
def test_more_cases_than_there_are_names_the_parameter(tmp_path: Path, test: int | str) -> None:
    raw = data_set(tmp_path / "zoo", ["a", "b", "c"], ["x"])
    asked = "3 + 1" if test == "imagesTs" else "3 + 1 + 2"
    assert problems(raw, Split(train=3, validation=1, test=test)) == [
        f"{raw / 'imagesTr'}: 3 volumes, but the split asks for {asked}; "
        "change tasks.zoo.prepare.split in params.yaml"
    ]


def test_all_images_without_label_and_labels_without_image_are_reported_together(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b", "c", "d"])
    for file in ("labelsTr/a", "labelsTr/c", "imagesTr/d"):
        (raw / f"{file}.nii.gz").unlink()
    assert problems(raw, Split(train=1, validation=1, test=1)) == [
        f"{raw / 'imagesTr/a.nii.gz'}: image without label in labelsTr",
        f"{raw / 'imagesTr/c.nii.gz'}: image without label in labelsTr",
        f"{raw / 'labelsTr/d.nii.gz'}: label without image in imagesTr",
    ]


def test_the_test_folder_s_images_without_label_count_only_where_it_is_asked_for(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b", "c"], ["x", "y"])
    for case in ("x", "y"):  # as MSD ships it
        (raw / "labelsTs" / f"{case}.nii.gz").unlink()
    assert names(raw, Split(train=1, validation=1, test=1))["test"] == ["c"]
    assert len(problems(raw, Split(train=1, validation=1, test="imagesTs"))) == 2


def test_a_test_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b"])
    (problem,) = problems(raw, Split(train=1, validation=1, test="imagesTs"))
    assert problem.startswith(f"{raw / 'imagesTs'}: no test volumes, but the split says `test: imagesTs`")


def test_cases_that_are_left_over_are_known(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b", "c", "d", "e"], ["x"])
    counted = assign_splits(raw, Split(train=2, validation=1, test="imagesTs"))
    assert in_no_split(raw, counted) == ["d", "e"]
    listed = assign_splits(raw, Split(train=("d",), validation=("a",), test=("e",)))
    assert in_no_split(raw, listed) == ["b", "c"]
    assert in_no_split(raw, assign_splits(raw, Split(train=3, validation=1, test=1))) == []


def test_shadow_files_of_macos_and_other_files_are_no_cases(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b", "c", "._a", "._b"])
    (raw / "imagesTr" / "b.nii.gz.bak").touch()
    (raw / "imagesTr" / "notes.txt").touch()
    (raw / "imagesTr" / "a folder.nii.gz").mkdir()
    assert names(raw, Split(train=1, validation=1, test=1)) == {
        "train": ["a"],
        "validation": ["b"],
        "test": ["c"],
    }


def test_two_files_of_one_case_are_reported(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b"])
    for kind in ("images", "labels"):
        (raw / f"{kind}Tr" / "a.nii").touch()
    assert problems(raw, Split(train=1, validation=1, test=1)) == [
        f"{raw / 'imagesTr/a.nii'}: is there as a.nii.gz too; remove one of them"
    ]


def test_a_test_case_that_has_the_name_of_a_training_case_is_reported(tmp_path: Path) -> None:
    raw = data_set(tmp_path, ["a", "b"], ["x", "b"])
    (problem,) = problems(raw, Split(train=1, validation=1, test="imagesTs"))
    assert problem.startswith(f"{raw / 'imagesTs/b.nii.gz'}: b is a training case too")


CASES = [f"case_{number}" for number in range(10)]


def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> Path:
    """Write a file of splits; return a data set of ten cases and two of its own test set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / name).write_text(text)
    return data_set(tmp_path / "data/raw/mine", CASES, ["test_1", "test_2"])


def table(**parts: list[str]) -> str:
    return "case,split\n" + "".join(f"{case},{split}\n" for split, own in parts.items() for case in own)


def test_a_table_names_the_cases_of_each_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = table(test=CASES[7:9], train=CASES[2:7], validation=CASES[:2])
    raw = in_project(tmp_path, monkeypatch, "a.csv", "\ufeff" + text.replace("\n", "\r\n"))
    split = Split(file="splits/a.csv")

    assert names(raw, split) == {"train": CASES[2:7], "validation": CASES[:2], "test": CASES[7:9]}
    assert in_no_split(raw, assign_splits(raw, split)) == [CASES[9]]
    own = names(raw, Split(file="splits/a.csv", test="imagesTs"))
    assert own == {"train": CASES[2:7], "validation": CASES[:2], "test": ["test_1", "test_2"]}


def test_a_table_with_errors_is_refused_with_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "case,split",
        "case_0,train",
        "case_1,Train",
        "case_0,test",
        "case_77,test",
        "case_2",
        "case_3,validation",
    ]
    raw = in_project(tmp_path, monkeypatch, "a.csv", "\n".join(lines) + "\n")

    places = [problem.partition(" ")[0] for problem in problems(raw, Split(file="splits/a.csv"))]
    assert places == [f"splits/a.csv:{line}:" for line in (3, 4, 5, 6)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,split\na,train\n", "splits/a.csv:1: columns name, split"),
        (table(train=["case_0"], test=["case_1"]), "splits/a.csv: no case has the split validation"),
        ("", "splits/a.csv:1: columns none"),
    ],
)
def test_a_table_without_a_column_or_a_split_is_refused(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = in_project(tmp_path, monkeypatch, "a.csv", text)

    assert [problem.startswith(said) for problem in problems(raw, Split(file="splits/a.csv"))] == [True]
    (tmp_path / "splits/a.csv").unlink()
    assert [p.startswith("splits/a.csv: not found") for p in problems(raw, Split(file="splits/a.csv"))] == [
        True
    ]


def of_nnunet(folds: int) -> list[dict[str, list[str]]]:
    """What nnU-Net writes: scikit-learn's KFold without shuffling is enough here."""
    val = [CASES[fold::folds] for fold in range(folds)]
    return [{"train": [case for case in CASES if case not in own], "val": own} for own in val]


def test_a_fold_of_nnunet_is_the_test_and_the_next_one_the_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = of_nnunet(5)
    raw = in_project(tmp_path, monkeypatch, "f.json", json.dumps(folds))
    for fold in range(5):
        found = names(raw, Split(file="splits/f.json", fold=fold))
        after = folds[(fold + 1) % 5]["val"]
        assert found["test"] == folds[fold]["val"]
        assert found["validation"] == after
        assert found["train"] == [case for case in folds[fold]["train"] if case not in after]
        # Dealing cases out by turns gives these folds without a file.
        assert names(raw, Split(folds=5, fold=fold)) == found
    own = names(raw, Split(file="splits/f.json", fold=1, test="imagesTs"))
    assert own == {"train": folds[1]["train"], "validation": folds[1]["val"], "test": ["test_1", "test_2"]}
    assert names(raw, Split(folds=5, fold=1, test="imagesTs")) == own


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '[{"train": ["case_0"]}]',
        '[{"train": ["case_0"], "val": [3]}]',
        '[{"train": ["a"], "val": ["a"]}]',
    ],
)
def test_what_is_no_list_of_folds_is_refused_by_its_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = in_project(tmp_path, monkeypatch, "f.json", text)

    assert [p.startswith("splits/f.json: ") for p in problems(raw, Split(file="splits/f.json", fold=0))] == [
        True
    ]


def test_folds_that_are_not_there_and_cases_that_are_unknown_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = of_nnunet(5)
    folds[2]["train"][1] = "case_55"
    raw = in_project(tmp_path, monkeypatch, "f.json", json.dumps(folds))

    assert "has 5 folds" in problems(raw, Split(file="splits/f.json", fold=5))[0]
    assert problems(raw, Split(file="splits/f.json", fold=2))[0].startswith(
        "splits/f.json: [2].train[1]: 'case_55'"
    )
    assert problems(raw, Split(folds=11, fold=0)) == ["10 cases cannot be divided into 11 folds"]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"file": "elsewhere/a.csv"}, "file"),
        ({"file": "splits/../a.csv"}, "file"),
        ({"file": "/splits/a.csv"}, "file"),
        ({"file": "splits/a.txt"}, "file"),
        ({"file": "splits/a.csv", "fold": 1}, "fold"),
        ({"file": "splits/a.json"}, "fold"),
        ({"file": "splits/a.csv", "train": 3}, "train"),
        ({"file": "splits/a.csv", "test": 3}, "test"),
        ({"file": "splits/a.csv", "folds": 3}, "folds"),
        ({"folds": 2, "fold": 0}, "folds"),
        ({"folds": 5}, "fold"),
        ({"folds": 5, "fold": 5}, "fold"),
        ({"train": 1, "validation": 1, "test": 1, "fold": 0}, "fold"),
        ({"train": 1, "test": 1}, "validation"),
    ],
)
def test_a_split_says_one_thing_alone(settings: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Split(**settings)
    assert caught.value.errors()[0]["ctx"]["error"].at == (place,)
