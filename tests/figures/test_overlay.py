"""What the stage that shows predictions refuses, each in one error."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small_results import CELLS

from context_fbr import overlay
from context_fbr.core.errors import UserError

GRID = """grid:
  tasks: [spheres]
  models: [unet, unetr]
  patch_sizes: [8, 16]
  seeds: [1, 2]
tasks:
  spheres:
    prepare:
      split: {train: 1, validation: 1, test: imagesTs}
"""


@pytest.fixture
def study(tables: Path) -> Path:
    """Tables of eight cells, whose predictions are nowhere."""
    (tables / "params.yaml").write_text(GRID)
    return tables


def without_dice(path: Path) -> None:
    pd.read_csv(path).assign(dsc=None, hausdorff=None).to_csv(path, index=False)


def test_a_task_of_which_no_test_case_has_a_dice_is_one_error_that_names_it(study: Path) -> None:
    for cell in CELLS:
        without_dice(cell.scores)
    with pytest.raises(UserError, match=r"^spheres: no test case has a Dice, for no label has foreground"):
        overlay.main(["spheres"])
    assert not (study / "plots").exists()


def test_a_task_that_is_not_in_the_grid_is_reported_with_those_that_are(study: Path) -> None:
    with pytest.raises(
        UserError, match=r"params.yaml:2: grid.tasks: lacks 'sphere'; did you mean spheres\? allowed: spheres"
    ):
        overlay.main(["sphere"])


def test_a_score_of_a_case_that_is_no_longer_prepared_is_reported(study: Path) -> None:
    folder = study / "data/prepared/spheres"
    folder.mkdir(parents=True)
    (folder / "cases.json").write_text(
        json.dumps({"format": overlay.prepared.FORMAT, "cases": [], "recipe": {}})
    )
    with pytest.raises(UserError) as raised:
        overlay.main(["spheres"])
    assert list(raised.value.problems) == [
        f"metrics/test/spheres: {name} is no test case of data/prepared/spheres; run `dvc repro`"
        for name in "ab"
    ]


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({"licence": "MIT"}, ""),
        (
            {"name": "Hippocampus", "reference": "Vanderbilt", "licence": "CC-BY-SA 4.0"},
            "Images: Hippocampus, Vanderbilt, CC-BY-SA 4.0",
        ),
        ({"reference": "A hospital"}, "Images: mri, A hospital"),
    ],
)
def test_the_source_is_that_of_dataset_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, description: dict[str, str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data/raw/mri/dataset.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(description))
    assert overlay.credit("mri") == expected


def test_a_description_that_cannot_be_read_is_an_error_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^data/raw/mri/dataset\.json: cannot be read"):
        overlay.credit("mri")
