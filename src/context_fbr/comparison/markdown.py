"""A comparison as Markdown: what a reviewer of a change wants to know, the answer first."""

import html
from collections.abc import Callable, Iterator, Sequence

from context_fbr.cells import Cell
from context_fbr.comparison.inputs import Change
from context_fbr.comparison.report import Report
from context_fbr.comparison.scores import BETTER, COMMON_UNCHANGED, UNCHANGED, UNDECIDED, WORSE, ScoreChange
from context_fbr.intervals import Interval
from context_fbr.names import name_of
from context_fbr.text_tables import Row, interval_text, table

FigureAddress = Callable[[str, str], str | None]
"""Where the figure of a path is to be found, `before` or `after`; None if that side has none."""

LONG_LIST = 20
VERDICTS = (BETTER, WORSE, UNDECIDED, UNCHANGED, COMMON_UNCHANGED)


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
    yield f"## What changed: {report.base} → {report.head}"
    yield from (f"**Note:** {note}." for note in report.notes)
    yield _verdict(report)
    if report.regressions:
        yield "\n".join(f"* {line}" for line in report.regressions)
    if report.suspicions:
        yield "Beyond the limits, too, but their intervals do not exclude that nothing changed:"
        yield "\n".join(f"* {line}" for line in report.suspicions)
    if report.same:
        return
    yield from _inputs(report)
    if report.configurations:
        yield "### Results"
        yield (
            f"Means of the test cases with {confidence:.0%} intervals over seeds and cases; differences are "
            "paired by test case, without the cases for which one side is undefined; a single seed has no "
            "interval. Up is good for Dice, down for Hausdorff distance (voxels)."
        )
        if differences:
            yield f"![Differences of Dice and Hausdorff distance with their intervals]({differences})"
        yield table(list(_results(report)), markdown=True)
    yield from _cells(report)
    yield from _figures(report, address)
    if report.other_results:
        lines = [f"* `{path}`" for path in report.other_results]
        yield _details(f"{len(lines)} other results that differ", "\n".join(lines))
    if report.inputs.code:
        lines = [
            f"* `{code.path}`" + (f" ({', '.join(code.stages)})" if code.stages else "")
            for code in report.inputs.code
        ]
        yield _folded("### Code, and the stages that depend on it", "\n".join(lines), len(lines))


def _verdict(report: Report) -> str:
    if report.same:
        return "Nothing of the study that git keeps differs: parameters, code, data, results and figures."
    counts = {verdict: report.count(verdict) for verdict in VERDICTS}
    text = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
    answer = f"Mean Dice of networks by patch size: {text}." if text else "No result is compared."
    for change, cells in (("new", report.cells.new), ("gone", report.cells.gone)):
        answer += f" {len(cells)} cells are {change}." if cells else ""
    return f"{answer} **{len(report.regressions) or 'No'} regression{'s' * (len(report.regressions) != 1)}.**"


def _inputs(report: Report) -> Iterator[str]:
    inputs = report.inputs
    if not inputs:
        yield "Parameters, code, data and packages are the same."
    titles = {"Parameters": inputs.parameters, "Data": inputs.data, "Packages": inputs.packages}
    for title, changes in titles.items():
        if changes:
            rows: list[Row] = [(title.lower(), "before", "after"), *map(_change, changes)]
            yield _folded(f"### {title}", table(rows, markdown=True), len(changes))


def _change(change: Change) -> Row:
    return (
        f"`{change.name}`",
        # A value may hold anything, and a comment of a pull request is read by others.
        *(
            "(absent)" if value is None else html.escape(" ".join(value.split()), quote=False)
            for value in (change.before, change.after)
        ),
    )


def _results(report: Report) -> Iterator[Row]:
    heads = (
        f"{score} {what}" for score in ("Dice", "Hausdorff") for what in ("before", "after", "difference")
    )
    yield ("task", "network", "patch", *heads)
    for c in report.configurations:
        size = "any" if c.patch_size is None else str(c.patch_size)
        yield (c.task, name_of(c.model), size, *_score(c.dice), *_score(c.hausdorff))


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
    shown = ", ".join(f"`{cell.key}`" for cell in cells[:LONG_LIST])
    return shown + (f" and {len(cells) - LONG_LIST} more" if len(cells) > LONG_LIST else "")


def _figures(report: Report, address: FigureAddress | None) -> Iterator[str]:
    if not report.figures:
        return
    yield "### Figures that differ"
    if address is None:
        yield "\n".join(f"* `{path}`" for path in report.figures)
        return
    for path in report.figures:
        images = [address(path, side) for side in ("before", "after")]
        row = [
            f"![{path}, {side}]({url})" if url else "(none)"
            for side, url in zip(("before", "after"), images, strict=True)
        ]
        yield _details(f"<code>{path}</code>", table([("before", "after"), row], markdown=True))


def _folded(title: str, body: str, length: int) -> str:
    """A section; a long one is folded away."""
    if length <= LONG_LIST:
        return f"{title}\n\n{body}"
    return f"{title}\n\n{_details(f'{length} changes', body)}"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
