"""Reference pages: each key of params.yaml with its meaning, each command with its example, each file."""

import re
from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.analysis.result_files import COLUMNS
from context_fbr.config.document import Section
from context_fbr_tools import cli
from context_fbr_tools.study.blocks import reference_blocks
from context_fbr_tools.study.blocks.reference_blocks import SECTIONS

LINK = re.compile(r"\]\(([^)\s#]*)#([^)\s]+)\)")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("place", SECTIONS)
def test_every_parameter_has_its_meaning(place: str) -> None:
    section = SECTIONS[place]
    assert set(section.model_fields) <= set(reference_blocks.docstrings(section))


def test_every_type_of_params_yaml_is_on_the_page() -> None:
    """Types with a leading underscore hold keys that are sections themselves."""

    def below(kind: type) -> set[type]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    own = {kind for kind in below(Section) if kind.__module__.startswith("context_fbr.config")}
    public = {kind for kind in own if not kind.__name__.startswith("_")} - {Section}
    assert {kind.__name__ for kind in public} - {kind.__name__ for kind in SECTIONS.values()} == {
        "Preparation"
    }


def test_limits_and_defaults_are_those_of_the_type() -> None:
    text = reference_blocks.parameters()
    for row in (
        "| `momentum` | number, ≥ 0, < 1 | required | Momentum of SGD, in Nesterov's form. |",
        "| `seed` | whole number, ≥ 0, < 2^32 | required | Seed of the volumes. |",
        "| `loss` | `dice` or `dice_ce` | required |",
        "| `crop` | true or false | `false` |",
        "| `spacing_mm` | list of 3: number, > 0 or null | none |",
    ):
        assert row in text


def test_every_command_is_listed_with_its_arguments_and_an_example() -> None:
    line = cli.command_line()
    text = reference_blocks.commands(line)
    assert re.findall(r"^### `context-fbr (.*)`$", text, re.MULTILINE) == list(line.commands)
    for name, example in zip(line.commands, line.examples, strict=True):
        part = text.partition(f"### `context-fbr {name}`\n")[2].partition("\n###")[0]
        assert f"```\n{example}\n```" in part
        for action in line.commands[name]._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or option in part


def test_every_column_is_listed() -> None:
    rows = reference_blocks.table_columns().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(COLUMNS)


def test_every_stage_is_listed_with_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    rows = {row.split("`")[1]: row for row in reference_blocks.stage_files().splitlines()[2:]}
    assert list(rows) == [
        "code",
        "raw",
        "prepare",
        "train",
        "evaluate",
        "baseline",
        "analyze",
        "compare",
        "overlay",
        "paper",
    ]
    assert "`models/KEY`" in rows["train"]
    assert "`data/prepared/TASK`" in rows["evaluate"]


@pytest.mark.parametrize("folder", ["metrics", "plots"])
def test_every_file_of_a_task_s_results_is_on_the_page_of_files(folder: str) -> None:
    page = (ROOT / "docs/reference/files.md").read_text()
    tasks = [
        path
        for path in (ROOT / folder).iterdir()
        if path.name in ("spheres", "twins", "hippocampus", "compare")
    ]
    names = {path.name for task in tasks for path in task.iterdir()}
    assert {name for name in names if f"`{name}`" not in page} == set()


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if ":" not in target:
            other = page.parent / target if target else page
            assert anchor in anchors(other), f"{target}#{anchor}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path.parent != ROOT]
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []
