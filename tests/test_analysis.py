"""From cells' tables to summary, headline and figures, on numbers small enough to check by hand."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import CELLS, SETTINGS, score_table

from context_fbr import analyze, baselines, summary
from context_fbr.errors import UserError
from context_fbr.evidence import Evidence, from_results
from context_fbr.figures.foreground import ratio_histogram
from context_fbr.results import Results, read_results
from context_fbr.score_columns import SCORES, score_row
from context_fbr.scoring import score


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
    assert headline["spheres"]["unet"] == {"dice_8": 0.115, "dice_16": 0.155}
    assert headline["cells_not_converged"] == means["not_converged"].sum() > 0


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


def test_the_stage_writes_valid_json_csv_and_the_same_png_bytes_twice(tables: Path) -> None:
    results = read_results(CELLS)
    analyze.write(results, SETTINGS)
    names = sorted(
        str(p.relative_to(tables))
        for p in tables.rglob("*")
        if p.is_file() and p.parent.name in ("metrics", "plots")
    )
    content = {name: Path(name).read_bytes() for name in names}
    analyze.write(read_results(CELLS), SETTINGS)
    assert {name: Path(name).read_bytes() for name in names} == content
    for name in names:
        if name.endswith(".json"):
            json.loads(content[name], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        if name.endswith(".png"):
            assert content[name].startswith(b"\x89PNG")
    scores = pd.read_csv("metrics/cases.csv")
    trained = scores[scores["seed"].notna()].astype({"patch_size": "int64", "seed": "int64"})
    pd.testing.assert_frame_equal(trained, results.scores.drop(columns="padded"))
    assert scores.loc[scores["seed"].isna(), "model"].unique().tolist() == ["everything", "threshold"]


def test_a_cell_that_stopped_moving_at_a_low_dice_has_not_converged(tables: Path) -> None:
    strict = SETTINGS.model_copy(update={"minimum_validation_dice": 0.72})
    cells = summary.cell_table(read_results(CELLS), strict)
    assert cells["last_validation_change"].min() == pytest.approx(0.001)
    assert not cells["converged"].any()  # 0.701 is too low; 0.75 moved too much
    assert summary.cell_table(read_results(CELLS), SETTINGS)["converged"].sum() == 6


def test_a_group_without_any_defined_distance_is_null_not_nan(tables: Path) -> None:
    for cell in CELLS:
        cell.scores.write_text(score_table("a,0.0,,1.0,0.1"))
    analyze.write(read_results(CELLS), SETTINGS)
    tree = json.loads(Path("metrics/summary.json").read_text())
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

    def scored(mask: np.ndarray, case: tuple[str, np.ndarray]) -> tuple[object, ...]:
        name, label = case
        return score_row(name, score(mask, label), label.mean())

    table = baselines.evaluate(((image, (name, label)) for name, image, label in cases), 0.7, SCORES, scored)
    frame = pd.read_csv(StringIO(table))
    assert frame["baseline"].tolist() == ["everything"] * 2 + ["threshold"] * 2
    for row, (name, image, label) in zip(frame.itertuples(), cases * 2, strict=True):
        mask = np.ones_like(label) if row.baseline == "everything" else image >= 0.7
        expected = score(mask, label)
        assert (row.filename, row.dsc, row.hausdorff, row.abs_diff) == (
            name, expected.dice, expected.hausdorff_voxels, expected.absolute_difference,
        )  # fmt: skip
        assert row.fg_ratio == label.mean()
