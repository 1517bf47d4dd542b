"""From cells' tables to summary, headline and figures, on numbers small enough to check by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from context_fbr import analyze, figures, summary
from context_fbr.baseline import fit_threshold, threshold_dice
from context_fbr.cells import Cell
from context_fbr.errors import UserError
from context_fbr.results import Results, read_results
from context_fbr.scoring import score

CELLS = [
    Cell("spheres", model, size, seed) for model in ("unet", "unetr") for size in (8, 16) for seed in (1, 2)
]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of eight cells: Dice 0.1 x seed + patch size / 100 for case a; case b is predicted empty."""
    monkeypatch.chdir(tmp_path)
    for folder in ("train", "test", "foreground_ratios", "baselines"):
        (tmp_path / "metrics" / folder).mkdir(parents=True)
    for cell in CELLS:
        change = 0.05 if cell.seed == 2 and cell.model == "unetr" else 0.001
        cell.history.write_text(
            "epoch,learning_rate,loss,validation_dice\n"
            f"1,0.1,0.9,\n2,0.1,0.5,0.7\n3,0.1,0.5,\n4,0.1,0.4,{0.7 + change}\n"
        )
        cell.foreground_ratios.write_text(
            "epoch,case,foreground_ratio\n1,c,0.0\n1,c,0.5\n2,c,0.25\n2,c,0.25\n"
        )
        dice = 0.1 * cell.seed + cell.patch_size / 100
        cell.scores.write_text(
            f"filename,dsc,hausdorff,abs_diff,fg_ratio\na,{dice},{cell.seed},0.5,0.1\nb,0.0,,1.0,0.01\n"
        )
    Path("metrics/baselines/spheres.csv").write_text(
        "filename,everything_dsc,threshold_dsc,threshold\na,0.2,0.9,0.99\nb,0.1,1.0,0.99\n"
    )
    return tmp_path


def test_the_summary_is_the_mean_over_seeds_of_cells_and_counts_what_is_undefined(tables: Path) -> None:
    cells = summary.cell_table(read_results(CELLS), convergence_tolerance=0.02)
    tree = summary.nested(summary.summarise(cells))
    leaf = tree["spheres"]["unet"]["16"]
    assert leaf["dice"] == pytest.approx(
        ((0.26 + 0) / 2 + (0.36 + 0) / 2) / 2
    )  # an empty prediction counts as 0
    assert leaf["hausdorff_voxels"] == 1.5  # ... and has no distance to average
    assert (leaf["cases"], leaf["seeds"]) == (4, 2)
    assert (leaf["empty_predictions"], leaf["undefined_hausdorff"], leaf["not_converged"]) == (2, 2, 0)
    assert tree["spheres"]["unetr"]["8"]["not_converged"] == 1
    assert summary.headline(summary.summarise(cells))["spheres"]["unet"] == {
        "dice_8": 0.115,
        "dice_16": 0.155,
    }


def test_a_miss_and_an_empty_label_are_no_empty_predictions(tables: Path) -> None:
    for cell in CELLS:
        cell.scores.write_text(
            "filename,dsc,hausdorff,abs_diff,fg_ratio\n"
            "empty prediction,0.0,,1.0,0.1\nbeside the label,0.0,9,1.5,0.1\nempty label,,,,0.0\n"
        )
    leaf = summary.nested(summary.summarise(summary.cell_table(read_results(CELLS), 0.02)))["spheres"][
        "unet"
    ]["8"]
    assert (leaf["empty_predictions"], leaf["undefined_dice"], leaf["undefined_hausdorff"]) == (2, 2, 4)
    assert (leaf["dice"], leaf["hausdorff_voxels"], leaf["abs_diff"]) == (0.0, 9.0, 1.25)


def test_a_cell_s_row_tells_how_it_trained(tables: Path) -> None:
    cells = summary.cell_table(read_results(CELLS), convergence_tolerance=0.02)
    row = cells.query("model == 'unetr' and patch_size == 8 and seed == 2").iloc[0]
    assert row["best_validation_dice"] == 0.75
    assert row["last_validation_change"] == pytest.approx(0.05)
    assert not row["converged"]
    assert (row["epochs"], row["training_ratio_zero_share"], row["training_ratio_max"]) == (4, 0.25, 0.5)


def test_the_stage_writes_valid_json_csv_and_the_same_png_bytes_twice(tables: Path) -> None:
    results = read_results(CELLS)
    analyze.write(results, 0.02)
    names = sorted(
        str(p.relative_to(tables))
        for p in tables.rglob("*")
        if p.is_file() and p.parent.name in ("metrics", "plots")
    )
    content = {name: Path(name).read_bytes() for name in names}
    analyze.write(read_results(CELLS), 0.02)
    assert {name: Path(name).read_bytes() for name in names} == content
    for name in names:
        if name.endswith(".json"):
            json.loads(content[name], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        if name.endswith(".png"):
            assert content[name].startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv("metrics/cases.csv"), results.scores)


def test_a_group_without_any_defined_distance_is_null_not_nan(tables: Path) -> None:
    for cell in CELLS:
        cell.scores.write_text("filename,dsc,hausdorff,abs_diff,fg_ratio\na,0.0,,1.0,0.1\n")
    analyze.write(read_results(CELLS), 0.02)
    tree = json.loads(Path("metrics/summary.json").read_text())
    assert tree["spheres"]["unet"]["8"]["hausdorff_voxels"] is None
    assert tree["spheres"]["unet"]["8"]["dice"] == 0


def test_names_are_text_whatever_they_look_like_and_numbers_keep_their_last_bit(tables: Path) -> None:
    for cell in CELLS:
        cell.scores.write_text(
            "filename,dsc,hausdorff,abs_diff,fg_ratio\n001,0.1234567890123456789,,1.0,0.1\n002,0.3,1,1,0.1\n"
        )
    CELLS[1].scores.write_text("filename,dsc,hausdorff,abs_diff,fg_ratio\nNA,0.3,1,1,0.1\n")
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
        ("filename,dsc,hausdorff,abs_diff,fg_ratio\n", "holds no rows"),
        ("filename,dsc,hausdorff,abs_diff,fg_ratio\na,high,1,1,1\n", "is damaged"),
        ('filename,dsc,hausdorff,abs_diff,fg_ratio\n"a,1,1\n', "is damaged"),
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
    ratios = read_results(CELLS).foreground_ratios
    histogram = figures.ratio_histogram(ratios, bins=4)
    assert histogram.groupby("patch_size")["share"].sum().tolist() == [1.0, 1.0]
    first = histogram[histogram["patch_size"] == 8]
    assert first["share"].tolist() == [0.25, 0.5, 0.25, 0.0]


def test_the_threshold_s_dice_is_that_of_the_mask_it_makes() -> None:
    generator = np.random.default_rng(2)
    image = generator.random((9, 8, 7), dtype=np.float32)
    label = (generator.random(image.shape) < 0.3).astype(np.uint8)
    thresholds = np.linspace(0, 1, 21)
    expected = [score(image >= threshold, label).dice for threshold in thresholds]
    np.testing.assert_allclose(threshold_dice(image, label, thresholds), expected, atol=1e-12)
    assert fit_threshold([(image, label)], thresholds) == thresholds[np.argmax(expected)]
    with pytest.raises(UserError, match="no training volume has foreground"):
        fit_threshold([(image, label * 0)], thresholds)


def test_results_hold_all_tables(tables: Path) -> None:
    results: Results = read_results(CELLS)
    assert (len(results.history), len(results.scores), len(results.baselines)) == (32, 16, 2)
