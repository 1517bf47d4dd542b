"""From cells' tables to summary, headline and figures, on numbers small enough to check by hand."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from small_results import CELLS, SETTINGS, score_table

from context_fbr import analyze, baseline
from context_fbr.analysis import summary
from context_fbr.analysis.observations import Evidence, from_results, is_baseline
from context_fbr.analysis.result_files import DIGITS
from context_fbr.analysis.results import Results, read_results
from context_fbr.analysis.tables.differences import difference_table
from context_fbr.config.prepare.preprocessing import Prepare, Split
from context_fbr.core import nifti
from context_fbr.core.errors import UserError
from context_fbr.evaluation import baselines
from context_fbr.figures.scores_by_foreground_ratio import ratio_histogram
from context_fbr.metrics.columns import SCORES, score_row
from context_fbr.metrics.overlap import score
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing import prepared
from context_fbr.preprocessing.splits import Source

FOLDERS = (Path("metrics/spheres"), Path("plots/spheres"))


def evidence() -> Evidence:
    results = read_results(CELLS)
    return from_results(results, summary.convergence(summary.cell_table(results, SETTINGS)))


def test_the_summary_is_the_mean_over_seeds_of_cells_and_counts_what_is_undefined(tables: Path) -> None:
    means = summary.summarise(evidence(), 0.95)
    tree = summary.tree_of(means)
    leaf = tree["spheres"]["unet"]["16"]
    assert leaf["dice_mean"] == pytest.approx(
        ((0.26 + 0) / 2 + (0.36 + 0) / 2) / 2
    )  # an empty prediction counts as 0
    assert leaf["hausdorff_mean"] == 1.5  # ... and has no distance to average
    assert (leaf["cases"], leaf["scores"], leaf["seeds"]) == (2, 4, 2)
    assert (leaf["empty_predictions"], leaf["undefined_hausdorff"], leaf["not_converged"]) == (2, 2, 0)
    assert (leaf["hausdorff_mm_mean"], leaf["volume_difference_ml_mean"]) == (3.0, -0.125)
    assert tree["spheres"]["unetr"]["8"]["not_converged"] == 1
    assert tree["spheres"]["threshold"]["all"]["dice_mean"] == pytest.approx(0.95)
    assert tree["spheres"]["threshold"]["all"]["seeds"] == 0
    headline = summary.headline(means)
    failed = headline["spheres"].pop("cells_not_converged")
    assert headline["spheres"]["unet"] == {"dice_8": 0.115, "dice_16": 0.155}
    assert failed == means["not_converged"].sum() > 0


def test_a_miss_and_an_empty_label_are_no_empty_predictions(tables: Path) -> None:
    for cell in CELLS:
        cell.scores.write_text(
            score_table(
                "empty prediction,0.0,,1.0,0.1", "beside the label,0.0,9,1.5,0.1", "empty label,,,,0.0"
            )
        )
    leaf = summary.tree_of(summary.summarise(evidence(), 0.95))["spheres"]["unet"]["8"]
    assert (leaf["empty_predictions"], leaf["undefined_dice"], leaf["undefined_hausdorff"]) == (2, 2, 4)
    assert (leaf["dice_mean"], leaf["hausdorff_mean"], leaf["abs_diff_mean"]) == (0.0, 9.0, 1.25)


def test_a_cell_s_row_tells_how_it_trained(tables: Path) -> None:
    cells = summary.cell_table(read_results(CELLS), SETTINGS)
    row = cells.query("model == 'unetr' and patch_size == 8 and seed == 2").iloc[0]
    assert row["best_validation_dice"] == 0.75
    assert row["last_validation_change"] == pytest.approx(0.05)
    assert not row["converged"]
    assert (row["hausdorff_mm"], row["original_hd95_mm"], row["padded_cases"]) == (4.0, 2.0, 1)
    assert (row["epochs"], row["training_ratio_zero_share"], row["training_ratio_max"]) == (4, 0.25, 0.5)


@pytest.mark.slow
def test_the_stage_writes_valid_json_csv_and_the_same_png_bytes_twice(tables: Path) -> None:
    results = read_results(CELLS)
    analyze.write_task(results, SETTINGS, *FOLDERS)
    names = sorted(
        str(p.relative_to(tables))
        for p in tables.rglob("*")
        if p.is_file() and p.parent in [tables / folder for folder in FOLDERS]
    )
    content = {name: Path(name).read_bytes() for name in names}
    analyze.write_task(read_results(CELLS), SETTINGS, *FOLDERS)
    assert {name: Path(name).read_bytes() for name in names} == content
    for name in names:
        if name.endswith(".json"):
            json.loads(content[name], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        if name.endswith(".png"):
            assert content[name].startswith(b"\x89PNG")
    scores = pd.read_csv("metrics/spheres/cases.csv")
    trained = scores[scores["seed"].notna()].astype({"patch_size": "int64", "seed": "int64"})
    pd.testing.assert_frame_equal(trained, results.scores.drop(columns=["padded", "window", "variant"]))
    assert scores.loc[scores["seed"].isna(), "model"].unique().tolist() == ["everything", "threshold"]


def test_a_cell_that_stopped_moving_at_a_low_dice_has_converged_and_is_flagged(tables: Path) -> None:
    strict = SETTINGS.model_copy(update={"minimum_validation_dice": 0.72})
    cells = summary.cell_table(read_results(CELLS), strict)
    assert cells["last_validation_change"].min() == pytest.approx(0.001)
    assert cells["converged"].sum() == 6  # 0.75 moved too much
    assert cells["low_validation_dice"].tolist() == [best < 0.72 for best in cells["best_validation_dice"]]
    assert cells["low_validation_dice"].sum() == 6
    assert not summary.cell_table(read_results(CELLS), SETTINGS)["low_validation_dice"].any()


def test_a_group_without_any_defined_distance_is_null_not_nan(tables: Path) -> None:
    for cell in CELLS:
        cell.scores.write_text(score_table("a,0.0,,1.0,0.1"))
    analyze.write_task(read_results(CELLS), SETTINGS, *FOLDERS)
    tree = json.loads(Path("metrics/spheres/summary.json").read_text())
    assert tree["spheres"]["unet"]["8"]["hausdorff_mean"] is None
    assert tree["spheres"]["unet"]["8"]["dice_mean"] == 0


def test_names_are_text_whatever_they_look_like_and_numbers_keep_their_last_bit(tables: Path) -> None:
    for cell in CELLS:
        cell.scores.write_text(
            score_table("001,0.1234567890123456789,,1.0,0.1", "002,0.3,1,1,0.1", "NA,0.3,1,1,0.1")
        )
    scores = read_results(CELLS).scores
    assert scores["filename"].tolist()[:3] == ["001", "002", "NA"]
    assert scores["dsc"][0] == 0.1234567890123456789
    assert np.isnan(scores["hausdorff"][0])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "not found; run `dvc repro`"),
        ("", "is damaged"),
        ("filename,dsc\na,1\n", "columns"),
        (score_table(), "holds no rows"),
        (score_table("a,high,1,1,1"), "is damaged"),
        (score_table('"a,1,1'), "is damaged"),
        ("filename,dsc,hausdorff,abs_diff,fg_ratio\na,1,1,1,1\n", "columns"),
    ],
)
def test_damaged_tables_are_reported_together(tables: Path, content: str | None, expected: str) -> None:
    for cell in CELLS[:2]:
        cell.scores.unlink()
        if content is not None:
            cell.scores.write_text(content)
    with pytest.raises(UserError) as caught:
        read_results(CELLS)
    for cell, problem in zip(CELLS[:2], caught.value.problems, strict=True):
        assert problem.startswith(f"{cell.scores}:")
        assert expected in problem


def test_the_ratio_histogram_counts_every_patch_of_one_network_once(tables: Path) -> None:
    histogram = ratio_histogram(evidence())
    assert histogram.groupby("patch_size")["share"].sum().tolist() == [1.0, 1.0]
    first = histogram[histogram["patch_size"] == 8]
    assert first["empty"].tolist()[0] == 0.25  # one of four patches has no foreground
    assert first["share"].tolist()[0] == 0.25
    half = first[(first["ratio_from"] < 0.5) & (first["ratio_to"] > 0.5)]
    assert half["share"].tolist() == [0.25]


def test_the_threshold_s_dice_is_that_of_the_mask_it_makes() -> None:
    generator = np.random.default_rng(2)
    image = generator.random((9, 8, 7), dtype=np.float32)
    label = (generator.random(image.shape) < 0.3).astype(np.uint8)
    thresholds = np.linspace(0, 1, 21)
    expected = [score(image >= threshold, label).dice for threshold in thresholds]
    np.testing.assert_allclose(baselines.threshold_dice(image, label, thresholds), expected, atol=1e-12)
    assert baselines.fit_threshold([(image, label)], thresholds) == thresholds[np.argmax(expected)]
    with pytest.raises(UserError, match="no validation volume has foreground"):
        baselines.fit_threshold([(image, label * 0)], thresholds)


def test_results_hold_all_tables(tables: Path) -> None:
    results: Results = read_results(CELLS)
    assert (len(results.history), len(results.scores), len(results.baselines)) == (32, 16, 4)


def test_baselines_are_scored_as_networks_are() -> None:
    generator = np.random.default_rng(5)
    cases = []
    for name in ("a", "b"):
        image = generator.random((7, 8, 9), dtype=np.float32)
        cases.append((name, image, (image > 0.6).astype(np.uint8)))

    def scored(mask: np.ndarray, case: tuple[str, np.ndarray]) -> list[tuple[object, ...]]:
        name, label = case
        return [score_row(name, score(mask, label), label.mean())]

    table = baselines.evaluate(((image, (name, label)) for name, image, label in cases), 0.7, scored, SCORES)
    frame = pd.read_csv(StringIO(table))
    assert frame["baseline"].tolist() == ["everything"] * 2 + ["threshold"] * 2
    for row, (name, image, label) in zip(frame.itertuples(), cases * 2, strict=True):
        mask = np.ones_like(label) if row.baseline == "everything" else image >= 0.7
        expected = score(mask, label)
        assert (row.filename, row.dsc, row.hausdorff, row.abs_diff) == (
            name, expected.dice, expected.hausdorff_voxels, expected.absolute_difference,
        )  # fmt: skip
        assert row.fg_ratio == pytest.approx(label.mean(), rel=1e-15)


HISTORIES = [
    # validations in the order of epochs, the best of them, change from the one before the last to the last
    ((0.5, 0.8, 0.7, 0.72), 0.8, 0.02),
    ((0.9, 0.8, 0.7, 0.4), 0.9, 0.3),
    ((0.1, 0.2, 0.3, 0.85), 0.85, 0.55),
    ((0.7, 0.7, 0.7, 0.7), 0.7, 0.0),
    ((0.6,), 0.6, None),
    ((), None, None),
]


@pytest.mark.parametrize(("validations", "best", "change"), HISTORIES)
def test_a_cell_is_judged_by_its_best_and_its_last_two_validations(
    tables: Path, validations: tuple[float, ...], best: float | None, change: float | None
) -> None:
    """Every second epoch is validated, and the last one is."""
    rows = "".join(f"{2 * n - 1},0.1,0.5,\n{2 * n},0.1,0.4,{dice}\n" for n, dice in enumerate(validations, 1))
    header = "epoch,learning_rate,loss,validation_dice"
    CELLS[3].history.write_text(f"{header}\n{rows or f'1,0.1,0.5,{chr(10)}'}")
    row = summary.cell_table(read_results(CELLS), SETTINGS).iloc[3]
    assert (row["model"], row["patch_size"], row["seed"]) == ("unet", 16, 2)
    for name, expected in (("best_validation_dice", best), ("last_validation_change", change)):
        assert np.isnan(row[name]) if expected is None else row[name] == pytest.approx(expected)
    steady = change is not None and change < SETTINGS.convergence_tolerance
    assert row["converged"] == steady
    assert row["low_validation_dice"] == (best is not None and best < SETTINGS.minimum_validation_dice)
    assert row["epochs"] == max(2 * len(validations), 1)


@pytest.mark.parametrize(
    ("change", "best", "converged"),
    [
        (0.0199, 0.6, True),
        (0.02, 0.6, False),  # the tolerance itself is too much
        (0.0199, 0.1, True),  # how good it is does not count
        (None, 0.9, False),
        (0.0, 1.0, True),
    ],
)
def test_convergence_has_a_tolerance_below_which_the_last_change_is(
    change: float | None, best: float | None, converged: bool
) -> None:
    cells = pd.DataFrame(
        {"last_validation_change": [change], "best_validation_dice": [best]}, dtype="float64"
    )
    assert summary.has_converged(cells, SETTINGS).tolist() == [converged]


def scored(model: str, size: int | None, seed: int | None, dice: float, distance: float) -> pd.DataFrame:
    """Four cases about a mean Dice and a mean Hausdorff distance."""
    return pd.DataFrame(
        {
            "task": "t", "model": model, "patch_size": size, "seed": seed, "filename": list("abcd"),
            "dsc": dice + np.array([-0.03, -0.01, 0.01, 0.03]), "hausdorff": distance + np.array([-1, 0, 0, 1.0]),
            "abs_diff": 0.1, "fg_ratio": 0.1,
        }
    ).astype({"patch_size": "Int64", "seed": "Int64"})  # fmt: skip


def compared() -> Evidence:
    """Mean Dice and distance: UNet 0.50, 9 at patch 8 and 0.70, 5 at 16; UNETR 0.60, 7 at 8; threshold 0.65, 8."""
    cells = [("unet", 8, 0.50, 9.0), ("unet", 16, 0.70, 5.0), ("unetr", 8, 0.60, 7.0)]
    frames = [
        scored(model, size, seed, dice + shift, distance + 10 * shift)
        for model, size, dice, distance in cells
        for seed, shift in ((1, -0.02), (2, 0.02))
    ]
    scores = pd.concat([*frames, scored("threshold", None, None, 0.65, 8.0)], ignore_index=True)
    converged = {("t", m, s, n): (m, n) != ("unetr", 2) for m, s, *_ in cells for n in (1, 2)}
    return Evidence(scores, pd.DataFrame(), converged)


def test_a_difference_is_the_second_configuration_minus_the_first() -> None:
    table = difference_table(compared(), 0.95)
    sides = table[["varied", "model_a", "patch_size_a", "model_b", "patch_size_b"]].astype(object)
    found = {
        tuple(None if pd.isna(value) else value for value in key): row
        for key, (_, row) in zip(sides.itertuples(index=False, name=None), table.iterrows(), strict=True)
    }
    expected = {
        ("patch_size", "unet", 8, "unet", 16): (0.20, -4.0, 0),
        ("model", "unet", 8, "unetr", 8): (0.10, -2.0, 1),
        ("model", "unet", 8, "threshold", None): (0.15, -1.0, 0),
        ("model", "unet", 16, "threshold", None): (-0.05, 3.0, 0),
        ("model", "unetr", 8, "threshold", None): (0.05, 1.0, 1),
    }
    assert set(found) == set(expected)  # UNet at 16 and UNETR at 8 differ in two things
    for key, (dice, distance, not_converged) in expected.items():
        row = found[key]
        assert row["dice_difference"] == pytest.approx(dice)
        assert row["hausdorff_difference"] == pytest.approx(distance)
        assert row["not_converged"] == not_converged
        for name in ("dice_difference", "hausdorff_difference"):
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_a_difference_leaves_out_the_cases_that_one_side_has_undefined_and_counts_them() -> None:
    own = compared()
    lost = (own.scores["model"] == "unetr") & (own.scores["filename"] == "d") & (own.scores["seed"] == 1)
    also = (own.scores["model"] == "unet") & (own.scores["filename"] == "a")
    scores = own.scores.assign(
        hausdorff=own.scores["hausdorff"].mask(lost | (also & (own.scores["seed"] == 2)))
    )
    table = difference_table(Evidence(scores, own.ratios, own.converged), 0.95)
    row = table[(table["model_a"] == "unet") & (table["model_b"] == "unetr")].iloc[0]
    assert (row["dice_undefined"], row["hausdorff_undefined"]) == (0, 2)
    assert row["hausdorff_difference"] == pytest.approx(-2.0)  # of b and c, both at the mean
    assert row["dice_difference"] == pytest.approx(0.10)
    nested = Evidence(scores, own.ratios, own.converged, frozenset({"t"}))
    row = difference_table(nested, 0.95).iloc[1]
    # Nothing is paired: all that is defined counts.
    means = scores[scores["patch_size"] == 8].groupby("model")["hausdorff"].mean()
    assert (row["model_a"], row["model_b"]) == ("unet", "unetr")
    assert row["hausdorff_difference"] == pytest.approx(means["unetr"] - means["unet"])
    assert row["hausdorff_difference"] != pytest.approx(-2.0)


def test_with_test_sets_of_their_own_a_difference_is_welch_s_of_the_trainings_means() -> None:
    own = compared()
    sway = own.scores["filename"].map({"a": 0.02, "b": -0.02, "c": 0.01, "d": -0.01})
    scores = own.scores.assign(dsc=own.scores["dsc"] + sway.where(own.scores["patch_size"] == 16, 0.0))
    own = Evidence(scores, own.ratios, own.converged)
    nested = Evidence(scores, own.ratios, own.converged, frozenset({"t"}))
    row = difference_table(nested, 0.9).iloc[0]
    welch = stats.ttest_ind([0.68, 0.72], [0.48, 0.52], equal_var=False).confidence_interval(0.9)
    assert (row["dice_difference_low"], row["dice_difference_high"]) == pytest.approx(tuple(welch))
    paired = difference_table(own, 0.9).iloc[0]
    assert paired["dice_difference_low"] < welch.low - 1e-4  # what varies over cases counts, too


def test_differences_keep_the_order_of_the_results() -> None:
    own = compared()
    again = own.scores[own.scores["model"] != "threshold"].assign(task="a")
    table = difference_table(Evidence(pd.concat([own.scores[::-1], again]), own.ratios, None), 0.95)
    keys = table[["task", "model_a", "model_b"]].itertuples(index=False, name=None)
    assert list(keys) == [
        ("t", "threshold", "unetr"), ("t", "threshold", "unet"), ("t", "threshold", "unet"), ("t", "unetr", "unet"),
        ("t", "unet", "unet"), ("a", "unet", "unet"), ("a", "unet", "unetr"),
    ]  # fmt: skip
    assert table["patch_size_a"].iloc[4] == 16


def bright(folder: Path, name: str, from_value: float) -> tuple[Path, Path]:
    """A ramp from 0 to 1 whose label is what is at least as bright as a value."""
    image = np.linspace(0, 1, 6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)
    files = Path("imagesTr") / f"{name}.nii.gz", Path("labelsTr") / f"{name}.nii.gz"
    for path, voxels in zip(files, (image, (image >= from_value).astype(np.uint8)), strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        nifti.write(folder / path, voxels, np.eye(4))
    return files


def test_the_threshold_is_fitted_on_the_validation_volumes_and_scored_on_the_test_volumes(
    params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Foreground begins at 0.25 in training, at 0.5 in validation and at 0.75 in test."""
    monkeypatch.chdir(params.parent)
    raw, target = Path("data/raw/spheres"), Path("data/prepared/spheres")
    settings = Prepare(split=Split(train=1, validation=1, test=1))
    cases = []
    for split, value in (("train", 0.25), ("validation", 0.5), ("test", 0.75)):
        case, image, label, _ = prepare_case(
            Source(split, split, *bright(raw, split, value)), raw, settings, {0, 1}
        )
        prepared.write_volume(target, case, image, label)
        cases.append(case)
    prepared.write_cases(target, "spheres", cases, {})
    baseline.main(["spheres"])
    table = pd.read_csv("metrics/baselines/spheres.csv").set_index("baseline")
    assert table["filename"].tolist() == ["test", "test"]
    assert table["threshold"].tolist() == pytest.approx([0.5, 0.5], abs=2e-3)
    assert table["threshold"].iloc[0] > 0.498  # the lowest of the equally good thresholds
    # A quarter of the 336 voxels is foreground, half of them is predicted, and all of them.
    assert table.loc["threshold", "dsc"] == pytest.approx(2 * 84 / (168 + 84), abs=1e-12)
    assert table.loc["everything", "dsc"] == pytest.approx(2 * 84 / (336 + 84), abs=1e-12)
    with pytest.raises(UserError, match=r"expected TASK, for example `spheres`, got \['a', 'b'\]"):
        baseline.main(["a", "b"])


def test_of_equally_good_thresholds_the_lowest_is_taken_and_of_the_mean_not_of_one_volume() -> None:
    image = np.array([0.0, 0.2, 0.4, 0.9]).reshape(1, 2, 2)
    label = np.array([0, 0, 1, 1], np.uint8).reshape(1, 2, 2)
    thresholds = np.array([0.0, 0.1, 0.3, 0.4, 0.5, 1.0])
    np.testing.assert_allclose(
        baselines.threshold_dice(image, label, thresholds), [4 / 6, 4 / 5, 1, 1, 2 / 3, 0]
    )
    assert baselines.fit_threshold([(image, label)], thresholds) == 0.3
    other = np.array([0, 0, 0, 1], np.uint8).reshape(1, 2, 2)  # alone it wants 0.5
    assert baselines.fit_threshold([(image, other)], thresholds) == 0.5
    assert baselines.fit_threshold([(image, label)] * 3 + [(image, other)], thresholds) == 0.3
    assert baselines.fit_threshold([(image, label), (image, other), (image, label * 0)], thresholds) == 0.3


def test_the_thresholds_to_try_go_from_the_darkest_voxel_to_the_brightest_of_all_volumes() -> None:
    volumes = [(np.array([-2.0, 1.0]), np.zeros(2)), (np.array([0.0, 3.0]), np.zeros(2))]
    found = baselines.candidates(volumes)
    assert (len(found), found[0], found[-1], found[500]) == (1001, -2.0, 3.0, 0.5)
    assert np.diff(found) == pytest.approx(np.full(1000, 0.005))


@pytest.mark.parametrize(("value", "expected"), [(0.49, 0), (0.5, 1), (0.51, 1)])
def test_the_mask_of_a_baseline_has_the_threshold_itself(value: float, expected: int) -> None:
    mask = baselines.predict("threshold", np.full((1, 1, 1), value), 0.5)
    assert (mask.item(), mask.dtype) == (expected, np.uint8)
    everything = baselines.predict("everything", np.full((1, 1, 2), -9.0), 0.5)
    assert (everything.tolist(), everything.dtype) == ([[[1, 1]]], np.uint8)


def test_a_number_of_json_is_whole_or_rounded_and_null_where_it_is_undefined() -> None:
    assert summary.number(float("nan")) is None
    assert summary.number(pd.NA) is None
    assert summary.number(None) is None
    for value in (3, np.int64(3)):
        assert (summary.number(value), type(summary.number(value))) == (3, int)
    assert type(summary.number(3.0)) is float
    assert summary.number(1 / 3) == round(1 / 3, DIGITS)
    assert summary.number(np.float32(0.5)) == 0.5


def test_a_row_of_the_summary_is_the_one_by_hand() -> None:
    """UNet at 8, seeds 1 and 2: case a is predicted empty by seed 1, case d has an empty label."""
    own = compared()
    rows = own.scores[(own.scores["patch_size"] == 8) & (own.scores["model"] == "unet")].reset_index(
        drop=True
    )
    empty = (rows["filename"] == "a") & (rows["seed"] == 1)
    no_label = rows["filename"] == "d"
    rows = rows.assign(
        dsc=rows["dsc"].mask(empty, 0.0).mask(no_label),
        hausdorff=rows["hausdorff"].mask(empty | no_label),
        abs_diff=[0.1, 0.2, 0.3, np.nan, 0.4, 0.5, 0.6, np.nan],
        hausdorff_mm=np.arange(8.0),
    )
    converged = {("t", "unet", 8, 1): True, ("t", "unet", 8, 2): False}
    found = Evidence(pd.concat([rows, own.scores[own.scores["model"] == "threshold"]]), own.ratios, converged)
    network, threshold = summary.summarise(found, 0.95).to_dict("records")
    # Dice by hand: seed 1: 0, 0.47, 0.49; seed 2: 0.49, 0.51, 0.53
    expected = {
        "task": "t", "model": "unet", "patch_size": 8, "seeds": 2, "not_converged": 1, "cases": 4, "scores": 8,
        "undefined_dice": 2, "undefined_hausdorff": 3, "empty_predictions": 1, "abs_diff_mean": 0.35,
        "hausdorff_mm_mean": 3.5, "dice_mean": (0.47 + 0.49 + 0.49 + 0.51 + 0.53) / 6,
        "dice_sd_seeds": np.std([0.96 / 3, 1.53 / 3], ddof=1), "dice_sd_cases": np.std([0.245, 0.49, 0.51], ddof=1),
        "hausdorff_mean": (8.8 + 8.8 + 8.2 + 9.2 + 9.2) / 5,
    }  # fmt: skip
    assert {name: network[name] for name in expected} == pytest.approx(expected)
    assert "surface_dice_mean" not in network
    alone = {
        name: threshold[name] for name in ("model", "patch_size", "seeds", "not_converged", "cases", "scores")
    }
    assert alone == {
        "model": "threshold", "patch_size": "all", "seeds": 0, "not_converged": 0, "cases": 4, "scores": 4,
    }  # fmt: skip
    nested = Evidence(found.scores, found.ratios, converged, frozenset({"t"}))
    assert [row["cases"] for row in summary.summarise(nested, 0.95).to_dict("records")] == [8, 4]
    unknown = Evidence(found.scores, found.ratios, None)
    assert summary.summarise(unknown, 0.95)["not_converged"].isna().all()


def test_the_headline_is_the_dice_at_every_patch_and_no_baseline() -> None:
    table = summary.summarise(compared(), 0.95).iloc[::-1]
    assert summary.headline(table) == {
        "t": {"cells_not_converged": 1, "unetr": {"dice_8": 0.6}, "unet": {"dice_8": 0.5, "dice_16": 0.7}},
    }
    tree = summary.tree_of(table)
    assert {model: list(sizes) for model, sizes in tree["t"].items()} == {
        "threshold": ["all"], "unetr": ["8"], "unet": ["16", "8"],
    }  # fmt: skip
    assert "model" not in tree["t"]["unet"]["8"]
    assert tree["t"]["threshold"]["all"]["dice_sd_seeds"] is None


def test_the_threshold_of_a_task_is_the_one_that_its_rows_name() -> None:
    table = pd.DataFrame({"task": ["b", "b", "a"], "threshold": [0.5, 0.5, 0.25]})
    assert summary.thresholds(table) == {"a": 0.25, "b": 0.5}


def test_evidence_is_of_the_networks_and_of_the_baselines_which_are_not_trained(tables: Path) -> None:
    results = read_results(CELLS)
    own = evidence()
    assert len(own.scores) == 16 + 4
    assert len(own.cells) == 16
    assert not {"padded", "window"} & {*own.scores.columns}
    assert "threshold" not in own.scores.columns
    without = own.scores[own.scores["seed"].isna()]
    assert without["model"].tolist() == ["everything"] * 2 + ["threshold"] * 2
    assert without["patch_size"].isna().all()
    assert own.scores.index.tolist() == list(range(20))
    assert (str(own.scores["seed"].dtype), str(own.scores["patch_size"].dtype)) == ("Int64", "Int64")
    pd.testing.assert_frame_equal(own.ratios, results.foreground_ratios)
    failed = ("spheres", "unetr", 8, 2)
    assert own.converged is not None
    assert own.converged[failed] is False
    assert own.not_converged(own.scores) == 2
    assert own.not_converged(own.scores[own.scores["model"] == "unet"]) == 0
    sound = own.converged_rows(own.scores)
    assert len(sound) == 20 - 2 * 2
    keys = sound[["model", "seed"]].drop_duplicates().itertuples(index=False, name=None)
    assert ("unetr", 2) not in set(keys)
    unknown = Evidence(own.scores, own.ratios, None)
    assert unknown.converged_rows(own.scores) is own.scores
    assert unknown.not_converged(own.scores) is None
    assert [is_baseline(name) for name in ("everything", "threshold", "unet")] == [True, True, False]


def test_every_number_of_a_cell_s_row_is_the_one_by_hand(tables: Path) -> None:
    """Case a of Dice 0.36 and distance 2, case b predicted empty; then one missed, one with an empty label."""
    first = {
        "cases": 2, "dice": 0.18, "hausdorff_voxels": 2.0, "abs_diff": 0.75, "undefined_dice": 0,
        "undefined_hausdorff": 1, "empty_predictions": 1, "hausdorff_mm": 4.0, "hd95_mm": 2.0, "surface_dice": 0.18,
        "volume_difference_ml": -0.125, "padded_cases": 1, "epochs": 4, "training_ratio_mean": 0.25,
        "training_ratio_min": 0.0, "training_ratio_max": 0.5, "training_ratio_zero_share": 0.25,
    }  # fmt: skip
    row = summary.cell_table(read_results(CELLS), SETTINGS).iloc[3]
    assert {name: float(row[name]) for name in first} == pytest.approx(first)
    CELLS[3].scores.write_text(score_table("a,0.0,9,1.5,0.1", "b,,,,0.0"))
    table = summary.cell_table(read_results(CELLS), SETTINGS)
    second = {
        "cases": 2, "dice": 0.0, "hausdorff_voxels": 9.0, "abs_diff": 1.5, "undefined_dice": 1,
        "undefined_hausdorff": 1, "empty_predictions": 0, "padded_cases": 0,
    }  # fmt: skip
    assert {name: float(table.iloc[3][name]) for name in second} == pytest.approx(second)
    assert np.isnan(table.iloc[3]["hausdorff_mm"])
    assert table["undefined_dice"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    shuffled = read_results(CELLS[::-1])
    keys = summary.cell_table(shuffled, SETTINGS)[["model", "patch_size", "seed"]].itertuples(
        index=False, name=None
    )
    assert list(keys) == [(c.model, c.patch_size, c.seed) for c in CELLS[::-1]]
    of_cells = summary.convergence(summary.cell_table(shuffled, SETTINGS))
    assert list(of_cells) == [("spheres", c.model, c.patch_size, c.seed) for c in CELLS[::-1]]
    assert list(of_cells.values()) == [c.model != "unetr" or c.seed != 2 for c in CELLS[::-1]]


def test_published_tables_without_our_columns_have_rows_of_theirs_alone(tables: Path) -> None:
    results = read_results(CELLS)
    published = Results(
        results.history, results.foreground_ratios,
        results.scores[[*results.scores.columns[:4], *SCORES]], results.baselines,
    )  # fmt: skip
    table = summary.cell_table(published, SETTINGS)
    assert not {"padded_cases", "hausdorff_mm", "surface_dice"} & set(table.columns)
    assert "dsc" not in summary.cell_table(results, SETTINGS).columns


def test_a_mean_with_test_sets_of_their_own_has_the_interval_of_the_trainings_means() -> None:
    own = compared()
    rows = summary.summarise(Evidence(own.scores, own.ratios, None, frozenset({"t"})), 0.9).iloc[0]
    for name, means in (("dice_mean", [0.48, 0.52]), ("hausdorff_mean", [8.8, 9.2])):
        limits = stats.t.interval(0.9, 1, np.mean(means), stats.sem(means))
        assert (rows[f"{name}_low"], rows[f"{name}_high"]) == pytest.approx(limits)
    paired = summary.summarise(own, 0.9).iloc[0]
    assert paired["dice_mean_low"] < rows["dice_mean_low"]
    assert paired["hausdorff_mean_low"] < rows["hausdorff_mean_low"]


def test_a_validation_counts_where_its_epoch_has_no_loss_and_none_at_all_is_no_convergence(
    tables: Path,
) -> None:
    """All steps of an epoch may have been skipped."""
    CELLS[3].history.write_text(
        "epoch,learning_rate,loss,validation_dice\n1,0.1,0.9,0.8\n2,0.1,0.5,0.9\n3,0.1,,0.95\n"
    )
    row = summary.cell_table(read_results(CELLS), SETTINGS).iloc[3]
    assert (row["best_validation_dice"], row["last_validation_change"]) == pytest.approx((0.95, 0.05))
    for cell in CELLS:
        cell.history.write_text("epoch,learning_rate,loss,validation_dice\n1,0.1,0.9,0.8\n")
    table = summary.cell_table(read_results(CELLS), SETTINGS)
    assert table["converged"].tolist() == [False] * 8
    assert table["last_validation_change"].isna().all()
