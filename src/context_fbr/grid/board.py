"""How the cells get on: on a terminal a bar for the grid and one for each cell, in a log plain lines."""

import re
import threading
from types import TracebackType
from typing import Self

from tqdm import tqdm

from context_fbr.cells import Cell

PROGRESS = re.compile(r"(?P<key>\S+): epoch (?P<epoch>\d+)/(?P<epochs>\d+), (?P<scores>.*)")


class Board:
    """Shared by the workers, each of which has a lane; one lock guards all of it."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._ended = 0
        self._lock = threading.Lock()
        self._grid = tqdm(total=cells, desc="cells", unit="cell", position=0, disable=None)
        self._lanes: dict[int, tqdm] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            for bar in self._lanes.values():
                bar.close()
            self._grid.close()

    def started(self, lane: int, cell: Cell) -> None:
        """A worker took a cell."""
        with self._lock:
            if not self._grid.disable:
                self._lanes[lane] = tqdm(desc=cell.key, unit="epoch", position=1 + lane, leave=False)

    def said(self, lane: int, line: str) -> None:
        """A cell printed a line."""
        match = PROGRESS.match(line)
        if not match:
            return
        with self._lock:
            if self._grid.disable:
                print(line.rstrip(), flush=True)
                return
            bar = self._lanes[lane]
            bar.total = int(match["epochs"])
            bar.set_postfix_str(match["scores"], refresh=False)
            bar.update(int(match["epoch"]) - bar.n)

    def ended(self, lane: int, cell: Cell, succeeded: bool, seconds: float) -> None:
        """A cell came to its end."""
        with self._lock:
            self._ended += 1
            said = "done" if succeeded else "FAILED"
            line = f"[{self._ended}/{self._cells}] {cell.key} {said} in {seconds:.0f} s"
            if self._grid.disable:
                print(line, flush=True)
                return
            self._lanes.pop(lane).close()
            tqdm.write(line)
            self._grid.update()
