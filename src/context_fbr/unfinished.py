"""Where the unfinished work of all cells lies, and which of it nobody will continue."""

import os
import re
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from context_fbr import bounded, locks
from context_fbr.cells import Cell
from context_fbr.errors import UserError

ROOT_VARIABLE = "CONTEXT_FBR_RESUME"
INPUTS = "inputs.json"
"""In each place: digests of what decides its results."""
PLACE = re.compile(r"([a-z]+)-[0-9a-f]{16}\.\d+")


def root() -> Path:
    """The folder of all places, in which each cell has its own."""
    return Path(os.environ.get(ROOT_VARIABLE) or Path(os.environ.get("DVC_ROOT") or ".") / ".dvc/tmp/resume")


def lock_of(place: Path) -> Path:
    """The lock that the process holds which works at a place."""
    return place.with_name(f"{place.name}.lock")


def abandoned(keys: Collection[str]) -> list[Path]:
    """Places where nobody works, and that nothing will go on from.

    They are those of cells outside of `keys`, and of a cell's stage all but the one that was changed last, or
    all, if the stage was begun again after that and came to its end: parameters, data or code of the others
    were changed since.
    """
    newest: dict[tuple[str, str], Path] = {}
    found: list[Path] = []
    for place in sorted(root().glob("*/*"), key=lambda path: path.stat().st_mtime_ns):
        matched = PLACE.fullmatch(place.name)
        if not matched or not place.is_dir():
            continue
        cell, stage = place.parent.name, matched[1]
        if not locks.is_held(lock_of(place)):
            found.append(place)
        if place.stat().st_mtime > _begun(cell, stage):
            newest[cell, stage] = place
    return [place for place in found if place.parent.name not in keys or place not in newest.values()]


def _begun(key: str, stage: str) -> float:
    """When the run began that made the results of a cell's stage, in seconds; 0 if nobody knows."""
    try:
        path = Cell.from_key(key).provenance(stage)
        return datetime.fromisoformat(bounded.read_json(path)["started"]).timestamp()
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return 0.0
