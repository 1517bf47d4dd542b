"""Blocks of README.md and docs about context and foreground ratio, from metrics/compare."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.findings.context.exploratory import RECIPE
from context_fbr.analysis.findings.hypothesis import CONTROL, PRIMARY
from context_fbr.analysis.result_files import read_frame
from context_fbr.analysis.tables.context import ALL
from context_fbr.analysis.tables.core_cells import CONTEXT
from context_fbr.core.patch_size import parse
from context_fbr_tools.study.findings_text import part_text, verdict_text
from context_fbr_tools.study.text_tables import Row, interval_text, table

METRICS, TASK, PLAIN = Path("metrics"), "twins", "spheres"
FINDINGS = METRICS / "compare/context.json"
ABSENT = "There are no results yet: run `dvc repro`."


def context() -> str:
    """Return a paragraph for README.md: context at equal supervised voxels, where needed and where not."""
    found = {(f["task"], f["id"]): f for f in _tree()["findings"]}
    first = found.get((TASK, "context_at_equal_core"))
    if first is None:
        return ABSENT
    dose, plain = found.get((TASK, "dose_response")), found.get((PLAIN, "no_context_needed"))
    large, small = re.findall(r"patch (\d+) minus (\d+)", first["statistic"])[0]
    grows = "" if dose is None else f"; that it adds more where the context is farther is {dose['verdict']}"
    lines = [
        f"**Context, at a fixed foreground ratio.** In the task `{TASK}` two equal balls differ only in a "
        "shell around each, which says which ball is foreground. The score is the share of the right ball "
        "that is labelled minus that of the wrong ball: 1 is perfect, 0 is a guess. With the same supervised "
        f"voxels, windows of {large} instead of {small} voxels change it by {_text(first)} "
        f"({_by_part(first)}){grows}."
    ]
    if plain is not None:
        lines.append(
            f"On `{PLAIN}`, which needs no context, the same change of windows alters Dice by "
            f"{_text(plain)}; whether that is little: {plain['verdict']}."
        )
    return " ".join(lines)


def context_findings() -> str:
    """Return a table of the findings of each task, and a line of those not asked."""
    tree = _tree()
    if not tree["findings"]:
        return ABSENT
    rows: list[Row] = [("task", "statement", "magnitude", "verdict")]
    for finding in tree["findings"]:
        role = f"{finding['role']}: " if finding["role"] in (PRIMARY, CONTROL) else ""
        rows.append(
            (
                finding["task"],
                role + finding["statement"],
                _text(finding),
                verdict_text(finding, tree["confidence"]),
            )
        )
    absent = [f"{f['id']} of {f['task']} ({f['reason']})" for f in tree["not_asked"]]
    blocks = [table(rows, markdown=True)] + ([f"Not asked: {', '.join(absent)}."] if absent else [])
    return "\n\n".join(blocks)


def context_parts() -> str:
    """Return the published difference of two patch sizes and its two parts, by task, network and score."""
    path = METRICS / "compare/context_parts.csv"
    if not path.exists():
        return ABSENT
    rows: list[Row] = [
        ("task", "network", "score", "patch = core", "= context, at equal core", "+ ratio, at equal window")
    ]
    names = {"dice": "Dice", CONTEXT: "hit - false"}
    keys = ["task", "network", "score", "small", "large"]
    for (task, network, score, small, large), own in pd.read_csv(path).groupby(keys, sort=False):
        parts = {
            row.part: interval_text(row.difference, row.difference_low, row.difference_high, "+")
            for row in own.itertuples()
        }
        values = (f"{large} - {small}: {parts['published']}", parts["context"], parts["ratio"])
        rows.append((str(task), name_of(str(network)), names[str(score)], *values))
    return table(rows, markdown=True) if len(rows) > 1 else ABSENT


def published_recipe() -> str:
    """Return hit - false by patch size of the published recipe, with the task's recipe and the observer."""
    path = METRICS / TASK / "context.csv"
    if not path.exists():
        return ABSENT
    cells = read_frame(path, text=("patch_size", "core"))
    cells = cells[(cells["distance"] == ALL) & (cells["core"] == cells["patch_size"])]
    rows: list[Row] = [("network", "patch", "hit - false", "ideal observer", "Dice", "ideal observer")]
    for model in cells.loc[cells["model"].str.endswith(RECIPE), "model"].unique():
        for name in (model.removesuffix(RECIPE), model):
            own = cells[cells["model"] == name]
            for row in sorted(own.itertuples(), key=lambda row: parse(row.patch_size)):
                apart = interval_text(
                    row.hit_minus_false, row.hit_minus_false_low, row.hit_minus_false_high, "+"
                )
                best = f"{row.observer_hit_minus_false:+.3f}"
                dice = interval_text(row.dice, row.dice_low, row.dice_high)
                rows.append(
                    (name_of(name), str(row.patch_size), apart, best, dice, f"{row.observer_dice:.3f}")
                )
    return table(rows, markdown=True) if len(rows) > 1 else ABSENT


def _tree() -> dict[str, Any]:
    """Return context.json; without findings if it is not there."""
    if not FINDINGS.exists():
        return {"findings": [], "not_asked": []}
    tree: dict[str, Any] = json.loads(FINDINGS.read_text())
    return tree


def _text(finding: dict[str, Any]) -> str:
    return interval_text(finding["estimate"], finding["low"], finding["high"], "+")


def _by_part(finding: dict[str, Any]) -> str:
    """Return the verdict, and magnitude and verdict of each network."""
    return "; ".join([finding["verdict"], *map(part_text, finding["parts"])])
