"""The forecast as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from context_fbr.analysis.display_names import name_of
from context_fbr.config.study import Study
from context_fbr_tools.study.planning.forecast.costs import Costs, started, wall_time
from context_fbr_tools.study.planning.forecast.forecast import Forecast
from context_fbr_tools.study.text_tables import Row, table

GB = 1e9


def as_text(found: Forecast, study: Study, places: int, memory: int, width: int | None = None) -> str:
    """Return a row for each configuration, then the whole.

    Args:
        found: of the study.
        study: the parameters.
        places: cells at once.
        memory: bytes that are free on this machine.
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
    lines = [table(rows, markdown=False, width=width), "", *_whole(found, study, places, memory)]
    lines += [f"not in the forecast: {name}: {reason}" for name, reason in found.left_out.items()]
    return "\n".join(lines)


def _whole(found: Forecast, study: Study, places: int, memory: int) -> list[str]:
    if not found.cells:
        return ["no cell could be measured"]
    total = sum(own.seconds for own in found.cells.values())
    wall = wall_time(started(found.cells, study.study_cells.tasks), places)
    disk = sum(own.disk for own in found.cells.values())
    longest = max(found.cells, key=lambda cell: found.cells[cell].seconds)
    largest = max(found.cells, key=lambda cell: found.cells[cell].memory)
    each = found.cells[largest].memory
    memory_line = f"memory: up to {each * places / GB:.1f} GB of {memory / GB:.1f} GB that are free"
    if each * places > memory:
        fitting = memory // each
        remedy = f"run {fitting} at once (--jobs {fitting})" if fitting else f"{largest.key} does not fit"
        memory_line += f", which is too much: {remedy}"
    return [
        f"{len(found.cells)} cells: {duration(total)} one after the other, {duration(wall)} with {places} "
        "at once",
        f"the longest: {longest.key}, {duration(found.cells[longest].seconds)}",
        memory_line,
        f"disk: {disk / GB:.2f} GB of weights and predictions",
    ]


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
