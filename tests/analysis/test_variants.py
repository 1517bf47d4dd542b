"""Test cases that are other ones with a change: apart from all results but those of variants."""

from pathlib import Path

import pandas as pd
import pytest
from small_results import CELLS, SETTINGS

from context_fbr.analysis import summary
from context_fbr.analysis.observations import from_results
from context_fbr.analysis.results import read_results, read_scores
from context_fbr.core.errors import UserError


def add_rows(path: Path, **changes: object) -> None:
    """Add a row for each one of a table, with these values."""
    header, *rows = path.read_text().splitlines()
    names = header.split(",")
    more = []
    for row in rows:
        values: dict[str, object] = dict(zip(names, row.split(","), strict=True))
        values |= {name: value for name, value in changes.items() if name in values}
        values["filename"] = f"{values['filename']}_{values['variant']}"
        more.append(",".join(map(str, values.values())))
    path.write_text("\n".join([header, *rows, *more, ""]))


def test_variants_change_no_result_of_the_cases_as_drawn(tables: Path) -> None:
    before = read_results(CELLS)
    assert before.variants.empty
    for cell in CELLS:
        add_rows(cell.scores, dsc=0.125, distractor_recall=0.75, elsewhere=3, variant="exchanged")
    add_rows(Path("metrics/baselines/spheres.csv"), dsc=0.125, variant="exchanged")
    after = read_results(CELLS)
    for name in ("scores", "windows", "baselines", "history", "foreground_ratios"):
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))
    problems: list[str] = []
    assert read_scores(CELLS[0], problems)["filename"].tolist() == ["a", "b"]
    assert problems == []
    tables_of = [summary.cell_table(results, SETTINGS) for results in (before, after)]
    pd.testing.assert_frame_equal(*tables_of)
    evidence = [
        from_results(results, summary.convergence(table))
        for results, table in zip((before, after), tables_of, strict=True)
    ]
    pd.testing.assert_frame_equal(evidence[0].scores, evidence[1].scores)
    pd.testing.assert_frame_equal(*(summary.summarise(one, 0.95) for one in evidence))


def test_variants_have_their_rows_of_the_primary_window(tables: Path) -> None:
    for cell in CELLS:
        add_rows(cell.scores, dsc=0.125, distractor_recall=0.75, elsewhere=3, variant="removed")
        header, *rows = cell.scores.read_text().splitlines()
        wider = [row.rpartition(",")[0].replace("0.125", "0.25") + ",32" for row in rows]
        cell.scores.write_text("\n".join([header, *rows, *wider, ""]))
    results = read_results(CELLS)
    assert len(results.variants) == 2 * len(CELLS)
    assert set(results.variants.columns) == set(results.scores.columns)
    assert set(results.variants["filename"]) == {"a_removed", "b_removed"}
    for name, value in {
        "variant": "removed",
        "dsc": 0.125,
        "distractor_recall": 0.75,
        "elsewhere": 3,
    }.items():
        assert (results.variants[name] == value).all()
    assert results.windows is not None
    assert len(results.windows) == 2 * len(results.scores)
    assert results.windows["variant"].isna().all()


def test_means_of_the_distractor_are_there_where_a_task_has_one(tables: Path) -> None:
    names = {"distractor_recall", "elsewhere"}
    assert not names & set(summary.cell_table(read_results(CELLS), SETTINGS).columns)
    for cell in CELLS:
        frame = pd.read_csv(cell.scores)
        frame["distractor_recall"], frame["elsewhere"] = [0.25, 0.75], [1, 4]
        frame.to_csv(cell.scores, index=False, lineterminator="\n")
    table = summary.cell_table(read_results(CELLS), SETTINGS)
    assert table["distractor_recall"].tolist() == [0.5] * len(CELLS)
    assert table["elsewhere"].tolist() == [2.5] * len(CELLS)
    assert "variant" not in table


@pytest.mark.parametrize("value", ["1.5", "-0.5", "much"])
def test_a_share_of_the_distractor_that_cannot_be_is_named(tables: Path, value: str) -> None:
    add_rows(CELLS[0].scores, distractor_recall=value, variant="removed")
    with pytest.raises(UserError) as error:
        read_results(CELLS)
    (problem,) = error.value.problems
    assert problem.startswith(f"{CELLS[0].scores}:4: ")
    assert "distractor_recall" in problem
