"""Cost of the cells of a study next to their Dice, from metrics/provenance and metrics/TASK/cells.csv."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError
from context_fbr.runtime import provenance
from context_fbr_tools.study.text_tables import Row, table

METRICS = Path("metrics")
STAGES = ("train", "evaluate")


@dataclass(frozen=True)
class Cost:
    """Cost of a cell, as far as its records have it."""

    cell: Cell
    dice: float | None
    """Mean test Dice."""
    seconds: Mapping[str, float]
    """Seconds by stage."""
    core_hours: float
    memory: int | None
    """Bytes, at most."""
    joules: float | None
    """Energy of the machine's processors meanwhile."""
    gpu_memory: int | None
    """Bytes of a GPU, at most."""
    gpu_joules: float | None
    """Energy of the GPU meanwhile."""
    device: str
    resumed: bool
    """True if a stage was interrupted: then its records count its last part only."""


def read(cells: Sequence[Cell]) -> list[Cost]:
    """Read the cost of each cell that has a record; raises UserError if none has one."""
    dice = _dice({cell.task for cell in cells})
    found = []
    for cell in cells:
        records = {stage: provenance.read(cell.provenance(stage)) for stage in STAGES}
        if all(records.values()):
            found.append(_cost(cell, records, dice.get(cell.key)))
    if not found:
        raise UserError("metrics/provenance: has no record of these cells; run `dvc repro`")
    return found


def _cost(cell: Cell, records: Mapping[str, Mapping[str, Any]], dice: float | None) -> Cost:
    each = list(records.values())
    cpu = [record.get("cpu_seconds", record["seconds"] * record["threads"]) for record in each]

    def greatest(name: str) -> int | None:
        return max((record[name] for record in each if name in record), default=None)

    def total(name: str) -> float | None:
        known = [float(record[name]) for record in each if name in record]
        return sum(known) if len(known) == len(each) else None

    return Cost(
        cell,
        dice,
        {stage: float(record["seconds"]) for stage, record in records.items()},
        sum(cpu) / 3600,
        greatest("peak_memory_bytes"),
        total("energy_joules"),
        greatest("peak_gpu_memory_bytes"),
        total("gpu_energy_joules"),
        str(records["train"]["device"]),
        any(record["resumed"] for record in each),
    )


def _dice(tasks: set[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for path in (METRICS / task / "cells.csv" for task in tasks):
        if path.is_file():
            rows = pd.read_csv(path, dtype={"patch_size": str})
            keys = rows[["task", "model", "patch_size", "seed"]].astype(str).agg("-".join, axis=1)
            found |= dict(zip(keys, rows["dice"].astype(float), strict=True))
    return found


def as_text(costs: Sequence[Cost], by_cell: bool, markdown: bool, width: int | None = None) -> str:
    """Return a row for each configuration, or cell, with means over seeds, and the sum of each task."""
    groups: dict[tuple[str, ...], list[Cost]] = {}
    networks = list(dict.fromkeys((cost.cell.task, cost.cell.model) for cost in costs))
    for cost in sorted(costs, key=lambda c: (networks.index((c.cell.task, c.cell.model)), c.cell.patch_size)):
        cell = cost.cell
        key = (cell.task, name_of(cell.model), str(cell.patch_size), *([str(cell.seed)] if by_cell else []))
        groups.setdefault(key, []).append(cost)
    head = ["task", "network", "patch", "seed" if by_cell else "seeds", "Dice", "train, min", "evaluate, min"]
    on_gpu = any(cost.gpu_memory is not None for cost in costs)
    of_gpu = ["GPU memory, GB", "GPU energy, kJ"] if on_gpu else []
    rows: list[Row] = [[*head, "core-hours", "memory, GB", "CPU energy, kJ", *of_gpu]]
    for key, own in groups.items():
        place = list(key) if by_cell else [*key, str(len(own))]
        rows.append([*place, *_numbers(own), *(_numbers_of_gpu(own) if on_gpu else [])])
    blocks = [table(rows, markdown, width), _sums(costs)]
    resumed = [cost.cell.key for cost in costs if cost.resumed]
    if resumed:
        blocks.append(f"Interrupted, so that only the last part counts: {', '.join(resumed)}.")
    return "\n\n".join(blocks)


def _numbers(own: Sequence[Cost]) -> list[str]:
    return [
        _mean([cost.dice for cost in own], 3),
        *(_mean([cost.seconds[stage] for cost in own], 1, 60) for stage in STAGES),
        _mean([cost.core_hours for cost in own], 3),
        _gigabytes([cost.memory for cost in own]),
        _mean([cost.joules for cost in own], 1, 1e3),
    ]


def _numbers_of_gpu(own: Sequence[Cost]) -> list[str]:
    return [_gigabytes([cost.gpu_memory for cost in own]), _mean([cost.gpu_joules for cost in own], 2, 1e3)]


def _mean(values: Sequence[float | int | None], digits: int, unit: float = 1.0) -> str:
    known = [value / unit for value in values if value is not None]
    return f"{sum(known) / len(known):.{digits}f}" if known else ""


def _gigabytes(values: Sequence[int | None]) -> str:
    """Return the greatest; nothing if none is known."""
    known = [value for value in values if value is not None]
    return f"{max(known) / 1e9:.2f}" if known else ""


def _sums(costs: Sequence[Cost]) -> str:
    lines = []
    for task in dict.fromkeys(cost.cell.task for cost in costs):
        own = [cost for cost in costs if cost.cell.task == task]
        hours = sum(cost.core_hours for cost in own)
        lines.append(f"{task}: {len(own)} cells, {hours:.2f} core-hours")
    devices = ", ".join(dict.fromkeys(cost.device for cost in costs))
    total = sum(cost.core_hours for cost in costs)
    return "\n".join([*lines, f"together: {len(costs)} cells, {total:.2f} core-hours on {devices}"])
