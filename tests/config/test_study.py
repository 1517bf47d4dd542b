import re
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.config.cell import Cell, arm_of
from context_fbr.config.document import Document
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.study import read_study
from context_fbr.config.training import Training
from context_fbr.core.errors import UserError

LISTS = "{tasks: [], models: [], patch_sizes: [], seeds: []}"
ARM = f"range: {LISTS}"
Change = Callable[[str, str], Document]


def line_of(document: Document, text: str) -> int:
    lines = document.path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_the_repository_s_study_is_valid_and_frozen() -> None:
    study = read_study(Document.read(ROOT / "params.yaml"))
    assert len(study.cells) == len(set(study.cells)) > 0
    with pytest.raises(ValueError, match="frozen"):
        study.train.learning_rate = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        study.models["unet"].arguments["channels"] = ()  # type: ignore[index]


@pytest.mark.parametrize(
    ("before", "after", "key", "expected"),
    [
        ("  learning_rate: 0.005", "  learning_rat: 0.005", "train.learning_rat", "did you mean learning_rate?"),
        ("  learning_rate: 0.005", "  learning_rate: -1", "train.learning_rate", "greater than 0"),
        ("  learning_rate: 0.005", "  learning_rate: .nan", "train.learning_rate", "finite"),
        ("  threads: 1", "  threads: two", "train.threads", "'two', but should be a valid integer"),
        ("  threads: 1", "  threads: true", "train.threads", "valid integer"),
        ("  overlap: 0.25", "  overlap: 1.0", "sliding_window.overlap", "less than 1"),
        ("  seeds: [1, 2, 3]", "  seeds: []", "grid.seeds", "at least 1 item"),
        ("  seeds: [1, 2, 3]", "  seeds: [99999999999999999999]", "grid.seeds.0", "less than 4294967296"),
        ("[16, 32, 48]", "[16.0, 32]", "grid.patch_sizes.0", "is 16.0, but should be a valid integer"),
        ("test: imagesTs}", "test: foo}", "tasks.spheres.prepare.split.test", "is 'foo', but should be a valid integer or should be a valid list or should be 'imagesTs'"),
        ("  seeds: [1, 2, 3]", "  seeds: 3", "grid.seeds", "is 3, but should be a valid list"),
        ("  models: [unet, attention_unet, unetr]", "  models: [1]", "grid.models", '1 is no text, but names are: put them in quotes, ["1"]'),
        ("train: 16,", "train: {a: 1},", "tasks.spheres.prepare.split.train", "is {'a': 1}, but should be a valid integer or should be a valid list"),
        ("train: 16,", "train: [[a]],", "tasks.spheres.prepare.split.train.0", "is ['a'], but should be a valid string"),
        ("split: {train: 16, validation: 4, test: imagesTs}", "split: 5", "tasks.spheres.prepare.split", "is 5, but should be a valid mapping"),
        ("  seeds: [1, 2, 3]", "  seeds: [1, 2, 2]", "grid.seeds", "2 occurs more than once"),
        ("  on_nonfinite: stop", "  on_bad_numbers: stop", "train.on_bad_numbers", "allowed: augmentation, batch_volumes, "),
        ("  models: [unet, attention_unet", "  models: [unett, attention_unet", "grid.models.0", "did you mean unet?"),
        ("  tasks: [spheres]", "  tasks: [spheres, liver]", "grid.tasks.1", "allowed: hippocampus, spheres"),
        ("      source: spheres", "      source: cubes", "tasks.spheres.raw.source", "expected one of archive, folder, spheres"),
        ("radius: [2, 23]", "radius: [2, 24]", "tasks.spheres.raw.test.radius", "radius allowed is 23"),
        ("radius: [12, 17]", "radius: [17, 12]", "tasks.spheres.raw.training.radius", "[smallest, largest]"),
        ("{volumes: null, radius: [2, 23]", "{volumes: 24, radius: [2, 23]", "tasks.spheres.raw.test.volumes", "is 24, but `each: true`"),
        ("[2, 23], each: true", "[2, 23], each: false", "tasks.spheres.raw.test.volumes", "is missing"),
        ("{volumes: 20, radius: [12, 17]}", "{radius: [12, 17]}", "tasks.spheres.raw.training.volumes", "is missing; `each: true`"),
        ("[2, 23], each: true", "[2, 23], each: 1", "tasks.spheres.raw.test.each", "should be a valid boolean"),
        ("[16, 32, 48]", "[16, 32, 64]", "grid.patch_sizes.2", "larger than tasks.spheres.raw.edge, 48"),
        ("[16, 32, 48]", "[16, 16x16x64]", "grid.patch_sizes.1", "16x16x64 is larger than tasks.spheres.raw.edge, 48"),
        ("[16, 32, 48]", "[16, 16x16x16]", "grid.patch_sizes.1", "is a cube: write 16"),
        ("[16, 32, 48]", "[16, 16x16]", "grid.patch_sizes.1", "three edges, not all equal, such as 32x32x16"),
        ("[16, 32, 48]", "[16x16x8, 16, 16x16x8]", "grid.patch_sizes", "16x16x8 occurs more than once"),
        ("split: {train: 16,", "split: {train: 17,", "tasks.spheres.prepare.split", "asks for 21 volumes"),
        ("train: 26, validation", "train: [a, b], validation", "tasks.spleen.prepare.split.validation", "train lists cases"),
        ("{train: 26, validation: 5, test: 10}", "{train: [a], validation: [b], test: [a]}", "tasks.spleen.prepare.split.test", "a is listed more than once"),
        ("[-57, 164]", "[164, -57]", "tasks.spleen.prepare.window", "[low, high]"),
        ("      crop: true", "      z_score:   true", "tasks.spleen.prepare.z_score", "without a window"),
        ("[1.5, 1.5, 2.0]", "[1.5, 1.5, 0]", "tasks.spleen.prepare.spacing_mm.2", "greater than 0"),
        ("      foreground: [1]", "      foreground: [0]", "tasks.spleen.prepare.foreground.0", "greater than or equal to 1"),
        ("Task09_Spleen.tar\n      url", "Task09_Spleen.rar\n      url", "tasks.spleen.raw.archive", "match pattern"),
        ("410d4a301da4", "410d", "tasks.spleen.raw.md5", "match pattern"),
        ("surface_tolerance_mm: 3.0", "surface_tolerance_mm: 0", "tasks.spleen.evaluate.surface_tolerance_mm", "greater than 0"),
        ("      windows: [patch]\n      surf", "      windows: [patch, 16, 16]\n      surf", "tasks.spleen.evaluate.windows", "16 occurs more than once"),
        ("      windows: [patch]\n      surf", "      windows: []\n      surf", "tasks.spleen.evaluate.windows", "at least 1 item"),
        ("validation_window: patch", "validation_window: whole", "train.validation_window", "'patch' or 'volume'"),
        ("validation_window: patch", "validation_window: 0", "train.validation_window", "greater than or equal to 1"),
        ("      epochs: 24", "      epochs: 3", "tasks.spheres.train.epochs", "validate_every_epochs"),
        ("  unetr:", "  une-tr:", "models.une-tr", "a-z, 0-9 and _"),
        ("sliding_window:", "slidingwindow:", "slidingwindow", "allowed: analysis, arms, grid"),
        ("{tasks: [spheres]}", "{tasks: [spheres, spleen]}", "study.tasks.1", "has no cells"),
        ("{tasks: [spheres]}", "{tasks: [spheres, spheres]}", "study.tasks.1", "more than once"),
        (ARM, "range: {tasks: [spheres], models: [unet], patch_sizes: [16], seeds: [3, 4]}", "arms.range", "spheres-unet-16-3: in grid as well"),
        (ARM, "range: {tasks: [spheres], models: [unet], patch_sizes: [16], seeds: [4, 4]}", "arms.range.seeds", "4 occurs more than once"),
        (ARM, "range: {tasks: [spheres], models: [unett], patch_sizes: [16], seeds: [4]}", "arms.range.models.0", "did you mean unet?"),
        (ARM, "range: {tasks: [spheres], models: [unet], patch_sizes: [49], seeds: [4]}", "arms.range.patch_sizes.0", "larger than tasks.spheres.raw.edge, 48"),
        (ARM, "range: {tasks: [spleen], models: [unet], patch_sizes: [96], seeds: [4]}", "arms.range.tasks.0", "not in study.tasks"),
        (ARM, "range: {tasks: [], models: [], patch_sizes: []}", "arms.range.seeds", "is missing"),
        ("  range: {", "  range: {epochs: 3, ", "arms.range.epochs", "unknown key; allowed: models, patch_sizes, seeds, tasks"),
        ("  range: {", "  1: {", "arms.1", "keys should be strings"),
        ("  range: {", "  ran-ge: {", "arms.ran-ge", "a-z, 0-9 and _"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_file_line_key_and_what_is_allowed(
    change: Change, before: str, after: str, key: str, expected: str
) -> None:
    document = change(before, after)
    with pytest.raises(UserError) as caught:
        read_study(document)
    wanted = f"{document.path}:{line_of(document, after.strip().splitlines()[0])}: {key}: "
    assert any(p.startswith(wanted) and expected in p for p in caught.value.problems), caught.value.problems
    assert len(caught.value.problems) <= 2  # a renamed key is missing as well


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        pytest.param(
            "{train: [001, 002], validation: [003], test: [010]}",
            {"train": '["001", "002"]', "validation": '["003"]', "test": '["010"]'},
            id="Y1 numbers with zeros",
        ),
        pytest.param(
            "{train: [a, 3], validation: [b], test: [c]}", {"train": '["a", "3"]'}, id="Y1 one number"
        ),
        pytest.param(
            "{train: [a, null, true, 1.50, 2026-01-02], validation: [b], test: [c]}",
            {"train": '["a", "null", "true", "1.50", "2026-01-02"]'},
            id="Y1 what else YAML takes for no text",
        ),
        pytest.param(
            "{train: {a: 1}, validation: 5, test: 10}",
            {"train": "is {'a': 1}, but should be a valid integer or should be a valid list"},
            id="Y2 a mapping",
        ),
        pytest.param(
            "{train: [a], validation: [b], test: []}",
            {
                "test": "is [], but should be a valid integer or list should have at least 1 item, not 0 "
                "or should be 'imagesTs'"
            },
            id="Y2 an empty list",
        ),
    ],
)
def test_each_part_of_a_split_that_fits_no_branch_is_one_problem_in_terms_of_the_file(
    change: Change, split: str, expected: dict[str, str]
) -> None:
    document = change("{train: 26, validation: 5, test: 10}", split)
    with pytest.raises(UserError) as caught:
        document.section(("tasks", "spleen", "prepare"), Prepare)
    where = f"{document.path}:{line_of(document, split)}: tasks.spleen.prepare.split."
    problems = caught.value.problems
    assert [text.removeprefix(where).split(":")[0] for text in problems] == [*expected]
    assert all(text.endswith(end) for text, end in zip(problems, expected.values(), strict=True)), problems


def test_all_problems_of_all_sections_are_reported_together(change: Change) -> None:
    change("  threads: 1", "  threads: 0")
    change("  overlap: 0.25", "  overlap: 2.0")
    with pytest.raises(UserError) as caught:
        read_study(change("      edge: 48", "      edge: 4"))
    assert {re.search(r": ([a-z_.]+): ", p)[1] for p in caught.value.problems} == {
        "train.threads",
        "sliding_window.overlap",
        "tasks.spheres.raw.edge",
    }


def test_a_missing_section_and_a_missing_key_are_named(change: Change) -> None:
    document = change("  learning_rate: 0.005", "  # nothing")
    with pytest.raises(UserError, match=r"params\.yaml:\d+: train\.learning_rate: is missing"):
        document.section(("train",), Training)
    with pytest.raises(UserError, match=r"params\.yaml:\d+: tasks\.liver\.raw: is missing"):
        document.section(("tasks", "liver", "raw"), Training)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grid: [1, 2\n", ":2: is not valid YAML"),
        ("grid: 1\ngrid: 2\n", ":2: is not valid YAML"),
        ("- 1\n", ":1: is not a mapping"),
        ("", ":1: is not a mapping"),
    ],
)
def test_a_file_that_is_no_study_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(f"{path}{expected}")):
        Document.read(path)


def test_cells_of_an_arm_follow_those_of_the_grid_and_name_its_stages(change: Change) -> None:
    document = change(ARM, "range: {tasks: [spheres], models: [unet], patch_sizes: [24], seeds: [1, 2]}")
    study = read_study(document)
    *grid, first, last = study.cells
    assert tuple(grid) == study.grid.cells
    assert [first, last] == [Cell("spheres", "unet", 24, seed) for seed in (1, 2)]
    assert last.stage("train") == "train_range@spheres-unet-24-2"
    assert grid[0].stage("evaluate") == "evaluate@spheres-unet-16-1"
    assert [arm_of(document.root, cell.item) for cell in (grid[0], first, Cell("a", "b", 1, 1))] == [
        "",
        "range",
        "",
    ]


def test_a_task_that_the_study_does_not_list_is_named_where_its_cells_are(change: Change) -> None:
    with pytest.raises(UserError, match=r"params.yaml:4: grid.tasks.0: 'spheres' is not in study.tasks"):
        read_study(change("{tasks: [spheres]}", "{tasks: []}"))


def test_a_cell_of_two_arms_is_named_at_the_second(change: Change) -> None:
    arm = "{tasks: [spheres], models: [unet], patch_sizes: [16, 24], seeds: [4]}"
    document = change(f"  {ARM}", f"  range: {arm}\n  more: {arm}")
    with pytest.raises(
        UserError, match=r"arms\.more: spheres-unet-16-4 and 1 others: in arms.range as well"
    ) as caught:
        read_study(document)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("arms", ["arms: 5", "arms: {range: 5}", "arms: {range: {tasks: 5}}", "arms: [1]"])
def test_an_arm_that_is_no_product_is_refused_and_names_no_stage(params: Path, arms: str) -> None:
    text = params.read_text()
    params.write_text(f"{text[: text.index('arms:')]}{arms}\n")  # they are the last ones there
    document = Document.read(params)
    assert arm_of(document.root, Cell("spheres", "unet", 24, 1).item) == ""
    with pytest.raises(UserError, match=r"params.yaml:\d+: arms"):
        read_study(document)


def test_a_missing_file_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found"):
        Document.read(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        Document.read(tmp_path / "params.yaml")


def test_a_cell_and_its_key_are_each_other_s_inverse() -> None:
    cell = Cell("spheres", "attention_unet", 32, 1)
    assert cell.key == "spheres-attention_unet-32-1"
    assert Cell.from_key(cell.key) == cell
    with pytest.raises(UserError, match="TASK MODEL PATCH_SIZE SEED"):
        Cell.from_arguments(["spheres", "unet", "large", "1"])
