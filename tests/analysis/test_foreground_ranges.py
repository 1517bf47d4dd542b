"""Test cases within, below and above the training patches' range, on tables small enough to check by hand."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_tables import PUBLISHED, needs_published

from context_fbr.analysis import foreground_ranges
from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr_tools.exchange.published.results import read_published


def evidence(ratios: tuple[float, ...] = (0.1, 0.5), nested: bool = False) -> Evidence:
    """Two seeds; cases a to e with foreground ratios below, at the low end, within, at the high end, above."""
    rows = [
        ("t", "unet", 16, seed, name, dice + 0.1 * seed, distance, 0.1, ratio)
        for seed in (0, 1)
        for name, dice, distance, ratio in (
            ("a", 0.1, None, 0.01), ("b", 0.2, 9.0, 0.1), ("c", 0.8, 1.0, 0.3), ("d", 0.6, 2.0, 0.5),
            ("e", 0.5, 4.0, 0.6),
        )
    ]  # fmt: skip
    columns = [*CELL_COLUMNS, "filename", "dsc", "hausdorff", "abs_diff", "fg_ratio"]
    patches = pd.DataFrame(
        [("t", "unet", 16, seed, ratio) for seed in (0, 1) for ratio in ratios],
        columns=[*CELL_COLUMNS, "foreground_ratio"],
    )
    return Evidence(
        pd.DataFrame(rows, columns=columns),
        patches,
        {("t", "unet", 16, 0): True, ("t", "unet", 16, 1): False},
        frozenset({"t"}) if nested else frozenset(),
    )


def test_only_what_is_strictly_inside_is_within() -> None:
    rows = foreground_ranges.assign_range_group(evidence()).drop_duplicates("filename")
    assert dict(zip(rows["filename"], rows["group"], strict=True)) == {
        "a": "below", "b": "below", "c": "within", "d": "above", "e": "above",
    }  # fmt: skip


def test_a_cell_s_row_is_the_mean_and_population_deviation_of_its_cases_and_the_loss_from_within() -> None:
    table = foreground_ranges.cell_ranges(evidence()).set_index(["seed", "group"])
    outside = np.array([0.1, 0.2, 0.6, 0.5])
    assert table.loc[(0, "outside"), "n"] == 4
    assert table.loc[(0, "outside"), "dice_mean"] == pytest.approx(outside.mean())
    assert table.loc[(0, "outside"), "dice_sd"] == pytest.approx(outside.std())
    assert table.loc[(0, "outside"), "dice_loss"] == pytest.approx(0.8 - outside.mean())
    assert table.loc[(0, "below"), "hausdorff_mean"] == 9  # of the one distance that is defined
    assert table.loc[(0, "below"), "hausdorff_loss"] == 8  # a greater distance is a loss
    assert np.isnan(table.loc[(0, "within"), "dice_loss"])


def test_the_published_table_pools_the_cases_of_all_runs() -> None:
    table = foreground_ranges.published_ranges(evidence())
    assert list(table.columns) == [
        "task", "model", "patch_size", "group", "n", "dice_mean", "dice_sd", "hausdorff_mean", "hausdorff_sd",
    ]  # fmt: skip
    row = table.set_index("group").loc["above"]
    above = np.array([0.6, 0.5, 0.7, 0.6])
    assert row["n"] == 4
    assert row["dice_mean"] == pytest.approx(above.mean())
    assert row["dice_sd"] == pytest.approx(above.std())


@pytest.mark.parametrize("nested", [False, True])
def test_an_empty_group_has_no_cases_and_empty_fields(nested: bool) -> None:
    """Warnings are errors here: a mean of nothing would be one."""
    found = evidence((0.0, 1.0), nested)
    for table in (
        foreground_ranges.published_ranges(found),
        foreground_ranges.cell_ranges(found),
        foreground_ranges.range_intervals(found, 0.95),
    ):
        empty = table[table["group"] != "within"]
        assert (empty["n"] == 0).all()
        numbers = [c for c in table.columns if c.startswith(("dice", "hausdorff"))]
        assert empty[numbers].isna().all(axis=None)
        line = table.to_csv(index=False, lineterminator="\n").splitlines()[2]
        assert "nan" not in line.lower()
        assert line.endswith(",,")


def test_intervals_keep_deviations_over_seeds_and_cases_apart_and_count_what_did_not_converge() -> None:
    row = foreground_ranges.range_intervals(evidence(), 0.95).set_index("group").loc["above"]
    assert (row["cases"], row["n"], row["not_converged"]) == (2, 4, 1)
    assert row["dice_sd_seeds"] == pytest.approx(np.std([0.55, 0.65], ddof=1))
    assert row["dice_sd_cases"] == pytest.approx(np.std([0.65, 0.55], ddof=1))
    assert row["dice_loss"] == pytest.approx(0.85 - 0.6)


def test_a_baseline_is_in_every_range_of_its_task() -> None:
    own = evidence()
    extra = own.scores[own.scores["seed"] == 0].assign(model="threshold", patch_size=pd.NA, seed=pd.NA)
    larger = own.scores.assign(patch_size=32)
    wide = own.ratios.assign(patch_size=32, foreground_ratio=[0.0, 1.0, 0.0, 1.0])
    both = Evidence(
        pd.concat([f.astype({"patch_size": "Int64", "seed": "Int64"}) for f in (own.scores, larger, extra)]),
        pd.concat([own.ratios, wide]),
        None,
    )
    rows = foreground_ranges.assign_range_group(both)
    counts = rows[rows["model"] == "threshold"].groupby(["patch_size", "group"]).size()
    assert counts.to_dict() == {(16, "above"): 2, (16, "below"): 2, (16, "within"): 1, (32, "within"): 5}


def cells_with_ranges_of_their_own() -> Evidence:
    """Seed 0 trained on ratios from 0.1 to 0.5, seed 1 on ratios from 0.05 to 0.2."""
    own = evidence()
    return Evidence(
        own.scores, own.ratios.assign(foreground_ratio=[0.1, 0.5, 0.05, 0.2]), own.converged, own.nested
    )


def test_a_cell_is_grouped_by_the_patches_that_it_trained_on_itself() -> None:
    table = foreground_ranges.cell_ranges(cells_with_ranges_of_their_own()).set_index(["seed", "group"])["n"]
    assert {key: table[key] for key in table.index} == {
        (0, "within"): 1, (0, "below"): 2, (0, "above"): 2, (0, "outside"): 4,
        (1, "within"): 1, (1, "below"): 1, (1, "above"): 3, (1, "outside"): 4,
    }  # fmt: skip


def test_where_the_seed_of_the_patches_is_not_known_all_cells_of_a_size_have_one_range() -> None:
    own = cells_with_ranges_of_their_own()
    unknown = Evidence(own.scores, own.ratios.assign(seed=np.nan), own.converged, own.nested)
    partly = Evidence(own.scores, own.ratios.assign(seed=[0, 0, np.nan, np.nan]), own.converged, own.nested)
    for found in (unknown, partly):
        table = foreground_ranges.cell_ranges(found).set_index(["seed", "group"])["n"]
        for seed in (0, 1):  # from 0.05 to 0.5
            assert [table[(seed, g)] for g in ("within", "below", "above", "outside")] == [2, 1, 2, 3]


def test_a_configuration_s_range_is_that_of_the_patches_of_all_its_seeds() -> None:
    low_high = foreground_ranges.training_ranges(cells_with_ranges_of_their_own().ratios, CELL_COLUMNS)
    assert low_high[["seed", "low", "high"]].to_numpy().tolist() == [[0, 0.1, 0.5], [1, 0.05, 0.2]]
    low_high = foreground_ranges.training_ranges(cells_with_ranges_of_their_own().ratios, CELL_COLUMNS[:3])
    assert low_high[["low", "high"]].to_numpy().tolist() == [[0.05, 0.5]]
    rows = foreground_ranges.assign_range_group(cells_with_ranges_of_their_own())
    assert rows.groupby("group")["filename"].agg(set).to_dict() == {
        "below": {"a"}, "within": {"b", "c"}, "above": {"d", "e"},
    }  # fmt: skip


def test_every_number_of_a_row_of_losses_is_the_one_by_hand() -> None:
    """Dice of a to e 0.1, 0.2 | 0.8 | 0.6, 0.5, and 0.1 more in seed 1; distances -, 9 | 1 | 2, 4."""
    table = foreground_ranges.range_intervals(evidence(), 0.95).set_index("group")
    by_hand = {
        # cases, n, undefined, mean Dice, mean distance, loss of Dice, loss of distance
        "within": (1, 2, 0, 0.85, 1.0, np.nan, np.nan),
        "below": (2, 4, 2, 0.20, 9.0, 0.65, 8.0),
        "above": (2, 4, 0, 0.60, 3.0, 0.25, 2.0),
        "outside": (4, 8, 2, 0.40, 5.0, 0.45, 4.0),
    }
    names = [
        "cases",
        "n",
        "undefined_hausdorff",
        "dice_mean",
        "hausdorff_mean",
        "dice_loss",
        "hausdorff_loss",
    ]
    for group, expected in by_hand.items():
        assert table.loc[group, names].astype(float).to_list() == pytest.approx(expected, nan_ok=True), group
    assert table.index.tolist() == list(by_hand)
    assert table["not_converged"].tolist() == [1] * 4
    nested = foreground_ranges.range_intervals(evidence(nested=True), 0.95).set_index("group")
    assert nested["cases"].to_dict() == {"within": 2, "below": 4, "above": 4, "outside": 8}
    assert nested["dice_loss"].to_dict() == pytest.approx(table["dice_loss"].to_dict(), nan_ok=True)


def test_a_row_of_a_cell_or_of_the_published_table_is_the_one_by_hand() -> None:
    columns = ["n", "dice_mean", "dice_sd", "hausdorff_mean", "hausdorff_sd"]
    cells = foreground_ranges.cell_ranges(evidence()).set_index(["seed", "group"])
    by_hand = {
        (0, "within"): (1, 0.8, 0.0, 1.0, 0.0, 0, np.nan, np.nan),
        (0, "below"): (2, 0.15, 0.05, 9.0, 0.0, 1, 0.65, 8.0),
        (1, "above"): (2, 0.65, 0.05, 3.0, 1.0, 0, 0.25, 2.0),
        (1, "outside"): (4, 0.45, np.std([0.2, 0.3, 0.7, 0.6]), 5.0, np.std([9, 2, 4]), 1, 0.45, 4.0),
    }
    more = ["undefined_hausdorff", "dice_loss", "hausdorff_loss"]
    for key, expected in by_hand.items():
        found = cells.loc[key, [*columns, *more]].astype(float).to_list()
        assert found == pytest.approx(expected, nan_ok=True), key
    pooled = foreground_ranges.published_ranges(evidence()).set_index("group")
    assert pooled.loc["outside", columns].astype(float).to_list() == pytest.approx(
        [8, 0.4, np.std([0.1, 0.2, 0.6, 0.5, 0.2, 0.3, 0.7, 0.6]), 5.0, np.std([9, 2, 4])]
    )


def test_a_mean_has_its_interval_and_its_deviations_over_seeds_and_cases() -> None:
    """Two seeds with a test set of their own for each: its cases are four different ones."""
    rows = evidence().scores.query("filename in ['d', 'e']")
    crossed = foreground_ranges.score_columns("dice", rows, 0.95, nested=False)
    nested = foreground_ranges.score_columns("dice", rows, 0.95, nested=True)
    assert crossed["dice_mean"] == nested["dice_mean"] == pytest.approx(0.6)
    assert crossed["dice_sd_seeds"] == nested["dice_sd_seeds"] == pytest.approx(np.std([0.55, 0.65], ddof=1))
    assert crossed["dice_sd_cases"] == pytest.approx(np.std([0.65, 0.55], ddof=1))
    assert nested["dice_sd_cases"] == pytest.approx(np.std([0.6, 0.5, 0.7, 0.6], ddof=1))
    # Two seeds leave one degree of freedom: 12.7 standard errors of 0.05, clipped to what a Dice can be.
    assert (nested["dice_mean_low"], nested["dice_mean_high"]) == (0.0, 1.0)
    distances = foreground_ranges.score_columns("hausdorff", rows, 0.5, nested=False)
    assert (
        distances["hausdorff_mean_low"] < distances["hausdorff_mean"] == 3 < distances["hausdorff_mean_high"]
    )
    single = foreground_ranges.score_columns("dice", rows.iloc[:1], 0.95, nested=False)
    assert single["dice_mean"] == 0.6
    assert np.isnan(
        [single[f"dice_{name}"] for name in ("sd_seeds", "sd_cases", "mean_low", "mean_high")]
    ).all()


def test_with_a_test_set_for_each_seed_cases_add_nothing_to_an_interval() -> None:
    """Distances are the same in both seeds, and what a seed adds to all Dice cancels in a loss: no width is left."""
    nested = foreground_ranges.range_intervals(evidence(nested=True), 0.95).set_index("group")
    paired = foreground_ranges.range_intervals(evidence(), 0.95).set_index("group")
    for name in ("hausdorff_mean", "hausdorff_loss", "dice_loss"):
        row = nested.loc["above"]
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((row[name], row[name]), abs=1e-9)
    assert paired.loc["above", "hausdorff_mean_low"] < paired.loc["above", "hausdorff_mean"]
    assert np.isnan(paired.loc["above", "dice_loss_low"])  # a single case is within


def test_tables_keep_the_order_of_the_results() -> None:
    own = evidence()
    parts = [("unetr", 32), ("unetr", 16), ("attention_unet", 32), ("attention_unet", 16)]
    scores, ratios = (
        pd.concat([f.assign(model=m, patch_size=s)[::-1] for m, s in parts], ignore_index=True)
        for f in (own.scores, own.ratios)
    )
    both = Evidence(scores, ratios, None)
    for table in (
        foreground_ranges.cell_ranges(both),
        foreground_ranges.published_ranges(both),
        foreground_ranges.range_intervals(both, 0.95),
    ):
        found = table[["model", "patch_size"]].drop_duplicates().itertuples(index=False, name=None)
        assert list(found) == parts
        assert table["group"].tolist()[:4] == ["within", "below", "above", "outside"]
    assert foreground_ranges.cell_ranges(both)["seed"].unique().tolist() == [1, 0]
    assert [
        tuple(k)
        for k in foreground_ranges.training_ranges(ratios, CELL_COLUMNS[1:3])[
            ["model", "patch_size"]
        ].to_numpy()
    ] == parts


def test_a_table_without_rows_has_its_columns() -> None:
    own = evidence()
    found = Evidence(own.scores, own.ratios.iloc[:0], None)
    table = foreground_ranges.published_ranges(found)
    assert len(table) == 0
    assert table.columns.tolist() == foreground_ranges.published_ranges(own).columns.tolist()


@needs_published
def test_the_published_figures_come_out_to_the_last_digit(tmp_path: Path) -> None:
    """Of UNet on spheres, of which the publication prints them; other folders may lie next to it."""
    shutil.copytree(PUBLISHED / "synthetic-unet", tmp_path / "synthetic-unet")
    found = read_published(tmp_path)
    assert found.problems == ()
    table = foreground_ranges.published_ranges(found.evidence).set_index(["patch_size", "group"])
    within = {
        32: (0.981581, 0.024007),
        48: (0.986259, 0.016030),
        64: (0.994428, 0.001615),
        80: (0.994360, 0.001041),
        96: (0.993740, 0.000942),
    }
    for size, (mean, deviation) in within.items():
        assert round(table.loc[(size, "within"), "dice_mean"], 6) == mean
        assert round(table.loc[(size, "within"), "dice_sd"], 6) == deviation
    for size, loss in {64: 0.023469, 80: 0.013926, 96: 0.017880}.items():
        row = table.loc[(size, "within"), "dice_mean"] - table.loc[(size, "outside"), "dice_mean"]
        assert round(row, 6) == loss
    intervals = foreground_ranges.range_intervals(found.evidence, 0.95).set_index(["patch_size", "group"])
    assert round(intervals.loc[(96, "outside"), "dice_loss"], 6) == 0.017880
    assert [table.loc[(size, "outside"), "n"] for size in (32, 48)] == [0, 0]
    assert table.loc[(96, "within"), "n"] == 51
    assert table.loc[96, "n"][["within", "outside"]].sum() == 300
