"""Tables of text for the terminal and for Markdown, and how a number with its interval is written."""

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from context_fbr.core.errors import visible

Row = Sequence[str]


LEAST_WIDTH = 12
"""Least width of a column whose cells are wrapped."""


def terminal_width() -> int | None:
    """Return the columns of the terminal; None where output goes to a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(rows: Sequence[Row], markdown: bool, width: int | None = None) -> str:
    """Return the rows, the first of which is the head, in columns of equal width or as Markdown.

    Control characters and line breaks of a cell are made visible.

    Args:
        rows: of the same length.
        markdown: instead of text for a terminal.
        width: of the terminal, to which the cells of the widest columns are wrapped; None is no limit.
    """
    rows = [[visible(text) for text in row] for row in rows]
    if markdown:
        lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
        return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    while width and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > LEAST_WIDTH:
        widths[widths.index(max(widths))] -= 1
    head, *body = [_lines(row, widths) for row in rows]
    rule = "-" * max(len(line) for lines in (head, *body) for line in lines)
    return "\n".join([*head, rule, *(line for lines in body for line in lines)])


def _lines(row: Row, widths: Sequence[int]) -> list[str]:
    """Return the lines of a row, whose cells are wrapped where they are wider than their columns."""
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    return [
        "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip_longest(*cells, fillvalue="")
    ]


def _cell(text: str) -> str:
    """A cell of Markdown: a bar does not end it, nor one behind backslashes, nor a line break."""
    return re.sub(r"(\\*)\|", r"\1\1\\|", " ".join(text.splitlines()))


def interval_text(estimate: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """`0.957 [0.832, 0.983]`, without limits if there are none; `sign` is "+" for a difference."""
    if estimate is None:
        return "-"
    text = f"{estimate:{sign}.3f}"
    return text if low is None else f"{text} [{low:{sign}.3f}, {high:{sign}.3f}]"
