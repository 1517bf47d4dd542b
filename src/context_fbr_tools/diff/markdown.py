"""A comparison as Markdown: what a reviewer of a change wants to know, the answer first."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from context_fbr.analysis.confidence_intervals import Interval
from context_fbr.analysis.display_names import name_of
from context_fbr.config.cell import Cell
from context_fbr_tools.diff.inputs import Change
from context_fbr_tools.diff.report import Report
from context_fbr_tools.diff.scores import BETTER, COMMON_UNCHANGED, UNCHANGED, UNDECIDED, WORSE, ScoreChange
from context_fbr_tools.diff.snapshot import Snapshot
from context_fbr_tools.study.markdown_text import (
    Line,
    code,
    html_code,
    image,
    link_target,
    markdown_line,
    name,
)
from context_fbr_tools.study.text_tables import Row, interval_text, table

FigureAddress = Callable[[str, str], str | None]
"""Address of a figure by its path and side, `before` or `after`; None if that side has none."""

LONG_LIST = 20
MOST_LINES = 100
"""Greatest number of sentences or figures in a list; the JSON has all."""
MOST_ROWS = 2_000
"""Greatest number of rows of a table or of files in a list."""
FEW_FILES = 3
"""Number of files of a folder and a kind up to which each is named."""
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?|[0-9]+(\.[0-9]+){2}")
"""Versions, too."""


def render(
    report: Report, confidence: float, address: FigureAddress | None = None, differences: str | None = None
) -> str:
    """The comparison as Markdown.

    Without addresses figures are only named; `differences` is the address of a figure of the differences.
    """
    return "\n\n".join(_blocks(report, confidence, address, differences)) + "\n"


def _blocks(
    report: Report, confidence: float, address: FigureAddress | None, differences: str | None
) -> Iterator[str]:
    yield f"## What changed: {_side(report.base)} → {_side(report.head)}"
    yield from (f"**Note:** {markdown_line(note)}." for note in report.notes)
    yield _verdict(report)
    if report.regressions:
        yield _list(report.regressions)
    if report.suspicions:
        yield "Beyond the limits, too, but perhaps by chance (Holm's correction for all that changed):"
        yield _list(report.suspicions)
    if report.improvements:
        yield "Better by more than the limits:"
        yield _list(report.improvements)
    if report.verdicts:
        yield "Findings with another verdict:"
        yield _list(report.verdicts)
    if report.same:
        return
    # Before the inputs, of which a change can bring any number.
    if report.configurations:
        yield "### Results"
        yield (
            f"Means of the test cases with {confidence:.0%} intervals over seeds and cases; differences are "
            "paired by test case, without the cases for which one side is undefined; a single seed has no "
            "interval. Up is good for Dice, down for Hausdorff distance (voxels)."
        )
        if differences:
            alt = "Differences of Dice and Hausdorff distance with their intervals"
            yield f"![{alt}]({link_target(differences)})"
        yield table(list(_results(report)), markdown=True)
    yield from _cells(report)
    yield from _inputs(report)
    yield from _figures(report, address)
    if report.other_results:
        yield _details(
            f"{len(report.other_results)} other results that differ", "\n".join(_files(report.other_results))
        )
    if report.inputs.code:
        lines = [
            f"* {code(change.path)}" + (f" ({_names(change.stages)})" if change.stages else "")
            for change in report.inputs.code
        ]
        yield _folded("### Code, and the stages that depend on it", "\n".join(_first(lines)), len(lines))


def _side(side: Snapshot) -> str:
    """A revision; a branch can bear any name."""
    if side.commit is None or side.commit.startswith(side.name):
        return str(side)
    return f"{name(side.name)} ({side.commit[:7]})"


def _list(lines: Sequence[Line]) -> str:
    shown = [f"* {markdown_line(line)}" for line in lines[:MOST_LINES]]
    return "\n".join([*shown, *([f"* and {len(lines) - MOST_LINES} more"] if lines[MOST_LINES:] else [])])


def _first(lines: Sequence[str]) -> list[str]:
    more = [f"* and {len(lines) - MOST_ROWS} more"] if lines[MOST_ROWS:] else []
    return [*lines[:MOST_ROWS], *more]


def _files(paths: Sequence[str]) -> list[str]:
    """Files one a line; those of a folder and a kind are counted if they are many."""
    kinds = {path: _kind(path) for path in paths}
    counts = Counter(kinds.values())
    lines = {
        f"* {code(path)}" if counts[kind] <= FEW_FILES else f"* {counts[kind]} files {code(kind)}": None
        for path, kind in kinds.items()
    }
    return _first(list(lines))


def _kind(path: str) -> str:
    file = PurePosixPath(path)
    return str(file.parent / f"*{file.suffix}")


def _names(stages: Sequence[str]) -> str:
    shown = ", ".join(map(name, stages[:LONG_LIST]))
    return shown + (f" and {len(stages) - LONG_LIST} more" if stages[LONG_LIST:] else "")


def _verdict(report: Report) -> str:
    if report.same:
        return "Nothing of the study that git keeps differs: parameters, code, data, results and figures."
    text = _counts(report)
    answer = f"Mean Dice of networks by patch size: {text}." if text else "**Nothing is compared.**"
    for change, cells in (("new", report.cells.new), ("gone", report.cells.gone)):
        answer += f" {len(cells)} cells are {change}." if cells else ""
    return f"{answer} **{len(report.regressions) or 'No'} regression{'s' * (len(report.regressions) != 1)}.**"


def _counts(report: Report) -> str:
    """`1 better, 2 worse, 3 up, 1 down, not decided (one seed), 4 unchanged`."""
    parts = [f"{report.count(verdict)} {verdict}" for verdict in (BETTER, WORSE) if report.count(verdict)]
    open_ones = [c.dice for c in report.networks if c.dice.verdict == UNDECIDED]
    signs = [(change.difference.estimate or 0) > 0 for change in open_ones]
    if signs:
        seeds = " (one seed)" if any(change.one_seed for change in open_ones) else ""
        decided = "not decided" if parts else "none decided"
        parts += [f"{sum(signs)} up", f"{len(signs) - sum(signs)} down", decided + seeds]
    return ", ".join(
        [*parts, *(f"{report.count(v)} {v}" for v in (UNCHANGED, COMMON_UNCHANGED) if report.count(v))]
    )


def _inputs(report: Report) -> Iterator[str]:
    inputs = report.inputs
    if not inputs:
        yield "Parameters, code, data and packages are the same."
    titles = {"Parameters": inputs.parameters, "Data": inputs.data, "Packages": inputs.packages}
    for title, changes in titles.items():
        if changes:
            rows: list[Row] = [(title.lower(), "before", "after"), *map(_change, changes[:MOST_ROWS])]
            if changes[MOST_ROWS:]:
                rows.append((f"and {len(changes) - MOST_ROWS} more", "", ""))
            yield _folded(f"### {title}", table(rows, markdown=True), len(changes))


def _change(change: Change) -> Row:
    values = ("(absent)" if value is None else _value(value) for value in (change.before, change.after))
    return (code(change.name), *values)


def _value(value: str) -> str:
    """A number as it is, anything else as code: a comment of a pull request is read by others."""
    return value if NUMBER.fullmatch(value) else name(value)


def _results(report: Report) -> Iterator[Row]:
    heads = (
        f"{score} {what}" for score in ("Dice", "Hausdorff") for what in ("before", "after", "difference")
    )
    yield ("task", "network", "patch", *heads)
    for c in report.configurations:
        size = "any" if c.patch_size is None else str(c.patch_size)
        task = name(c.task) + (f", {name(c.structure)}" if c.structure else "")
        yield (task, name(name_of(c.model)), size, *_score(c.dice), *_score(c.hausdorff))


def _score(change: ScoreChange) -> tuple[str, str, str]:
    undefined = (change.undefined_before, change.undefined_after)
    sides = [
        _interval(found) + (f", {count} undefined" if any(undefined) else "")
        for found, count in zip((change.before, change.after), undefined, strict=True)
    ]
    if change.verdict in (UNCHANGED, COMMON_UNCHANGED):
        return sides[0], sides[1], change.verdict
    word = change.verdict if change.verdict == UNDECIDED else f"**{change.verdict}**"
    if change.difference.low is None:
        word = "no interval"
        if change.over_cases.low is not None:
            return sides[0], sides[1], f"{_interval(change.over_cases, '+')} over cases, one seed"
    return sides[0], sides[1], f"{_interval(change.difference, '+')} {word}"


def _interval(found: Interval, sign: str = "") -> str:
    return interval_text(found.estimate, found.low, found.high, sign)


def _cells(report: Report) -> Iterator[str]:
    cells = report.cells
    groups = {
        "New cells": cells.new,
        "Cells that are gone": cells.gone,
        "No longer converged": cells.no_longer_converged,
        "Converged now, and not before": cells.converged_again,
        "Not converged after the change, all in all": cells.not_converged,
    }
    lines = [f"* {title}: {_keys(found)}" for title, found in groups.items() if found]
    if lines:
        yield "### Cells"
        yield "\n".join(lines)


def _keys(cells: Sequence[Cell]) -> str:
    shown = ", ".join(code(cell.key) for cell in cells[:LONG_LIST])
    return shown + (f" and {len(cells) - LONG_LIST} more" if len(cells) > LONG_LIST else "")


def _figures(report: Report, address: FigureAddress | None) -> Iterator[str]:
    if not report.figures:
        return
    yield "### Figures that differ"
    if address is None:
        yield "\n".join(_first([f"* {code(path)}" for path in report.figures]))
        return
    for path in report.figures[:MOST_LINES]:
        images = [address(path, side) for side in ("before", "after")]
        row = [
            image(side, path, url) if url else "(none)"
            for side, url in zip(("before", "after"), images, strict=True)
        ]
        yield _details(html_code(path), table([("before", "after"), row], markdown=True))
    if report.figures[MOST_LINES:]:
        yield f"and {len(report.figures) - MOST_LINES} more"


def _folded(title: str, body: str, length: int) -> str:
    """A section; a long one is folded away."""
    if length <= LONG_LIST:
        return f"{title}\n\n{body}"
    return f"{title}\n\n{_details(f'{length} changes', body)}"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
