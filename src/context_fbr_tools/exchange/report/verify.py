"""Check of a report: every number is computed again from the tables of a project."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from context_fbr.analysis.result_files import read_frame
from context_fbr.config.document import Document
from context_fbr.config.grid import StudyCells
from context_fbr.core import bounded
from context_fbr.core.errors import UserError
from context_fbr_tools.exchange.report.assets import read_assets
from context_fbr_tools.exchange.report.content import METRICS, Content, read_content
from context_fbr_tools.exchange.report.numbers import MISSING, lookup
from context_fbr_tools.exchange.report.page import Embedded, compose, data_of
from context_fbr_tools.study.findings_text import read_json

MAX_BYTES = 64 * 2**20
MAX_NAMED = 20
"""Differences that are named; the others are counted."""
CLOSE = 2e-6
"""Difference of a mean that rounding explains."""


@dataclass(frozen=True)
class Verified:
    """Outcome of the check."""

    numbers: int
    rows: int
    means: int
    problems: tuple[str, ...]


@dataclass
class _Page(HTMLParser):
    """Numbers, scripts with data, and the commit of a page."""

    numbers: list[tuple[dict[str, str], str]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    revision: str = ""
    credits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._inside: tuple[str, dict[str, str]] | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the beginning of an element."""
        own = {name: value or "" for name, value in attrs}
        if tag == "meta" and own.get("name") == "revision":
            self.revision = own.get("content", "")
        if tag in ("data", "script"):
            self._inside, self._text = (tag, own), []

    def handle_data(self, data: str) -> None:
        """Note the text of an element."""
        if self._inside:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Keep an element that has ended."""
        if self._inside and tag == self._inside[0]:
            _, own = self._inside
            text = "".join(self._text)
            if tag == "data":
                self.numbers.append((own, text))
            elif "id" in own:
                self.scripts[own["id"]] = text
            self._inside = None


def verify(file: Path, root: Path, lock: Mapping[str, Any]) -> Verified:
    """Compare a report with the results of a project.

    Each number is read again from its table, each table from its file, and each mean is computed from the
    scores of the cases; last, the page is composed again and compared by line, without the volumes.

    Args:
        file: the report.
        root: folder of the project.
        lock: entries of dvc.lock by stage.

    Raises:
        UserError: if the file is not a report, or the results are missing or damaged.
    """
    text = _read(file)
    page = _Page()
    page.feed(text)
    try:
        data, volumes = json.loads(page.scripts["content"]), json.loads(page.scripts["volumes"])
        shown = data["copies"]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{file}: is not a report of this version ({error!r}); make one with `context-fbr report`"
        ) from error
    content = read_content(root, StudyCells.read(Document.read(root / "params.yaml")).tasks, lock)
    problems = [*_numbers(page, root), *_tables(shown, data_of(content)["copies"]), *_means(content, root)]
    if not problems:
        problems += _characters(text, page, content, root, volumes)
    means = sum(len(row) for section in content.sections for _, row in section.means)
    rows = sum(len(copy["rows"]) for copy in shown.values())
    return Verified(len(page.numbers), rows, means, tuple(problems))


def _read(file: Path) -> str:
    try:
        return bounded.read(file, MAX_BYTES).decode()
    except FileNotFoundError:
        raise UserError(f"{file}: not found") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error})") from error


def _numbers(page: _Page, root: Path) -> Iterator[str]:
    """Yield the numbers that are not those of their files."""
    trees: dict[str, Any] = {}
    for own, text in page.numbers:
        try:
            name, place = own["data-file"], json.loads(own["data-at"])
            if name not in trees:
                trees[name] = read_json(root / METRICS / Path(name).relative_to(METRICS))
            value = lookup(trees[name], place)
            expected = MISSING if value is None else format(value, own["data-style"])
            written = "" if value is None else str(value)
        except (KeyError, ValueError) as error:
            yield f"a number {text!r} has no valid origin ({error!r})"
            continue
        if (text, own.get("value", "")) != (expected, written):
            found = text if text != expected else own.get("value")
            known = f"{'/'.join(place)} is {written or MISSING}, {expected}"
            yield f"{name}: {known}, but the report has {found}"


def _tables(shown: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[str]:
    """Yield the rows of tables that are not those of their files."""
    for name in sorted({*shown, *expected}):
        if name not in shown or name not in expected:
            yield f"table {name}: is only in the {'report' if name in shown else 'project'}"
            continue
        own, others = shown[name]["rows"], json.loads(json.dumps(expected[name]["rows"]))
        if len(own) != len(others):
            yield f"{expected[name]['file']}: has {len(others)} rows, but the report has {len(own)}"
        for number, (row, other) in enumerate(zip(own, others, strict=False), 1):
            if row != other:
                yield f"{expected[name]['file']}: row {number} is {other}, but the report has {row}"


def _means(content: Content, root: Path) -> Iterator[str]:
    """Yield the means of the summary that are not those of the scores of the cases."""
    for section in content.sections:
        if not section.means:
            continue
        cases = read_frame(root / METRICS / section.name / "cases.csv", text=("patch_size",))
        cases = cases[cases["seed"].notna()]
        means = cases.groupby(["model", "patch_size"])["dsc"].mean()
        for model, (_, row) in zip(section.models, section.means, strict=True):
            for size, mean in zip(section.sizes, row, strict=True):
                if mean is None:
                    continue
                computed, written = means[(model, str(size))], mean.dice.estimate.value
                if written is None or abs(computed - written) > CLOSE:
                    found = f"mean Dice of the cases is {computed:.6f}, but summary.json has {written}"
                    yield f"{section.name}, {model}, patch {size}: {found}"


def _characters(
    text: str, page: _Page, content: Content, root: Path, volumes: Mapping[str, str]
) -> Iterator[str]:
    """Yield the first line that a page composed again lacks.

    What depends on the volumes that were there may differ: reasons in the last list, credits of images.
    """
    again = compose(content, read_assets(root), page.revision, Embedded(volumes)).splitlines()
    allowed, of_volumes = set(again), False
    for number, line in enumerate(text.splitlines(), 1):
        of_volumes |= line == '<section id="left-out">'
        if line not in allowed and not (of_volumes and line.startswith(("<li>", "<p>Images: "))):
            yield f"line {number}: is not that of a report of this project: {line[:200]}"
            return
