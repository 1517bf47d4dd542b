"""Tables by inference window and by object size, from tables of cells made by hand."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_results import CELLS, SETTINGS

from context_fbr import analyze
from context_fbr.analysis import summary
from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.analysis.observations import from_results
from context_fbr.analysis.results import CELL_SCORES, read_results, read_scores
from context_fbr.analysis.tables.object_sizes import quarters, size_table
from context_fbr.analysis.tables.windows import name_windows, window_table
from context_fbr.core.errors import UserError
from context_fbr.figures import windows as figure


def add_windows(*edges: int, cases: str = "ab") -> None:
    """Score every case again in other windows, with a Dice of 1 / edge."""
    for cell in CELLS:
        header, *rows = cell.scores.read_text().splitlines()
        names = header.split(",")
        for edge in edges:
            for row in [row for row in rows if row[0] in cases]:
                values = dict(zip(names, row.split(","), strict=True))
                more = {"dsc": 1 / edge, "recall": 0.5, "surface_dice": 0.25, "window": edge}
                rows.append(",".join(str(value) for value in (values | more).values()))
                rows = list(dict.fromkeys(rows))
        cell.scores.write_text("\n".join([header, *rows, ""]))


@pytest.mark.slow
def test_the_primary_window_alone_makes_the_study_s_results(tables: Path) -> None:
    analyze.write_task(read_results(CELLS), SETTINGS, Path("a"), Path("a/plots"))
    add_windows(48)
    results = read_results(CELLS)
    assert results.windows is not None
    assert len(results.windows) == 2 * len(results.scores)
    analyze.write_task(results, SETTINGS, Path("b"), Path("b/plots"))
    different = {
        str(path.relative_to("a"))
        for path in Path("a").rglob("*")
        if path.is_file() and path.read_bytes() != ("b" / path.relative_to("a")).read_bytes()
    }
    assert different == {"windows.csv", "plots/windows.png"}
    problems: list[str] = []
    assert len(read_scores(CELLS[0], problems)) == 2
    assert not problems


def test_every_number_of_a_window_s_row_is_the_one_by_hand(tables: Path) -> None:
    add_windows(48, 32)
    results = read_results(CELLS)
    assert results.windows is not None
    table = window_table(results.windows, 0.9).set_index(["model", "patch_size", "window"])
    assert len(table) == 4 * 3
    row = table.loc[("unet", 8, "16")]  # Dice 0.18 and 0 of seed 1, 0.28 and 0 of seed 2
    assert (row["seeds"], row["cases"]) == (2, 2)
    assert (row["dice_mean"], row["dice_seed_min"], row["dice_seed_max"]) == pytest.approx(
        (0.115, 0.09, 0.14)
    )
    assert (row["recall_mean"], row["false_positive_share_mean"]) == pytest.approx((0.375, 0.005))
    own = results.scores.query("model == 'unet' and patch_size == 8")
    found = interval([Term(1, own)], "dsc", 0.9, bounds=(0, 1))
    assert (row["dice_mean_low"], row["dice_mean_high"]) == pytest.approx((found.low, found.high))
    other = table.loc[("unetr", 16, "48")]
    assert other["dice_seed_min"] == other["dice_seed_max"] == pytest.approx(1 / 48)
    assert (other["surface_dice_mean"], other["recall_mean"]) == (0.25, 0.5)


def test_the_window_over_the_volume_has_rows_and_a_place_of_its_own(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_windows(48)
    for cell in CELLS:
        cell.scores.write_text(re.sub(r",48$", ",volume", cell.scores.read_text(), flags=re.MULTILINE))
    add_windows(32)
    results = read_results(CELLS)
    assert results.windows is not None
    assert set(name_windows(results.windows)["window"]) == {"16", "32", "volume"}
    table = window_table(results.windows, 0.9).set_index(["model", "patch_size", "window"])
    assert table.loc[("unet", 8, "volume"), "dice_mean"] == pytest.approx(1 / 48)
    kept: list = []
    monkeypatch.setattr(figure, "png", lambda drawn: kept.append(drawn) or b"")
    figure.windows(results.windows)
    assert [label.get_text() for label in kept[0].axes[0].get_xticklabels()][-2:] == ["32", "volume"]


def test_another_word_than_volume_is_no_window(tables: Path) -> None:
    path = CELLS[0].scores
    path.write_text(re.sub(r",(8|16)$", ",whole", path.read_text(), count=1, flags=re.MULTILINE))
    with pytest.raises(UserError, match="window is 'whole', expected a number"):
        read_results(CELLS)


def test_a_table_without_the_last_rows_of_a_window_is_damaged(tables: Path) -> None:
    add_windows(48)
    path = CELLS[0].scores
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError) as caught:
        read_results(CELLS)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    assert f"evaluate@{CELLS[0].key}" in problem


def test_a_case_is_there_once_a_window(tables: Path) -> None:
    path = CELLS[0].scores
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    with pytest.raises(UserError) as caught:
        read_results(CELLS)
    assert caught.value.problems[0].startswith(f"{path}:4: b, 16 is there twice")


def test_sizes_are_quarters_of_the_different_cases_and_every_mean_is_the_one_by_hand(tables: Path) -> None:
    results = read_results(CELLS)
    evidence = from_results(results, summary.convergence(summary.cell_table(results, SETTINGS)))
    table = size_table(evidence).set_index(["model", "patch_size", "quarter"])
    assert sorted({quarter for *_, quarter in table.index}) == [1, 4]  # two cases
    small, large = table.loc[("unet", 16, 1)], table.loc[("unet", 16, 4)]
    assert (small["voxels_min"], small["voxels_max"], small["cases"]) == (10, 10, 1)
    assert (large["dice_mean"], large["dice_seed_min"], large["dice_seed_max"]) == pytest.approx(
        (0.31, 0.26, 0.36)
    )
    assert (small["dice_mean"], small["recall_mean"], small["false_positives_mean"]) == (0.0, 0.0, 0.0)
    assert table.loc[("everything", "all", 1)]["false_positives_mean"] == 990
    assert np.isnan(table.loc[("everything", "all", 1)]["dice_seed_min"])


def test_a_case_at_a_quartile_is_in_the_lower_quarter_and_equal_cases_share_one() -> None:
    def groups(*voxels: int) -> list[int]:
        frame = pd.DataFrame({"filename": [*map(str, range(len(voxels)))], "label_voxels": voxels})
        return quarters(frame).tolist()

    assert groups(*range(8)) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert groups(*range(5)) == [1, 1, 2, 3, 4]
    assert groups(3, 3, 3, 3) == [1, 1, 1, 1]
    assert groups(9, 1, 5, 5) == [4, 1, 2, 2]


def test_a_line_for_each_patch_size_and_a_mark_for_each_seed(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_windows(48)
    kept: list = []
    monkeypatch.setattr(figure, "png", lambda drawn: kept.append(drawn) or b"")
    results = read_results(CELLS)
    assert results.windows is not None
    figure.windows(results.windows)
    unet, unetr = kept[0].axes
    assert [axis.get_title() for axis in (unet, unetr)] == ["UNet", "UNETR"]
    lines = [line.get_ydata().tolist() for line in unet.get_lines()]
    assert lines == [pytest.approx([0.115, 1 / 48]), pytest.approx([0.155, 1 / 48])]
    assert [len(marks.get_offsets()) for marks in unet.collections] == [4, 4]
    assert [label.get_text() for label in unet.get_xticklabels()] == ["16", "48"]


def test_the_window_is_the_last_column() -> None:
    assert [*CELL_SCORES][-2:] == ["padded", "window"]
