"""Words of the pages, and how docstrings begin: CONTRIBUTING.md has the list."""

import tokenize
from pathlib import Path

import pytest
from workspace import ROOT

from benchmarks import prose

PAGES = [*prose.pages(), ROOT / "CHANGELOG.md", ROOT / "NOTICE.md", ROOT / ".github/pull_request_template.md"]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MAX_README_LINES, MAX_FIRST_COMMAND, MAX_PAGE_LINES = 140, 30, 215
GENERATED = ("commands", "parameters", "decathlon")
"""Pages that list one thing after the other."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_page_has_none_of_the_rejected_forms(page: Path) -> None:
    text = prose.CODE.sub(" ", page.read_text(encoding="utf-8"))
    assert prose.archaic("\n".join(line for line in text.splitlines() if not line.startswith(">"))) == []


@pytest.mark.parametrize("source", SOURCES, ids=relative)
def test_comments_and_docstrings_have_none_of_the_rejected_forms(source: Path) -> None:
    with source.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    comments = " ".join(token.string for token in tokens if token.type == tokenize.COMMENT)
    assert prose.archaic(f"{comments} {prose.docstring_text(source)}") == []


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    assert [f"{own.place}: {own.text}" for own in prose.fragments(ROOT / "src")] == []


def test_the_readme_is_short_and_its_first_command_is_on_the_first_screen() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_README_LINES
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("```"))
    assert first <= MAX_FIRST_COMMAND


@pytest.mark.parametrize("page", prose.pages()[1:], ids=relative)
def test_a_page_is_short_enough_to_be_read(page: Path) -> None:
    if page.stem not in GENERATED:
        assert len(page.read_text(encoding="utf-8").splitlines()) <= MAX_PAGE_LINES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It stands in a file and goes on.", ["stands", "goes on"]),
        ("Standing; going on; a lie; understand", []),
        ("NOBODY was Told", ["nobody", "told"]),
    ],
)
def test_forms_are_found_as_whole_words(text: str, expected: list[str]) -> None:
    assert prose.archaic(text) == expected


def test_code_tables_and_links_are_not_prose() -> None:
    page = "# It stands\n\nA `mend` [told](told.md).\n\n| anew |\n|---|\n\n```\nlies\n```\n\nOnce more.\n"
    assert prose.archaic(prose.prose(page)) == ["once more"]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("Return the mean.", False), ("Mean of a cell.", False), ("Ofcom.", False),
        ("Of the task.", True), ("Whether it is.", True), ("what was read.", True), ("Likewise.", True),
    ],
)  # fmt: skip
def test_a_fragment_is_known_by_its_first_word(text: str, fragment: bool) -> None:
    assert bool(prose.FRAGMENT.match(text)) is fragment


def test_every_kind_of_docstring_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(
        '"""Of a module."""\n\nclass A:\n    """Of a class."""\n\n    x: int\n    """Of an attribute."""\n\n'
        '    def f(self):\n        """Of a function.\n\n        More.\n        """\n'
    )
    found = [(own.kind, own.place) for own in prose.fragments(tmp_path)]
    assert sorted(found) == [
        ("attribute", "a.py:7"), ("class", "a.py:4"), ("function", "a.py:10"), ("module", "a.py:1"),
    ]  # fmt: skip
