"""A distractor and variants from params.yaml and dataset.json to the cases and their scores."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from context_fbr import prepare
from context_fbr.config.raw.twins import Shells, TwinSet, TwinsRaw, Variants
from context_fbr.core.errors import UserError
from context_fbr.core.geometry import to_original, to_prepared
from context_fbr.evaluation.case_scores import score_case
from context_fbr.metrics.columns import CASE_SCORES
from context_fbr.preprocessing import originals, prepared
from context_fbr.raw import write_twins

RAW = TwinsRaw(
    source="twins",
    seed=1,
    edge=16,
    spacing_mm=1.0,
    training=TwinSet(volumes=2, distance=(4, 5)),
    test=TwinSet(per_distance=1, distance=(4, 5)),
    variants=Variants(exchanged=1, removed=0),
    radius=(1, 2),
    thickness=1,
    ball=1.0,
    noise=(-0.75, -0.25),
    shells=Shells(foreground=0.0, distractor=-1.0),
)
TEST = ["twins_002", "twins_002_exchanged", "twins_003", "twins_003_exchanged"]


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: str) -> tuple[prepared.Case, ...]:
    """Prepare twins with these settings next to the split, and return the test cases."""
    monkeypatch.chdir(folder)
    if not Path("data").exists():
        write_twins(RAW, "twins", Path("data/raw/twins"))
    split = "split: {train: 1, validation: 1, test: imagesTs}"
    Path("params.yaml").write_text(f"tasks: {{twins: {{prepare: {{{split}{settings}}}}}}}\n")
    prepare.main(["twins"])
    return prepared.read_cases("twins", "test")


def row(case: prepared.Case, prediction: np.ndarray, label: np.ndarray) -> dict[str, object]:
    """The scores of a prediction by column."""
    values, _ = score_case(prediction, label, case, originals.read_masks("twins", case), 1.0)
    return dict(zip(CASE_SCORES, values, strict=True))


def drawn(case: prepared.Case) -> np.ndarray:
    """The raw label, as nibabel reads it."""
    return np.asarray(nibabel.load(Path("data/raw/twins") / case.label).dataobj)


def test_cases_know_their_distractor_and_variant_and_the_label_is_the_foreground_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = run(tmp_path, monkeypatch, ", distractor: [2]")
    assert [case.name for case in cases] == TEST
    assert [case.variant for case in cases] == [None, "exchanged"] * 2
    assert [case.design for case in cases] == [4, 4, 5, 5]
    assert all(case.distractor == (2,) for case in cases)
    for case in cases:
        image, label = prepared.read_volume("twins", case)
        np.testing.assert_array_equal(label, drawn(case) == 1)
        background_centres = (label == 0) & (image > case.background)
        np.testing.assert_array_equal(background_centres, drawn(case) == 2)
    stored = json.loads(Path("data/prepared/twins/cases.json").read_text())["cases"]
    assert ["variant" in case for case in stored] == [case["name"].endswith("exchanged") for case in stored]


def test_without_a_distractor_the_cases_are_written_without_it_and_have_no_scores_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = run(tmp_path, monkeypatch, "")
    stored = json.loads(Path("data/prepared/twins/cases.json").read_text())["cases"]
    assert not any("distractor" in case for case in stored)
    _, label = prepared.read_volume("twins", cases[0])
    scores = row(cases[0], label, label)
    assert (scores["distractor_recall"], scores["elsewhere"], scores["variant"]) == (None, None, None)


def test_scores_are_those_of_the_raw_label_voxel_by_voxel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = run(tmp_path, monkeypatch, ", distractor: [2]")
    image, label = prepared.read_volume("twins", cases[1])
    scores = row(cases[1], (image > 0).astype(np.uint8), label)
    assert (scores["recall"], scores["distractor_recall"], scores["elsewhere"]) == (1, 1, 0)
    assert scores["dsc"] == pytest.approx(2 / 3)
    assert (scores["variant"], scores["design"]) == ("exchanged", 4)
    prediction = np.random.default_rng(0).integers(0, 2, label.shape).astype(np.uint8)
    scores = row(cases[0], prediction, label)
    raw = drawn(cases[0])
    assert scores["recall"] == pytest.approx(prediction[raw == 1].mean())
    assert scores["distractor_recall"] == pytest.approx(prediction[raw == 2].mean())
    assert scores["elsewhere"] == prediction[raw == 0].sum()


def test_on_another_grid_the_distractor_is_compared_as_it_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = run(tmp_path, monkeypatch, ", distractor: [2], spacing_mm: [0.5, 0.5, 0.5]")[0]
    assert case.shape == (31, 31, 31)
    raw = drawn(case)
    for ball in (1, 2):
        prediction = to_prepared((raw == ball).astype(np.uint8), case.geometry, linear=False)
        scores = row(case, prediction, prepared.read_volume("twins", case)[1])
        back = to_original(prediction, case.geometry)
        assert scores["distractor_recall"] == pytest.approx(back[raw == 2].mean())
        assert scores["distractor_recall"] == (0 if ball == 1 else pytest.approx(1, abs=0.1))
        assert scores["elsewhere"] == back[raw == 0].sum()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (", distractor: [3]", "distractor"),
        (", distractor: [1]", "distractor"),
        (", foreground: [1, 2], distractor: [2]", "distractor"),
        (", distractor: [0]", "distractor.0"),
    ],
)
def test_a_distractor_that_is_no_label_or_foreground_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, key: str
) -> None:
    with pytest.raises(UserError) as error:
        run(tmp_path, monkeypatch, settings)
    assert [f"tasks.twins.prepare.{key}: " in problem for problem in error.value.problems] == [True]
    assert not Path("data/prepared/twins").exists()
