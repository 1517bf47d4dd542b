"""The table of cells on a terminal, a row a cell, for local runs and Slurm."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text


class State(StrEnum):
    """State of a cell, in the order of the summary."""

    RUNNING = "running"
    FAILED = "FAILED"
    LOST = "lost"
    """Submitted to a scheduler that does not list it any more."""
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    DONE = "done"
    CACHED = "cached"
    """Its results were there already, nothing ran."""
    WAITING = "waiting"
    NOT_SUBMITTED = "not submitted"


RANK = {
    State.RUNNING: 0,
    State.FAILED: 1, State.LOST: 1, State.UNKNOWN: 1,
    State.DONE: 2, State.CACHED: 2, State.CANCELLED: 2,
    State.WAITING: 3, State.NOT_SUBMITTED: 4,
}  # fmt: skip
"""Order of the rows that are shown if not all have room."""
STYLES = {
    State.RUNNING: "bold", State.FAILED: "bold red", State.LOST: "bold red", State.UNKNOWN: "yellow",
    State.CANCELLED: "yellow", State.DONE: "green", State.CACHED: "green",
}  # fmt: skip
BAR_COLUMNS = 12


@dataclass(frozen=True)
class Row:
    """A cell as the table shows it; None for a value that is not known yet."""

    key: str
    state: State
    epoch: int | None = None
    """The last that was validated."""
    epochs: int | None = None
    dice: float | None = None
    """Dice of that validation."""
    seconds: float | None = None
    """Run time so far, or total run time."""
    note: str = ""
    ended: float | None = None
    """Time of the end, in seconds of any clock."""


LEFT_OUT_FIRST = ("note", "", "time", "epoch", "state", "Dice")
"""Columns in the order in which they make room on a narrow terminal; the cell's key always stays."""
GAP = 2  # blanks between two columns


def table(rows: Sequence[Row], height: int, seconds: float, width: int = 1000) -> RenderableType:
    """Return rows and a summary in `height` lines, or in four if that is less.

    Args:
        rows: all cells; those that wait in the order in which they will start.
        height: lines that there are.
        seconds: since the beginning.
        width: columns of the terminal; those of the table that have no room are left out.
    """
    shown = visible(rows, max(height - 2, 2))  # without the header and the summary
    cells = Table(box=None, pad_edge=False, expand=False)
    widths = _fitting(shown, width)
    for name, most in widths.items():
        right = name in ("epoch", "Dice", "time")
        cells.add_column(
            name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis", max_width=most
        )
    for row in shown:
        known = {
            "cell": Text(row.key),
            "": "" if row.epoch is None else ProgressBar(row.epochs, row.epoch, BAR_COLUMNS),
            **{name: Text(text) for name, text in _texts(row).items()},
            "state": Text(row.state, STYLES.get(row.state, "dim")),
        }
        cells.add_row(*(known[name] for name in widths))
    hidden = len(rows) - len(shown)
    more = [Text(f"and {hidden} cells that have no room here", "dim", no_wrap=True)] if hidden else []
    last = Text(summary(rows, seconds), no_wrap=True, overflow="ellipsis")
    return Group(cells, *more, last)


def _texts(row: Row) -> dict[str, str]:
    """Return the columns of a row that are text, by name."""
    return {
        "state": row.state,
        "epoch": "" if row.epoch is None else f"{row.epoch}/{row.epochs}",
        "Dice": "" if row.dice is None else f"{row.dice:.3f}",
        "time": "" if row.seconds is None else clock(row.seconds),
        "note": row.note.partition("\n")[0],
    }


def _fitting(rows: Sequence[Row], width: int) -> dict[str, int]:
    """Return the columns that fit into a terminal, with their widths; only a note may be cut."""
    names = ["cell", "state", "epoch", "", "Dice", "time", "note"]
    texts = [_texts(row) for row in rows]
    widths = {
        name: max([len(name), *(len(text[name]) for text in texts)]) for name in names if name in texts[0]
    }
    widths |= {"cell": max(len("cell"), *(len(row.key) for row in rows)), "": BAR_COLUMNS}
    if not any(row.note for row in rows):
        names.remove("note")
    longest_note, widths["note"] = widths["note"], len("note")
    for name in LEFT_OUT_FIRST:
        if sum(widths[name] for name in names) + GAP * (len(names) - 1) <= width:
            break
        if name in names:
            names.remove(name)
    room = width - sum(widths[name] for name in names if name != "note") - GAP * (len(names) - 1)
    widths["note"] = min(longest_note, room)
    return {name: widths[name] for name in names}


def visible(rows: Sequence[Row], lines: int) -> list[Row]:
    """Return the rows for so many lines, the last of which counts the rows that have no room.

    If all have room, they stay in their order, so that a reader finds a cell where it was. Otherwise those
    that may need attention come first, then the last that ended, then the next to start.
    """
    if len(rows) <= lines:
        return list(rows)
    urgent = sorted(rows, key=lambda row: (RANK[row.state], -(row.ended or 0.0)))
    return urgent[: lines - 1]


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Return the number of cells of each state."""
    count = Counter(row.state for row in rows)
    states = [f"{count[state]} {state}" for state in State if count[state]]
    return f"{len(rows)} cells: {', '.join(states)}; {clock(seconds)}"


def clock(seconds: float) -> str:
    """Format seconds, for example as 0:01:05, or 30:00:00 for more than a day."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
