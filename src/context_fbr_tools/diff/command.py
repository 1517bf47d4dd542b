"""`context-fbr diff`: compare two commits and write what was found."""

import json
import os
from pathlib import Path
from string import Formatter
from urllib.parse import quote

from context_fbr.analysis.result_files import write_json
from context_fbr.config.analysis import Analysis, Regression
from context_fbr.config.document import Document
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr_tools.diff import as_json, markdown
from context_fbr_tools.diff.report import Report, compare
from context_fbr_tools.diff.snapshot import Snapshot, snapshot

DIFFERENCES = "differences.png"
STANDARD_OUTPUT = Path("-")
PLACEHOLDERS = ("commit", "path")


def diff(
    base: str,
    head: str | None,
    *,
    markdown_file: Path | None = None,
    json_file: Path | None = None,
    figures: Path | None = None,
    image_url: str | None = None,
) -> Report:
    """Compare and write; Markdown goes to the terminal unless a file is named.

    The rules of the analysis and the limits of a regression are those of this folder's params.yaml.

    Args:
        base: a revision.
        head: a revision; None is this folder with its uncommitted changes.
        markdown_file: for the Markdown; `-`: standard output.
        json_file: for the JSON; `-` prints it on standard output instead of the Markdown.
        figures: a new folder, which gets each figure that differs as it was on both sides, and one of the
            differences.
        image_url: address of a figure on the web, with {commit} and {path} in it.

    Raises:
        UserError: if a revision is unknown, a file damaged, or an output cannot be written.
    """
    if figures and image_url:
        raise UserError("--figures and --image-url both say where the figures are; give one of them")
    if markdown_file == json_file == STANDARD_OUTPUT:
        raise UserError("--markdown - and --json - both go to standard output; name a file for one of them")
    if image_url:
        _check_placeholders(image_url)
    document = Document.read()
    settings = document.section(("analysis",), Analysis)
    limits = document.section(("regression",), Regression)
    report = compare(snapshot(base), snapshot(head), settings, limits)
    sides = {"before": report.base, "after": report.head}
    address: markdown.FigureAddress | None = None
    drawn = None
    if figures:
        _write_figures(report, sides, figures, settings.confidence)
        beside = Path(os.path.relpath(figures, markdown_file.parent if markdown_file else Path()))
        drawn = quote((beside / DIFFERENCES).as_posix()) if (figures / DIFFERENCES).exists() else None

        def address(path: str, side: str) -> str | None:
            there = _figure(figures, side, path).exists()
            return quote(_figure(beside, side, path).as_posix()) if there else None

    elif image_url:

        def address(path: str, side: str) -> str | None:
            known = sides[side].commit and sides[side].read(path) is not None
            commit = sides[side].commit
            return image_url.format(commit=commit, path=quote(path)) if known else None

    text = markdown.render(report, settings.confidence, address, drawn)
    facts = as_json.tree_of(report, settings.confidence)
    if json_file == STANDARD_OUTPUT:
        print(json.dumps(facts, indent=1, allow_nan=False))
    elif json_file:
        write_json(json_file, facts)
    if markdown_file and markdown_file != STANDARD_OUTPUT:
        atomic.write_text(markdown_file, text)
    elif json_file != STANDARD_OUTPUT:
        print(text, end="")
    return report


def _check_placeholders(url: str) -> None:
    """Refuse what `str.format` would stumble over.

    Raises:
        UserError: if there is another placeholder than {commit} and {path}, or a brace alone.
    """
    try:
        fields = [field for _, field, form, conversion in Formatter().parse(url) if field is not None]
        unknown = [field for field in fields if field not in PLACEHOLDERS]
        plain = all(not form and not conversion for _, field, form, conversion in Formatter().parse(url))
    except ValueError as error:
        raise UserError(f"--image-url {url}: {error}; write {{{{ and }}}} for braces of its own") from None
    if unknown or not plain:
        shown = ", ".join(f"{{{field}}}" for field in unknown) or "a format behind a placeholder"
        known = " and ".join(f"{{{field}}}" for field in PLACEHOLDERS)
        raise UserError(f"--image-url {url}: {shown} is not known; the placeholders are {known}")


def _write_figures(report: Report, sides: dict[str, Snapshot], folder: Path, confidence: float) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; name a new folder")
    with atomic.directory(folder) as partial:
        if report.configurations:
            from context_fbr_tools.diff.figure import score_differences  # imports matplotlib

            drawn = score_differences(report.configurations, confidence)
            atomic.write_bytes(partial / DIFFERENCES, drawn)
        for side, found in sides.items():
            for path in report.figures:
                content = found.read(path)
                if content is not None:
                    atomic.write_bytes(_figure(partial, side, path), content)


def _figure(folder: Path, side: str, path: str) -> Path:
    return folder / side / Path(path).relative_to("plots")
