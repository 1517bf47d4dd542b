"""Tables of context against brute force over the rows that were made."""

import numpy as np
import pandas as pd
import pytest
from made_twins import CORES, GROUPS, TWINS, observed, study

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.tables.context import context_table
from context_fbr.analysis.tables.context_parts import parts_table
from context_fbr.analysis.tables.core_cells import core_cells
from context_fbr.analysis.tables.variants import variant_table

MADE = study()
SCORES = MADE.evidence.scores
CELLS = core_cells(SCORES, CORES)
WINDOWS = sorted({(patch, core) for _, patch, core in TWINS})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return context_table(CELLS.query("task == 'twins'"), observed(WINDOWS), GROUPS, 0.95)


def test_a_core_is_the_patch_unless_the_model_has_one_and_belongs_to_the_network_with_the_whole_patch() -> (
    None
):
    found = CELLS.groupby(["task", "model", "patch_size"])[["network", "core"]].first()
    assert len(CELLS) == len(SCORES)
    for (task, model, patch), row in found.iterrows():
        own = [(whole, edge) for whole, cored, edge in CORES if cored == model]
        assert tuple(row) == (own[0] if own else (model, patch)), task


def test_baselines_have_no_core_and_a_core_that_is_the_whole_patch_does_not_count_twice() -> None:
    again = SCORES.query("model == 'unet' and patch_size == 16").assign(model="unet_core16", dsc=0.0)
    baseline = SCORES.head(3).assign(model="threshold", patch_size=pd.NA, seed=pd.NA)
    more = pd.concat([SCORES, again, baseline], ignore_index=True)
    pd.testing.assert_frame_equal(core_cells(more, CORES), CELLS, check_dtype=False)
    alone = core_cells(again, CORES)
    assert set(zip(alone["network"], alone["core"], strict=True)) == {("unet", 16)}


def test_each_row_of_the_context_table_is_a_mean_of_its_rows(table: pd.DataFrame) -> None:
    assert len(table) == len(TWINS) * (len(GROUPS) + 1)
    best = observed(WINDOWS)
    for row in table.itertuples():
        own = SCORES[
            (SCORES["task"] == "twins") & (SCORES["model"] == row.model) & (SCORES["patch_size"] == row.patch_size)
        ]  # fmt: skip
        if row.distance != "all":
            low, high = map(int, row.distance.split("-"))
            own = own[[low <= d <= high for d in own["design"]]]
        apart = own["recall"] - own["distractor_recall"]
        assert (row.seeds, row.cases) == (3, own["filename"].nunique())
        assert row.dice == pytest.approx(own["dsc"].mean())
        assert (row.hit, row.false) == pytest.approx((own["recall"].mean(), own["distractor_recall"].mean()))
        assert row.hit_minus_false == pytest.approx(apart.mean())
        ideal = best[(best["patch_size"] == row.patch_size) & (best["core"] == row.core)]
        ideal = ideal[ideal["filename"].isin(own["filename"])]
        assert row.observer_dice == pytest.approx(ideal["dice"].mean())
        assert row.observer_hit_minus_false == pytest.approx((ideal["hit"] - ideal["false"]).mean())
        assert row.unused_context == pytest.approx(row.observer_hit_minus_false - row.hit_minus_false)
        assert row.dice_low <= row.dice <= row.dice_high
    assert table["elsewhere"].eq(0).all()


def test_the_limits_are_those_of_seeds_and_designed_cases(table: pd.DataFrame) -> None:
    rows = SCORES.query("task == 'twins' and model == 'unet' and patch_size == 16 and design >= 19")
    rows = rows.assign(apart=rows["recall"] - rows["distractor_recall"])
    found = interval([Term(1, rows)], "apart", 0.95)
    row = table.query("model == 'unet' and patch_size == 16 and distance == '19-22'").iloc[0]
    assert (row["hit_minus_false_low"], row["hit_minus_false_high"]) == pytest.approx((found.low, found.high))
    random = interval([Term(1, rows.drop(columns="design"))], "apart", 0.95)
    assert (random.low, random.high) != pytest.approx((found.low, found.high))


def test_variants_are_next_to_the_same_volumes_as_drawn() -> None:
    cells = CELLS.query("task == 'twins'")
    found = variant_table(cells, core_cells(MADE.variants, CORES), 0.95)
    assert len(found) == 3 * len(TWINS)
    assert list(found["variant"][:3]) == ["as drawn", "exchanged", "removed"]
    for row in found.itertuples():
        own = (cells if row.variant == "as drawn" else MADE.variants).query(
            "model == @row.model and patch_size == @row.patch_size"
        )
        if row.variant == "as drawn":
            names = [f"twins_{136 + 3 * place}.nii.gz" for place in range(17)]
            own = own[own["filename"].isin(names)]
        else:
            own = own[own["variant"] == row.variant]
        assert (row.seeds, row.cases) == (3, 17)
        assert row.dice == pytest.approx(own["dsc"].mean())
        assert row.hit_minus_false == pytest.approx((own["recall"] - own["distractor_recall"]).mean())


def test_only_volumes_that_have_every_variant_are_compared() -> None:
    fewer = MADE.variants[MADE.variants["filename"] != "twins_136_removed.nii.gz"]
    found = variant_table(CELLS.query("task == 'twins'"), core_cells(fewer, CORES), 0.95)
    assert set(found["cases"]) == {16}
    assert variant_table(CELLS, CELLS.iloc[:0], 0.95).empty


def test_the_published_difference_is_the_sum_of_context_and_ratio() -> None:
    found = (
        parts_table(CELLS, 0.95).set_index(["task", "network", "score", "part"])["difference"].sort_index()
    )
    assert {key[:3] for key in found.index} == {
        ("twins", "unet", "dice"),
        ("twins", "unet", "hit_minus_false"),
        ("twins", "attention_unet_batch", "dice"),
        ("twins", "attention_unet_batch", "hit_minus_false"),
        ("spheres", "unet", "dice"),
    }
    mean = SCORES.groupby(["task", "model", "patch_size"])["dsc"].mean()
    for task, network in (("twins", "unet"), ("spheres", "unet"), ("twins", "attention_unet_batch")):
        parts = found[task, network, "dice"]
        assert parts["published"] == pytest.approx(parts["context"] + parts["ratio"])
        assert parts["published"] == pytest.approx(mean[task, network, 48] - mean[task, network, 16])
        cored = mean[task, f"{network}_core16", 48]
        assert parts["context"] == pytest.approx(cored - mean[task, network, 16])


def test_a_network_without_the_large_patch_and_the_small_core_has_no_parts() -> None:
    without = CELLS.query("not (model == 'unet_core16' and patch_size == 48)")
    assert set(parts_table(without, 0.95)["network"]) == {"attention_unet_batch"}
    assert np.isfinite(parts_table(CELLS, 0.95)["difference_low"]).all()
