"""Tables of README and docs that repeat files, between markers."""

import json
import shutil
from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.analysis.display_names import name_of
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import CELL_SCORES
from context_fbr_tools import cli
from context_fbr_tools.study.blocks import doc_blocks

KEPT = (
    *("README.md", "docs", "metrics", "plots", "benchmarks", "dvc.yaml", "dvc.lock", "params.yaml"),
    *("calkit.yaml", "ro-crate-metadata.json"),
)


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages and their sources, to change."""
    for name in KEPT:
        copy = shutil.copy2 if (ROOT / name).is_file() else shutil.copytree
        copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_says_what_its_source_says_and_every_source_has_its_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert [
        problem for _, _, problems in doc_blocks.outdated(cli.command_line()) for problem in problems
    ] == []
    text = "".join(path.read_text() for path in doc_blocks.pages())
    assert sorted(match[1] for match in doc_blocks.MARKED.finditer(text)) == sorted(
        doc_blocks.blocks(cli.command_line())
    )


@pytest.mark.slow
def test_a_change_by_hand_and_a_changed_source_are_named_and_undone(pages: Path) -> None:
    before = {path: path.read_text() for path in doc_blocks.pages()}
    page = pages / "docs/how_to/data_sets.md"
    page.write_text(page.read_text().replace("| `hd95_mm` |", "| `hd96_mm` |"))
    table = pages / "benchmarks/mutants.csv"
    table.write_text(table.read_text().replace("datasets/spheres,88,88,0", "datasets/spheres,88,87,1"))
    with pytest.raises(UserError) as error:
        cli.run(["docs", "--check"])
    places = [problem.partition(": ")[0] for problem in error.value.problems[:-1]]
    for place, name in zip(places, ("mutants", "score_columns"), strict=True):
        path, _, line = place.partition(":")
        assert Path(path).read_text().splitlines()[int(line) - 1] == f"<!-- generated: {name} -->"
    table.write_text((ROOT / "benchmarks/mutants.csv").read_text())
    assert cli.run(["docs"]) is None
    assert {path: path.read_text() for path in doc_blocks.pages()} == before
    assert cli.run(["docs", "--check"]) is None


def test_a_block_without_a_source_is_an_error(pages: Path) -> None:
    (pages / "README.md").write_text("<!-- generated: nothing -->\n<!-- end -->\n")
    with pytest.raises(UserError, match=r"^README\.md:1: "):
        cli.run(["docs"])


def test_the_columns_of_the_scores_are_shown_in_their_order() -> None:
    rows = doc_blocks.BLOCKS["score_columns"]().splitlines()[2:]
    assert [row.split("|")[1].strip(" `") for row in rows] == list(CELL_SCORES)


def test_the_table_of_the_results_page_has_every_network_of_the_spheres_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    table = doc_blocks.BLOCKS["results"]()
    known = json.loads(Path("metrics/spheres/summary.json").read_text())["spheres"]
    assert [row.split(" | ")[0].strip("| ") for row in table.splitlines()[2:]] == [*map(name_of, known)]
    dice = known["unet"]["16"]["dice_mean"]
    assert f"| UNet | {dice:.3f} [" in table


def test_the_published_results_have_no_finding_that_compares_tasks_of_this_study(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    ours = json.loads(Path("metrics/compare/findings.json").read_text())["findings"]
    published = doc_blocks.BLOCKS["published_findings"]()
    assert ours
    assert not any(finding["statement"] in published for finding in ours)
    assert ours[0]["statement"] in doc_blocks.BLOCKS["findings"]()
