"""Tables of text for the terminal and for Markdown, and how a number with its interval is written."""

import re
from collections.abc import Sequence

from context_fbr.visible import visible as visible

Row = Sequence[str]


def table(rows: Sequence[Row], markdown: bool) -> str:
    """The rows, the first of which is the head, in columns of equal width or as Markdown.

    Control characters and line breaks of a cell are made visible.
    """
    rows = [[visible(text) for text in row] for row in rows]
    if markdown:
        lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
        return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _cell(text: str) -> str:
    """A cell of Markdown: a bar does not end it, nor one behind backslashes, nor a line break."""
    return re.sub(r"(\\*)\|", r"\1\1\\|", " ".join(text.splitlines()))


def interval_text(estimate: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """`0.957 [0.832, 0.983]`, without limits if there are none; `sign` is "+" for a difference."""
    if estimate is None:
        return "-"
    text = f"{estimate:{sign}.3f}"
    return text if low is None else f"{text} [{low:{sign}.3f}, {high:{sign}.3f}]"
