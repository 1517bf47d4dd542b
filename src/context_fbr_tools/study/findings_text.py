"""Findings as tables for the terminal or for pages, from the files that git keeps."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from context_fbr.analysis.confidence_intervals import NOT_DECIDED, SUPPORTED
from context_fbr.analysis.findings.hypothesis import CONTROL, PRIMARY
from context_fbr.core import bounded
from context_fbr.core.errors import UserError
from context_fbr_tools.study.text_tables import Row, interval_text, table

COMPARE = "compare"
"""Folder of metrics/ with the findings of several tasks."""
PUBLISHED = "published"
"""Folder of metrics/ with findings that are of no task of this study."""


@contextmanager
def of_this_version(folder: Path) -> Iterator[None]:
    """Turn a table that lacks what this version writes into an error of the user's."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{folder}: its tables are of another version ({error!r}); run `dvc repro`"
        ) from error


def read_json(path: Path) -> Any:
    """Read a file of results; raises UserError if it is missing or damaged."""
    try:
        return bounded.read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro`, or name the folder that holds it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: is damaged ({reason}); run `dvc repro`") from error


def findings_of(folder: Path, task: str, context: bool = False) -> dict[str, Any]:
    """Return findings.json of a folder for a task, with the findings that compare it with other tasks.

    With `context`, those about context and foreground ratio come after them. The published results are
    compared with nothing: what compares tasks is of this study.
    """
    names = ("findings.json", *(("context.json",) if context else ()))
    compared = [folder.parent / COMPARE / name for name in names]
    others = [] if folder.name == PUBLISHED else compared
    trees = [read_json(folder / "findings.json"), *(read_json(path) for path in others if path.is_file())]
    kinds = {
        kind: {entry["id"]: entry for tree in trees for entry in tree[kind] if entry["task"] == task}
        for kind in ("findings", "not_asked")
    }
    return trees[0] | {kind: [*entries.values()] for kind, entries in kinds.items()}


def findings_block(folder: Path, task: str) -> str:
    """Return a task's findings as Markdown, and a line with those that could not be asked.

    Args:
        folder: of findings.json: of the task, or of the published results.
        task: of the findings.

    Raises:
        UserError: if findings.json is missing or damaged.
    """
    with of_this_version(folder):
        return "\n\n".join(findings_table(findings_of(folder, task), markdown=True, width=None))


def findings_table(tree: dict[str, Any], markdown: bool, width: int | None) -> list[str]:
    """Return the table of a task's findings, and a line of those not asked; an empty column is left out."""
    rows: list[Row] = [("statement", "magnitude", "surface Dice", "published", "verdict")]
    for finding in tree["findings"]:
        magnitudes = [_magnitude(finding, prefix) for prefix in ("", "surface_", "published_")]
        role = f"{finding['role']}: " if finding["role"] in (PRIMARY, CONTROL) else ""
        rows.append((role + finding["statement"], *magnitudes, verdict_text(finding, tree["confidence"])))
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    absent = [f"{finding['id']} ({finding['reason']})" for finding in tree["not_asked"]]
    blocks = [table(list(zip(*columns, strict=True)), markdown, width)] if columns else []
    return blocks + ([f"Not asked: {', '.join(absent)}."] if absent else [])


def _magnitude(finding: Mapping[str, Any], prefix: str) -> str:
    estimate, low, high = (finding[f"{prefix}{name}"] for name in ("estimate", "low", "high"))
    return interval_text(estimate, low, high, "+") if estimate is not None else ""


def part_text(part: Mapping[str, Any]) -> str:
    """Return the name, magnitude and verdict of a part of a finding, with the reason of the verdict."""
    reason = f": {part['reason']}" if part["reason"] else ""
    magnitude = interval_text(part["estimate"], part["low"], part["high"], "+")
    return f"{part['name']} {magnitude}, {part['verdict']}{reason}"


def verdict_text(finding: Mapping[str, Any], confidence: float) -> str:
    """Return the verdict with what it depends on: a pair, Holm's correction, a single case, cells."""
    remarks = [finding["reason"]] if finding["reason"] else []
    verdicts = {part["name"]: part["verdict"] for part in finding["parts"]}
    if finding["verdict"] == NOT_DECIDED:
        others = [name for name, verdict in verdicts.items() if verdict != SUPPORTED]
        named = SUPPORTED in verdicts.values() or len(others) == 1
        some = "; ".join(others) if named else "any of them alone"
        remarks += [f"not supported for {some}"] if others else []
    corrected = finding["p_holm"]
    if corrected is not None and finding["p"] <= 1 - confidence < corrected:
        remarks.append(f"p {corrected:.3f} after Holm's correction")
    if finding["depends_on_case"]:
        remarks.append(f"depends on one case, {finding['depends_on_case']}")
    if finding["not_converged"]:
        remarks.append(f"{finding['not_converged']} of {finding['cells']} cells not converged")
    return "; ".join([finding["verdict"], *remarks])
