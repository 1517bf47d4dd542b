"""Seconds that a cell takes outside of its two stages in `grid run`: DVC, and the start of processes.

They depend on the machine and on the length of dvc.lock, so each run of cells notes them for later forecasts.
"""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path

from context_fbr.config.cell import Cell
from context_fbr.core import atomic, bounded
from context_fbr.runtime import provenance

FILE = Path(".dvc/tmp/context-fbr/overhead.json")
USUAL_S = 5.0
"""Seconds of a cell where nothing was noted yet."""
MOST_S = 300.0
"""More is no overhead: the machine was suspended, or a stage was resumed."""


def seconds() -> float:
    """Return the seconds that the last cells on this machine took outside of their stages."""
    try:
        value = float(bounded.read_json(FILE)["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return USUAL_S
    return value if 0 <= value <= MOST_S else USUAL_S


def note(taken: Mapping[Cell, float], since: float) -> None:
    """Note the median overhead of cells that were computed now.

    Args:
        taken: seconds of whole cells.
        since: time at which they began, as of `time.time`; older records do not count.
    """
    found = []
    for cell, whole in taken.items():
        paths = [cell.provenance(stage) for stage in ("train", "evaluate")]
        if all(path.is_file() and path.stat().st_mtime >= since for path in paths):
            records = [provenance.read(path) for path in paths]
            if not any(record.get("resumed") for record in records):
                found.append(whole - sum(float(record["seconds"]) for record in records))
    if found:
        value = min(max(statistics.median(found), 0.0), MOST_S)
        atomic.write_text(FILE, json.dumps({"seconds": round(value, 2)}) + "\n")
