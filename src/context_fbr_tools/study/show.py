"""The results as tables for the terminal or for the README, from the files that git keeps."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.observations import is_baseline
from context_fbr.analysis.summary import ALL_SIZES
from context_fbr.core import bounded
from context_fbr.core.errors import UserError
from context_fbr.core.patch_size import parse
from context_fbr_tools.study.findings_text import (
    PUBLISHED,
    findings_of,
    findings_table,
    of_this_version,
    read_json,
)
from context_fbr_tools.study.text_tables import Row, interval_text, table


def render(folder: Path, markdown: bool, width: int | None = None) -> str:
    """Return mean Dice by network and patch size with intervals, and the findings, of the tables in `folder`.

    On a terminal the best patch size of each network comes first, and other scores are next to Dice.

    Args:
        folder: see `task_folders`; paper_means.csv may be in it.
        markdown: as in the README, without the best patch sizes.
        width: of the terminal, as in `text_tables.table`.

    Raises:
        UserError: if the tables are missing or damaged.
    """
    blocks: list[str] = []
    shown: list[str] = []
    for of_task in task_folders(folder):
        tasks, found = _of_tasks(of_task, markdown, width)
        shown, blocks = [*shown, *tasks], [*blocks, *found]
    with of_this_version(folder):
        paper = folder / "paper_means.csv"
        head, *known_cells = _paper(paper) if paper.is_file() else [()]
        cells = [row for row in known_cells if row[0] in shown]  # not with another study
        if cells:
            if not markdown:
                blocks.append("cells of the paper profile and the published runs: mean test Dice")
            blocks.append(table([head, *cells], markdown, width))
        return "\n\n".join(blocks)


def task_folders(folder: Path) -> list[Path]:
    """Return the folders with a summary.json: this one, or its folders of tasks, by name.

    Raises:
        UserError: if there is none.
    """
    if (folder / "summary.json").exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/summary.json") if path.parent.name != PUBLISHED)
    if not found:
        path = folder / "TASK" / "summary.json"
        raise UserError(f"{path}: not found; run `dvc repro`, or name the folder that holds it")
    return found


def _of_tasks(folder: Path, markdown: bool, width: int | None) -> tuple[list[str], list[str]]:
    """Return the tasks of a folder, and the blocks of text on them."""
    summary = read_json(folder / "summary.json")
    with of_this_version(folder):
        blocks = []
        differences = [] if markdown else _differences(folder / "differences.csv")
        for task, models in summary.items():
            findings = findings_of(folder, task, context=True)
            level = findings["confidence"]
            if not markdown:
                blocks.append(f"{task}: the patch size with the best mean test Dice")
                blocks.append(table(_best(task, models, differences), markdown, width))
            blocks.append(
                f"**{task}**" if markdown else f"{task}: mean test Dice, with its {level:.0%} interval"
            )
            blocks.append(table(_results(models), markdown, width))
            if not markdown and len(rows := _scores(models)) > 1:
                blocks.append(f"{task}: means of other scores, by patch size")
                blocks.append(table(rows, markdown, width))
            blocks += findings_table(findings, markdown, width)
        return [*summary], blocks


def _results(models: dict[str, Any]) -> list[Row]:
    sizes = sorted({parse(size) for leaves in models.values() for size in leaves if size != ALL_SIZES})
    rows: list[Row] = [("network", *(f"patch {size}" for size in sizes))]
    for model, leaves in models.items():
        if is_baseline(model):
            rows.append((name_of(model), *[_dice(leaves[ALL_SIZES])] * len(sizes)))
        else:
            rows.append((name_of(model), *(_dice(leaves[str(s)]) if str(s) in leaves else "" for s in sizes)))
    return rows


SCORES = {
    "Dice": "dice",
    "surface Dice": "surface_dice",
    "recall": "recall",
    "background labelled": "false_positive_share",
}
"""Heads of columns, and the scores of summary.json that they show."""


def scores_table(folder: Path, markdown: bool) -> str:
    """Return the table of mean scores of all tasks, next to Dice; errors as in `render`."""
    rows: list[Row] = [("task", *_scores({})[0])]
    for of_task in task_folders(folder):
        for task, models in read_json(of_task / "summary.json").items():
            rows += [(task, *row) for row in _scores(models)[1:]]
    return table(rows, markdown)


def _scores(models: dict[str, Any]) -> list[Row]:
    """Return mean scores of each network and patch size; a summary of earlier versions has Dice alone."""
    rows: list[Row] = [("network", "patch", *SCORES)]
    for model, leaves in models.items():
        for size in leaves if is_baseline(model) else sorted(leaves, key=parse):
            leaf = leaves[size]
            means = [leaf.get(f"{name}_mean") for name in SCORES.values()]
            if any(mean is not None for mean in means[1:]):
                size = "any" if is_baseline(model) else size
                rows.append((name_of(model), size, *("-" if m is None else f"{m:.3f}" for m in means)))
    return rows


def _best(task: str, models: dict[str, Any], differences: Sequence[Mapping[str, str]]) -> list[Row]:
    """Return the best patch size of each network, and how much the next best one is worse."""
    rows: list[Row] = [("network", "best patch", "mean test Dice", "better than the next best by")]
    for model, leaves in models.items():
        known = {size: leaf for size, leaf in leaves.items() if leaf["dice_mean"] is not None}
        if is_baseline(model) or not known:
            continue
        best, *others = sorted(known, key=lambda size: -known[size]["dice_mean"])
        by = _difference(task, model, best, others[0], differences) if others else ""
        rows.append((name_of(model), best, _dice(known[best]), f"{by} (patch {others[0]})" if by else ""))
    return rows


def _difference(
    task: str, model: str, best: str, next_best: str, differences: Sequence[Mapping[str, str]]
) -> str:
    """Return the difference of two patch sizes with its interval; empty if the table has none."""
    for row in differences:
        sizes = (row["patch_size_a"], row["patch_size_b"])
        if (row["task"], row["model_a"], row["model_b"]) == (task, model, model) and set(sizes) == {
            best,
            next_best,
        }:
            sign = 1 if sizes[1] == best else -1
            value, low, high = (
                sign * float(row[name]) if row[name] else None
                for name in ("dice_difference", "dice_difference_low", "dice_difference_high")
            )
            if low is not None and high is not None:
                low, high = min(low, high), max(low, high)
            return interval_text(value, low, high, "+")
    return ""


def _differences(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_text(path), newline=""))) if path.is_file() else []


def _dice(leaf: dict[str, Any]) -> str:
    text = interval_text(leaf["dice_mean"], leaf["dice_mean_low"], leaf["dice_mean_high"])
    failed = leaf["not_converged"]
    return f"{text}; {failed} of {leaf['seeds']} not converged" if failed else text


def _paper(path: Path) -> list[Row]:
    rows: list[Row] = [
        ("task", "network", "patch", "seeds", "run here", "published, three runs", "outside of these runs by")
    ]
    for line in csv.DictReader(io.StringIO(_text(path), newline="")):
        number = {key: float(value) for key, value in line.items() if _is_number(value)}
        names = [name_of(line["model"]), "any", "", _of(number, "dice_mean"), "", ""]
        if not is_baseline(line["model"]):
            names[1:3] = [line["patch_size"], line["seeds"]]
            if "published_mean" in number:  # an exchanged norm has no published runs
                names[4:] = [_of(number, "published"), f"{number['outside_published_range']:.3f}"]
        rows.append((line["task"], *names))
    return rows


def _text(path: Path) -> str:
    try:
        return bounded.read_text(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}; run `dvc repro`") from error


def _of(number: dict[str, float], name: str) -> str:
    mean = number[name if name in number else f"{name}_mean"]
    return interval_text(mean, number.get(f"{name}_low"), number.get(f"{name}_high"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
