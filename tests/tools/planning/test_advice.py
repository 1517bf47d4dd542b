"""Advice on patches, by the labels, and on networks, by a pilot of short trainings."""

import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspace import ROOT, TINY, Workspace

from benchmarks import advise
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.config.training import Training
from context_fbr.core.errors import UserError
from context_fbr.core.padding import voxels_in_boxes
from context_fbr.runtime import provenance
from context_fbr_tools.study.planning.advice import pilot, report
from context_fbr_tools.study.planning.advice.halving import Round, halve, rungs
from context_fbr_tools.study.planning.advice.labels import DataSet
from context_fbr_tools.study.planning.advice.patches import Labelled, facts
from context_fbr_tools.study.planning.advice.pilot import Recommendation

CELL = Cell("spheres", "unet", 16, 1)


@pytest.fixture
def settings(params: Path) -> Training:
    return Document.read(params).section(("train",), Training)


def labelled(label: np.ndarray, name: str = "a", is_test: bool = False) -> Labelled:
    return Labelled(name, label, np.ones(label.shape, bool), is_test)


def test_voxels_in_boxes_are_those_of_a_plain_count() -> None:
    generator = np.random.default_rng(1)
    mask = generator.random((11, 9, 13)) < 0.3
    for size in (1, 3, 8):
        corners = np.stack([generator.integers(0, edge - size + 1, 30) for edge in mask.shape], axis=1)
        plain = [int(mask[x : x + size, y : y + size, z : z + size].sum()) for x, y, z in corners]
        assert voxels_in_boxes(mask, corners, (size,) * 3).tolist() == plain


def test_a_patch_as_large_as_the_volume_holds_everything_and_touches_the_border(settings: Training) -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[4:8, 4:8, 4:8] = 1
    found = facts([labelled(label)], 16, settings, 1)
    assert (found.whole, found.held, found.at_border, found.padded) == (1, 1, 1, 0)
    assert (found.ratios == 64 / 4096).all()


def test_small_patches_hold_a_part_and_two_structures_far_apart_are_never_together(
    settings: Training,
) -> None:
    label = np.zeros((40, 40, 40), np.uint8)
    label[2:8, 2:8, 2:8] = 1
    label[32:38, 32:38, 32:38] = 2
    apart = facts([labelled(label)], 16, settings.model_copy(update={"foreground_patch_probability": 1.0}), 2)
    assert apart.whole == 0
    assert apart.every_structure == 0
    assert apart.held == pytest.approx(0.5, abs=0.05)  # one of the two, whole in most patches
    assert facts([labelled(label)], 40, settings, 2).every_structure == 1
    whole = facts([labelled(label)], 48, settings, 2)
    assert (whole.padded, whole.whole) == (1, 1)


def test_test_cases_with_another_ratio_than_any_patch_are_counted(settings: Training) -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[4:8, 4:8, 4:8] = 1
    large, same = np.ones_like(label), label
    tests = [labelled(large, "b", is_test=True), labelled(same, "c", is_test=True)]
    assert facts([labelled(label), *tests], 16, settings, 1).outside == 2  # a range of one value holds none
    assert facts([labelled(label), *tests], 8, settings, 1).outside == 1
    data = DataSet("made", (labelled(label), *tests), 1, 3)
    text = report.as_text(data, [facts(data.cases, size, settings, 1) for size in (8, 16)], {})
    assert "1 training cases and 2 test cases were looked at, 3 were not" in text
    assert "From patch 16 on, most patches hold the whole object." in text
    assert "At patch 16, 2 of 2 test cases have a foreground ratio outside" in text


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [(24, 4, [4, 12]), (8, 4, [4]), (4, 1, [1, 3]), (60, 2, [2, 6, 18, 54]), (4, 4, [4]), (3, 5, [3])],
)
def test_candidates_are_compared_before_the_end_of_their_training(
    epochs: int, every: int, expected: list[int]
) -> None:
    assert rungs(epochs, every) == expected


def curves(best: Mapping[str, float]) -> tuple[list[Cell], dict[Cell, float]]:
    cells = [Cell("t", name, 16, 1) for name in best]
    return cells, dict(zip(cells, best.values(), strict=True))


def test_the_best_third_goes_on_and_the_best_of_all_is_found() -> None:
    cells, final = curves({name: 0.1 * number for number, name in enumerate("abcdefghi")})
    asked: list[tuple[int, int]] = []

    def look(chosen: Sequence[Cell], epochs: int) -> dict[Cell, float]:
        asked.append((len(chosen), epochs))
        return {cell: final[cell] * epochs / 12 for cell in chosen}

    rounds = halve(cells, [4, 12], look)
    assert asked == [(9, 4), (3, 12)]
    assert [cell.model for cell in rounds[0].dice] == list("ihgfedcba")
    assert [cell.model for cell in rounds[1].dice] == list("ihg")


def test_a_round_that_did_not_end_in_time_does_not_count() -> None:
    cells, final = curves({"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.2})

    def look(chosen: Sequence[Cell], epochs: int) -> dict[Cell, float]:
        return {cell: final[cell] for cell in chosen[: 1 if epochs > 4 else None]}

    assert [one.epochs for one in halve(cells, [4, 12], look)] == [4]
    assert halve(cells, [8], lambda chosen, _: {chosen[0]: 1.0}) == []


def test_what_to_choose_depends_on_how_much_another_seed_changes() -> None:
    first, second = Cell("t", "unet", 16, 1), Cell("t", "unetr", 32, 1)
    last = Round(12, {first: 0.90, second: 0.85})
    sure = Recommendation((last,), {Cell("t", "unet", 16, 2): 0.89, Cell("t", "unetr", 32, 2): 0.86})
    assert sure.best == first
    assert sure.sentences()[1].endswith("less than the gap: choose the first")
    unsure = Recommendation((last,), {Cell("t", "unet", 16, 2): 0.80, Cell("t", "unetr", 32, 2): 0.86})
    assert "cannot tell them apart" in unsure.sentences()[1]
    assert "is not known" in Recommendation((last,)).sentences()[1]
    assert Recommendation((Round(4, {first: 0.9}),)).sentences() == [
        "unet at patch 16 has the best validation Dice after 4 epochs, 0.900; it was the only candidate"
    ]


def test_the_replayed_pilots_are_those_of_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regret and cost in benchmarks/advise.csv, computed again with plain loops."""
    monkeypatch.chdir(ROOT)
    study = read_study(Document.read())
    table = pd.read_csv("benchmarks/advise.csv")
    within = table[table["regret"] <= 0.01].groupby("task").size()
    assert within.to_dict() == {"hippocampus": 2, "spheres": 2, "twins": 1}  # as docs/how_to/plan.md says
    page = Path("docs/how_to/plan.md").read_text().replace("\n", " ")
    low, high = (round(100 * float(share)) for share in (table["cost"].min(), table["cost"].max()))
    assert f"For {low} to {high} % of the time of the full grid" in page
    for task, text in (
        ("spheres", "{:.2f} less test Dice"),
        ("hippocampus", "({:.3f} less in the third)"),
        ("twins", "({:.2f} less)"),
    ):
        assert text.format(table.loc[table["task"] == task, "regret"].max()) in page
    for task in ("spheres", "hippocampus"):
        cells = pd.read_csv(f"metrics/{task}/cells.csv")
        means = {key: own["dice"].mean() for key, own in cells.groupby(["model", "patch_size"])}
        for row in table[table["task"] == task].itertuples():
            model, size = row.chosen.split()
            assert row.regret == pytest.approx(max(means.values()) - means[model, int(size)], abs=1e-4)
    trained = {cell: provenance.read(cell.provenance("train"))["seconds"] for cell in study.cells}
    of_task = {cell: float(s) for cell, s in trained.items() if cell.task == "hippocampus"}
    for row in table[table["task"] == "hippocampus"].itertuples():  # one round: half of the epochs
        history = pd.read_csv("metrics/hippocampus/history.csv").query("epoch == 4 and seed == @row.seed")
        ranked = history.sort_values("validation_dice", ascending=False)[["model", "patch_size"]].head(2)
        two = [Cell("hippocampus", model, size, row.seed) for model, size in ranked.itertuples(index=False)]
        spent = sum(s for cell, s in of_task.items() if cell.seed == row.seed) / 2
        spent += sum(of_task[cell] for cell in two) / 2
        assert row.chosen == f"{two[0].model} {two[0].patch_size}"
        assert row.cost == pytest.approx(spent / sum(of_task.values()), abs=6e-4)
    assert [str(row["chosen"]) for row in advise.replay("hippocampus", study)] == list(
        table.loc[table["task"] == "hippocampus", "chosen"]
    )


@pytest.mark.slow
def test_a_pilot_stops_trainings_early_and_the_study_continues_them(tmp_path: Path) -> None:
    workspace = Workspace.make(tmp_path / "study", TINY)
    workspace.edit("params.yaml", "      epochs: 2\n", "      epochs: 7\n")
    workspace.repro("code", "prepare")
    command = ("advise", "spheres", "--pilot", "5", "--jobs", "2", "--patch-size", "8", "16")
    told = workspace.context_fbr(*command).stdout
    assert [line.split()[0] for line in told.splitlines()[3:5]] == ["8", "16"]
    assert told.count("2 trainings up to epoch 1\n") == 2  # the second time with another seed
    assert "trainings up to epoch 3\n" not in told  # the best third of two is one: it is chosen
    assert "another seed changes them by up to " in told
    ranked = next(line for line in told.splitlines() if line.startswith("after 1 epochs: "))
    assert all(f"{model} 16: 0." in ranked for model in ("unet", "attention_unet"))
    assert "has the best validation Dice after 1 epochs" in told
    assert not list(workspace.path.glob("models/*/weights.pt"))
    again = workspace.context_fbr(*command).stdout  # from checkpoints that are further than the first round
    assert again.count("was trained up to epoch 2; trains again to be compared") >= 1
    assert next(line for line in again.splitlines() if line.startswith("after 1 epochs: ")) == ranked
    trained = workspace.run(sys.executable, "-m", "context_fbr.train", "spheres", "unet", "16", "1").stdout
    assert re.search(r"spheres-unet-16-1: resumes in epoch [23]", trained)
    assert "epoch 7/7" in trained


def test_a_training_that_fails_is_no_lack_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pilot.dvc, "changed_stages", lambda: {CELL.stage("train")})
    with pytest.raises(UserError, match="spheres-unet-16-1: its training ended before epoch 4: error: "):
        pilot.Pilot(1, 5, lambda _: 4)._look([CELL], 4)  # there is no params.yaml
    assert pilot.Pilot(1, 0, lambda _: 4)._look([CELL], 4) == {}


@pytest.mark.slow
def test_a_folder_is_looked_at_without_a_task(tmp_path: Path) -> None:
    import mri_dataset

    workspace = Workspace.make(tmp_path / "study", TINY)
    mri_dataset.make(tmp_path / "blobs", 8)
    told = workspace.context_fbr(
        "advise", str(tmp_path / "blobs"), "--structures", "--patch-size", "16", "32"
    )
    assert "blobs: " in told.stdout
    assert "every structure" in told.stdout
    refused = workspace.context_fbr("advise", str(tmp_path / "blobs"), "--pilot", "1", expect=1)
    assert "--pilot needs a task of params.yaml" in refused.stderr


def test_rounds_are_compared_by_dice_and_not_by_place() -> None:
    for order in itertools.permutations("abcd"):
        cells, final = curves({name: float(ord(name)) for name in order})
        (found,) = halve(cells, [1], lambda chosen, _, final=final: {cell: final[cell] for cell in chosen})
        assert [cell.model for cell in found.dice] == list("dcba")
