"""Rows of test cases with a change are kept apart from those of the cases as drawn."""

from pathlib import Path

import pandas as pd
from small_results import CELLS, SETTINGS

from context_fbr.analysis import summary
from context_fbr.analysis.results import read_results, read_scores
from context_fbr.metrics.columns import CELL_SCORES


def add_variants() -> None:
    """Add to each cell's table the case `a` again, with Dice 0 and as `exchanged`."""
    for cell in CELLS:
        header, first, *rest = cell.scores.read_text().splitlines()
        fields = dict(zip(header.split(","), first.split(","), strict=True))
        changed = fields | {"filename": "a_exchanged", "dsc": "0.0", "variant": "exchanged"}
        row = ",".join(changed[name] for name in CELL_SCORES)
        cell.scores.write_text("\n".join([header, first, *rest, row]) + "\n")


def test_variants_change_no_table_of_the_cases_as_drawn(tables: Path) -> None:
    before = read_results(CELLS)
    assert before.variants.empty
    add_variants()
    after = read_results(CELLS)
    pd.testing.assert_frame_equal(after.scores, before.scores)
    assert before.windows is not None
    assert after.windows is not None
    pd.testing.assert_frame_equal(after.windows, before.windows)
    pd.testing.assert_frame_equal(summary.cell_table(after, SETTINGS), summary.cell_table(before, SETTINGS))
    assert after.variants["filename"].tolist() == ["a_exchanged"] * len(CELLS)
    assert set(after.variants["variant"]) == {"exchanged"}


def test_a_cell_s_own_scores_are_those_of_the_cases_as_drawn(tables: Path) -> None:
    add_variants()
    problems: list[str] = []
    assert read_scores(CELLS[0], problems)["filename"].tolist() == ["a", "b"]
    assert not problems
