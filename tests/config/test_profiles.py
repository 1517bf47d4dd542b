from io import StringIO
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from workspace import ROOT

from context_fbr.config import profiles
from context_fbr.config.document import Document, plain
from context_fbr.config.study import read_study
from context_fbr.core.errors import UserError

NAMES = ["smoke", "desk", "paper"]


def keys(node: object, prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(node, dict) or any(isinstance(name, int) for name in node):
        return {prefix}
    return {key for name, item in node.items() for key in keys(item, (*prefix, name))}


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


SMALLER = {
    ("study", "tasks"),
    ("grid", "models"),
    ("tasks", "hippocampus", "train", "epochs"),
    *(("arms", name) for name in Document.read(ROOT / "params.yaml").root["arms"]),
}
"""What differs in the study of the tests: it is smaller, and its other tasks may be trained for long."""


def test_the_study_that_tests_start_from_is_a_smaller_desk_study_with_the_keys_of_params_yaml(
    params: Path,
) -> None:
    changes = profiles.apply("desk", params)
    others = {change.location for change in changes if change.before is not None}
    assert {next(key for key in SMALLER if key == where[: len(key)]) for where in others} == SMALLER
    assert {change.location[0] for change in changes if change.before is None} == {"models", "tasks"}
    own = Document.read(ROOT / "params.yaml").root
    assert {key for key in keys(plain(Document.read(params).root)) if key[0] != "models"} <= keys(plain(own))


def test_every_profile_sets_the_same_keys_so_that_none_leaves_a_trace_of_another() -> None:
    found = {name: keys(plain(Document.read(ROOT / "profiles" / f"{name}.yaml").root)) for name in NAMES}
    assert found["smoke"] == found["desk"] == found["paper"]


@pytest.mark.parametrize("name", ["smoke", "paper"])
def test_a_profile_changes_what_it_says_keeps_comments_and_can_be_undone(params: Path, name: str) -> None:
    profiles.apply("desk", params)
    before = params.read_text()
    changes = profiles.apply(name, params)
    assert "grid.patch_sizes: [16, 32, 48] -> " in "\n".join(map(str, changes))
    comments = [line.partition("#")[2] for line in before.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in params.read_text().splitlines() if "#" in line] == comments
    assert profiles.apply(name, params) == []
    profiles.apply("desk", params)
    assert params.read_text() == before


def test_the_paper_profile_is_the_published_protocol(params: Path) -> None:
    profiles.apply("paper", params)
    study = read_study(Document.read(params))
    assert study.grid.patch_sizes == (32, 48, 64, 80, 96)
    assert study.grid.seeds == (1, 2, 3)
    assert len(study.grid.cells) == 45 * len(study.grid.tasks)
    spheres = study.tasks["spheres"]
    assert (spheres.raw.training.radius, spheres.raw.test.radius) == ((25, 34), (5, 47))
    assert (spheres.prepare.split.train, spheres.prepare.split.validation) == (70, 30)
    assert spheres.train.epochs == 50
    assert study.train.learning_rate == 1e-4
    assert study.train.final_learning_rate == 1e-9
    assert (study.train.batch_volumes, study.train.patches_per_volume) == (2, 4)
    assert study.models["unetr"].arguments["hidden_size"] == 768


def test_an_overlay_that_makes_no_valid_study_leaves_params_yaml_alone(params: Path, tmp_path: Path) -> None:
    before = params.read_text()
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("grid:\n  patch_sizes: [1000]\n")
    with pytest.raises(UserError, match="larger than"):
        profiles.apply_overlay(overlay, params)
    assert params.read_text() == before


def test_null_stays_a_word_and_other_yaml_is_written_as_before(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("tasks: {spheres: {raw: {background: {hidden_intensity: null}}}}\n")
    profiles.apply_overlay(overlay, params)
    assert "hidden_intensity: null" in params.read_text()
    text = StringIO()
    YAML().dump({"a": None}, text)
    assert text.getvalue() == "a:\n"  # as DVC writes dvc.lock, which lockfile.py must not change


def test_an_unknown_profile_is_refused_with_the_names_of_those_that_are_there(params: Path) -> None:
    with pytest.raises(UserError, match="desk, paper, smoke"):
        profiles.apply("laptop", params)
