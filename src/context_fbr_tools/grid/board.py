"""Progress of the cells: a live table on a terminal, plain lines in a log."""

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from context_fbr_tools.grid.log_lines import progress
from context_fbr_tools.grid.table import Row, State, table

DRAWN_PER_SECOND = 2


class Board:
    """Shared by the workers; one lock guards all of it."""

    def __init__(self, keys: Sequence[str], console: Console | None = None) -> None:
        # Rich by itself takes a log for a terminal where FORCE_COLOR is set, as on many CI machines.
        console = console or Console(force_terminal=sys.stdout.isatty())
        self._console = console
        self._is_terminal = console.is_terminal and not console.is_dumb_terminal
        self._rows = {key: Row(key, State.WAITING) for key in keys}
        self._began: dict[str, float] = {}
        self._start = time.monotonic()
        self._ended = 0
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=DRAWN_PER_SECOND)

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for key in list(self._began):  # left only by an error: an interrupt, or a signal
                self._change(key, state=State.CANCELLED, seconds=time.monotonic() - self._began.pop(key))
        if self._is_terminal:
            self._live.stop()  # draws again, so not under the lock

    def started(self, key: str) -> None:
        """A worker took a cell."""
        with self._lock:
            self._began[key] = time.monotonic()
            self._change(key, state=State.RUNNING)

    def said(self, key: str, line: str) -> None:
        """A cell printed a line."""
        found = progress(line, key)
        if found is None:
            return
        with self._lock:
            self._change(key, epoch=found.epoch, epochs=found.epochs, dice=found.dice)
            if not self._is_terminal:
                print(line.rstrip(), flush=True)

    def ended(self, key: str, state: State, seconds: float) -> None:
        """Note that a cell has ended."""
        with self._lock:
            self._ended += 1
            del self._began[key]
            self._change(key, state=state, seconds=seconds, ended=time.monotonic())
            if not self._is_terminal:
                print(f"[{self._ended}/{len(self._rows)}] {key} {state} in {seconds:.0f} s", flush=True)

    def print(self, text: str) -> None:
        """Print a line above the table at once, or into the log."""
        if self._is_terminal:
            self._console.print(text, markup=False, highlight=False)
            self._live.refresh()
        else:
            print(text, flush=True)

    def _change(self, key: str, **changes: object) -> None:
        self._rows[key] = replace(self._rows[key], **changes)  # type: ignore[arg-type]

    def _table(self) -> RenderableType:
        now = time.monotonic()
        with self._lock:
            rows = [
                replace(row, seconds=now - self._began[row.key]) if row.key in self._began else row
                for row in self._rows.values()
            ]
        # One line is left free, or a terminal that scrolls would keep a copy of the first one.
        return table(rows, self._console.height - 1, now - self._start, self._console.width)
