"""The forecast as text and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from context_fbr.analysis.display_names import name_of
from context_fbr.config.study import Study
from context_fbr_tools.study.planning.forecast.costs import Costs, started, wall_time
from context_fbr_tools.study.planning.forecast.forecast import Forecast
from context_fbr_tools.study.text_tables import Row, table

GB = 1e9


@dataclass(frozen=True)
class Room:
    """Cells at once, and the memory that they share."""

    places: int
    """Cells at once."""
    memory: int = 0
    """Bytes that are free on this machine; 0: another machine's, not known."""
    gpus: int = 0
    gpu_memory: int = 0
    """Bytes that are free on the fullest of the GPUs."""


def as_text(found: Forecast, study: Study, room: Room, width: int | None = None) -> str:
    """Return a row for each configuration, then the whole.

    Args:
        found: of the study.
        study: the parameters.
        room: for the cells.
        width: of the terminal.
    """
    rows: list[Row] = [("task", "network", "patch", "seeds", "train", "evaluate", "memory", "disk")]
    groups: dict[tuple[str, str, object], list[Costs]] = {}
    for cell, own in found.cells.items():
        groups.setdefault((cell.task, cell.model, cell.patch_size), []).append(own)
    for (task, model, size), each in groups.items():
        one = each[0]
        rows.append(
            (
                task,
                name_of(model),
                str(size),
                str(len(each)),
                duration(one.train_s),
                duration(one.evaluate_s),
                f"{max(one.memory, one.gpu_memory) / GB:.2f} GB",
                f"{one.disk / 1e6:.1f} MB",
            )
        )
    lines = [table(rows, markdown=False, width=width), "", *_whole(found, study, room)]
    lines += [f"not in the forecast: {name}: {reason}" for name, reason in found.left_out.items()]
    return "\n".join(lines)


def _whole(found: Forecast, study: Study, room: Room) -> list[str]:
    if not found.cells:
        return ["no cell could be measured"]
    total = sum(own.seconds for own in found.cells.values())
    wall = wall_time(started(found.cells, study.study_cells.tasks), room.places)
    disk = sum(own.disk for own in found.cells.values())
    longest = max(found.cells, key=lambda cell: found.cells[cell].seconds)
    return [
        f"{len(found.cells)} cells: {duration(total)} one after the other, {duration(wall)} with "
        f"{room.places} at once",
        f"the longest: {longest.key}, {duration(found.cells[longest].seconds)}",
        *_memory(found, room),
        *([f"disk: {disk / GB:.2f} GB of weights and predictions"] if disk else []),
    ]


def _memory(found: Forecast, room: Room) -> list[str]:
    """Return a line for the machine's memory and one for that of a GPU, of the largest cells at once."""
    if not room.memory:
        return []
    largest = max(found.cells, key=lambda cell: found.cells[cell].memory)
    each = found.cells[largest].memory
    at_once = min(room.places, len(found.cells))
    line = f"memory: up to {each * at_once / GB:.1f} GB of {room.memory / GB:.1f} GB that are free"
    lines = [line + _too_much(each, at_once, room.memory, "--jobs", largest.key)]
    if room.gpus:
        largest = max(found.cells, key=lambda cell: found.cells[cell].gpu_memory)
        each, share = found.cells[largest].gpu_memory, math.ceil(at_once / room.gpus)
        there = f"{room.gpu_memory / GB:.1f} GB that are free"
        line = f"memory of a GPU: up to {each * share / GB:.1f} GB of {there}"
        lines.append(line + _too_much(each, share, room.gpu_memory, "--per-gpu", largest.key))
    return lines


def _too_much(each: int, count: int, memory: int, option: str, largest: str) -> str:
    """Return the end of a line where cells at once need more memory than there is."""
    if each * count <= memory:
        return ""
    fitting = memory // each
    remedy = f"run {fitting} at once ({option} {fitting})" if fitting else f"{largest} does not fit"
    return f", which is too much: {remedy}"


def as_json(found: Forecast, study: Study, places: Sequence[int], device: str) -> dict[str, Any]:
    """Return the forecast as a tree for JSON, in seconds and bytes.

    Args:
        found: of the study.
        study: the parameters.
        places: numbers of cells at once, as of jobs here or of an array on a cluster.
        device: that was measured.
    """
    seconds = started(found.cells, study.study_cells.tasks)
    return {
        "device": device,
        "cells": {
            cell.key: {
                "train_s": round(own.train_s, 1),
                "evaluate_s": round(own.evaluate_s, 1),
                "memory_bytes": own.memory,
                "gpu_memory_bytes": own.gpu_memory,
                "disk_bytes": own.disk,
            }
            for cell, own in found.cells.items()
        },
        "total_s": round(sum(seconds), 1),
        "wall_s": {str(count): round(wall_time(seconds, count), 1) for count in places},
        "left_out": dict(found.left_out),
    }


def duration(seconds: float) -> str:
    """Return seconds as people say them: `45 s`, `12.5 min`, `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
