"""Table and figure of what a study can detect."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from context_fbr.analysis.result_files import read_frame
from context_fbr.core.errors import UserError
from context_fbr.figures.style import COLOURS, DASHES, drawing, png, subplots
from context_fbr_tools.study.findings_text import read_json
from context_fbr_tools.study.planning.components import Components, pairs
from context_fbr_tools.study.planning.power import (
    MOST_CASES,
    MOST_SEEDS,
    POWER,
    cases_for,
    detectable,
    seeds_for,
    with_numbers,
)
from context_fbr_tools.study.show import task_folders
from context_fbr_tools.study.text_tables import Row, table

SEEDS = (2, 3, 5, 8, 12, 20)
"""Numbers of seeds of the figure."""


@dataclass(frozen=True)
class Detection:
    """Detectable differences of a task's comparisons."""

    task: str
    confidence: float
    parts: dict[str, Components]
    """Components by pair of configurations."""
    detectable: pd.Series
    """Smallest detectable difference of each pair, sorted."""

    @property
    def typical(self) -> str:
        """The pair with the median detectable difference."""
        return str(self.detectable.index[(len(self.detectable) - 1) // 2])

    @property
    def hardest(self) -> str:
        """The pair with the greatest."""
        return str(self.detectable.index[-1])


def read_detections(folder: Path) -> list[Detection]:
    """Read the results of each task in a folder of metrics.

    Raises:
        UserError: if there are none, or tables are missing or damaged.
    """
    found = []
    for of_task in task_folders(folder):
        path = of_task / "cases.csv"
        try:
            parts = pairs(read_frame(path, text=("patch_size",)))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path}: cannot be read ({error}); run `dvc repro`") from error
        if not parts:
            continue
        confidence = float(read_json(of_task / "findings.json")["confidence"])
        reach = pd.Series({name: detectable(own, confidence) for name, own in parts.items()})
        found.append(Detection(of_task.name, confidence, parts, reach.sort_values(kind="stable")))
    if not found:
        raise UserError(f"{folder}: no two configurations with several seeds and the same test cases")
    return found


def as_table(detections: list[Detection], target: float) -> pd.DataFrame:
    """Return a row for a typical and the hardest pair of each task: what is detected, what `target` needs."""
    rows = []
    for own in detections:
        for kind, name in (("typical", own.typical), ("hardest", own.hardest)):
            parts = own.parts[name]
            rows.append(
                {
                    "task": own.task,
                    "pair": kind,
                    "of": name,
                    "seeds": parts.seeds,
                    "cases": parts.cases,
                    "designed": parts.is_designed,
                    "detectable": round(float(own.detectable[name]), 4),
                    "training_sd": round((sum(parts.training) / 2) ** 0.5, 4),
                    "case_sd": round(parts.case**0.5, 4),
                    "seeds_for_target": seeds_for(parts, target, own.confidence),
                    "cases_for_target": cases_for(parts, target, own.confidence),
                }
            )
    return pd.DataFrame(rows).astype({"seeds_for_target": "Int64", "cases_for_target": "Int64"})


def as_text(found: pd.DataFrame, target: float, width: int | None) -> str:
    """Return the table for a terminal."""
    rows: list[Row] = [
        (
            "task",
            "pair",
            "seeds",
            "cases",
            f"detected at {POWER:.0%}",
            f"seeds for {target:g}",
            f"cases for {target:g}",
        )
    ]
    for row in found.itertuples():
        seeds = f"more than {MOST_SEEDS}" if pd.isna(row.seeds_for_target) else str(row.seeds_for_target)
        cases = f"more than {MOST_CASES:,}" if pd.isna(row.cases_for_target) else str(row.cases_for_target)
        rows.append(
            (
                row.task,
                f"{row.pair}: {row.of}",
                str(row.seeds),
                str(row.cases),
                f"{row.detectable:.3f}",
                seeds,
                "designed" if row.designed else cases,
            )
        )
    return table(rows, markdown=False, width=width)


def as_figure(detections: list[Detection], target: float) -> bytes:
    """Draw the detectable difference of the typical pair of each task against the number of seeds."""
    with drawing():
        figure, axis = subplots(figsize=(6.6, 4.0))
        for number, own in enumerate(detections):
            parts = own.parts[own.typical]
            reach = [detectable(with_numbers(parts, n, parts.cases), own.confidence) for n in SEEDS]
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
            axis.plot(np.arange(len(SEEDS)), reach, marker="o", markersize=4, label=own.task, **style)
        axis.axhline(target, color="#555555", linewidth=1, linestyle=":")
        axis.annotate(
            f"{target:g}", (len(SEEDS) - 1, target), (4, 0), textcoords="offset points", va="center"
        )
        axis.set_xticks(range(len(SEEDS)), list(map(str, SEEDS)))
        axis.set_yscale("log")
        axis.set_xlabel("seeds of each configuration")
        axis.set_ylabel(f"difference of mean Dice detected\nwith a power of {POWER:.0%}")
        axis.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title="typical pair of")
        figure.tight_layout()
        return png(figure)
