"""Blocks of README.md, docs/*.md and dvc.yaml that repeat what files say, written by one command.

A block begins with `<!-- generated: NAME -->` and ends with `<!-- end -->`, each a line of its own; in
dvc.yaml with `# generated: NAME` and `# end`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from context_fbr.analysis.display_names import name_of
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.metrics.columns import CELL_SCHEMA
from context_fbr_tools.exchange.metadata import crate, questions
from context_fbr_tools.study import findings_text, show
from context_fbr_tools.study.blocks import (
    abstract,
    context_blocks,
    reference_blocks,
    registry_block,
    structure_blocks,
)
from context_fbr_tools.study.blocks.answer import answer
from context_fbr_tools.study.command_line import CommandLine
from context_fbr_tools.study.text_tables import Row, interval_text, table

METRICS, PUBLISHED, TASK = Path("metrics"), Path("metrics/published"), "spheres"
PIPELINE = Path("dvc.yaml")
MARKED = re.compile(
    r"^(?:<!-- |# )generated: (\w+)(?: -->)?\n(.*?)^(?:<!-- |# )end(?: -->)?$", re.MULTILINE | re.DOTALL
)


def _table_of(folder: Path, number: int) -> str:
    """Return one of the tables that `context-fbr show --markdown` prints of a folder."""
    blocks = show.render(folder, markdown=True).split("\n\n")
    return [block for block in blocks if block.startswith("|")][number]


def _findings(folder: Path) -> str:
    return findings_text.findings_block(folder, TASK)


def _published() -> str:
    """Return what the published tables say about each network on spheres."""
    level = "5-9"
    tables = [pd.read_csv(PUBLISHED / f"{name}.csv") for name in ("networks", "decomposition", "detection")]
    networks, shares, detection = (frame[frame["task"] == TASK] for frame in tables)
    head = [
        "network",
        "slope of Dice per doubling of the patch",
        "Dice within minus outside of the range",
        f"least recall, radii {level}",
        f"background labelled, radii {level}",
        "R2: patch size; and range; and radius",
    ]
    rows: list[Row] = [head]
    for network in networks.itertuples():
        small = detection[(detection["model"] == network.model) & (detection["radii"] == level)]
        share = shares[shares["model"] == network.model].iloc[0]
        labelled = small["false_positive_share_mean"]
        explained = (
            share["r2_patch_size"],
            share["r2_patch_size_range"],
            share["r2_patch_size_radius_range"],
        )
        rows.append(
            (
                name_of(network.model),
                interval_text(network.slope, network.slope_low, network.slope_high, "+"),
                interval_text(network.loss_outside, network.loss_outside_low, network.loss_outside_high, "+"),
                f"{small['recall_mean'].min():.3f}",
                f"{labelled.min():.3f} to {labelled.max():.3f}",
                "; ".join(f"{value:.3f}" for value in explained),
            )
        )
    return table(rows, markdown=True)


def _score_columns() -> str:
    rows: list[Row] = [("column", "type", "range", "empty", "meaning")]
    for column in CELL_SCHEMA:
        span = "" if column.kind == "str" else f"{column.low:g} to {column.high:g}"
        undefined = "if undefined" if column.nullable else ""
        kind = {"str": "text", "int64": "whole number", "float64": "number", "size": "size"}[column.kind]
        rows.append((f"`{column.name}`", kind, span.replace("inf", "∞"), undefined, column.meaning))
    return table(rows, markdown=True)


def _coverage() -> str:
    rows: list[Row] = [
        ("cases", "statistic", "seeds", "seed spread", "coverage", "median half-width", "unpaired")
    ]
    for row in pd.read_csv("benchmarks/coverage.csv").itertuples():
        unpaired = "" if pd.isna(row.half_width_unpaired) else f"{row.half_width_unpaired:.2f}"
        spread, coverage = f"{row.seed_spread:g}", f"{row.coverage:.3f}"
        width = f"{row.half_width:.2f}"
        rows.append((row.cases, row.statistic, str(row.seeds), spread, coverage, width, unpaired))
    return table(rows, markdown=True)


def _designed_coverage() -> str:
    """Return the least and the mean coverage over configurations, of each kind of statistic."""
    found = pd.read_csv("benchmarks/designed_coverage.csv")
    keys = ["diverge", "statistic", "of"]
    pairs = found[found["cases"] == "random"].merge(found[found["cases"] == "designed"], on=keys)
    rows: list[Row] = [
        ("trainings", "statistic", "of", "designed: least", "mean", "random: least", "mean", "width ratio")
    ]
    for (diverge, statistic), own in pairs.groupby(["diverge", "statistic"], sort=False):
        trainings = "a third diverges" if diverge else "as the study's"
        shares = (
            f"{own[name].agg(how):.3f}" for name in ("coverage_y", "coverage_x") for how in ("min", "mean")
        )
        ratio = own["half_width_x"] / own["half_width_y"]
        widths = f"{ratio.median():.1f} ({ratio.min():.1f} to {ratio.max():.1f})"
        rows.append((trainings, str(statistic), str(len(own)), *shares, widths))
    return table(rows, markdown=True)


def _mutants() -> str:
    tried = pd.read_csv("benchmarks/mutants.csv")
    rows: list[Row] = [("module", "mistakes", "caught", "survivors", "%")]
    for row in tried.itertuples():
        numbers = (str(row.mutants), str(row.caught), str(row.survivors))
        rows.append((row.module, *numbers, f"{row.caught_percent:.1f}"))
    total = tried[["mutants", "caught", "survivors"]].sum()
    share = f"{100 * total['caught'] / total['mutants']:.1f}"
    rows.append(("all of these", *map(str, total), share))
    return table(rows, markdown=True)


BLOCKS: Mapping[str, Callable[[], str]] = {
    "answer": answer,
    "artifacts": registry_block.artifacts,
    "context": context_blocks.context,
    "context_findings": context_blocks.context_findings,
    "context_parts": context_blocks.context_parts,
    "published_recipe": context_blocks.published_recipe,
    "results": lambda: _table_of(METRICS / TASK, 0),
    "findings": lambda: _findings(METRICS / TASK),
    "published": _published,
    "published_findings": lambda: _findings(PUBLISHED),
    "paper_cells": lambda: _table_of(METRICS, -1),
    "parameters": reference_blocks.parameters,
    "stage_files": reference_blocks.stage_files,
    "table_columns": reference_blocks.table_columns,
    "structure_answer": structure_blocks.structure_answer,
    "structure_scores": structure_blocks.structure_scores,
    "structure_findings": structure_blocks.structure_findings,
    "structure_reference": structure_blocks.structure_reference,
    "structure_costs": structure_blocks.structure_costs,
    "shifted_crops": structure_blocks.shifted_crops,
    "scores": lambda: show.scores_table(METRICS / TASK, markdown=True),
    "score_columns": _score_columns,
    "coverage": _coverage,
    "designed_coverage": _designed_coverage,
    "mutants": _mutants,
}


FILES: Mapping[Path, Callable[[], str]] = {
    questions.FILE: questions.text,
    crate.FILE: crate.text,
    abstract.FILE: abstract.text,
}
"""Files that are generated as a whole, with the function that returns their text."""


def pages() -> list[Path]:
    """Return the pages that may hold blocks."""
    return [Path("README.md"), PIPELINE, *sorted(Path("docs").rglob("*.md"))]


def blocks(line: CommandLine) -> Mapping[str, Callable[[], str]]:
    """Return every block by its name; `line` has all commands."""
    return {**BLOCKS, "commands": partial(reference_blocks.commands, line)}


def outdated(line: CommandLine) -> Iterator[tuple[Path, str, list[str]]]:
    """Yield each page that has to change, its new text, and a problem for each of its outdated blocks.

    Raises:
        UserError: if a block has an unknown name, or its source is missing.
    """
    known = blocks(line)
    for path in pages():
        text = path.read_text(encoding="utf-8")
        new, problems = text, []
        for match in MARKED.finditer(text):
            name, place = match[1], f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
            if name not in known:
                raise UserError(f"{place}: no block is named {name!r}; known are {', '.join(known)}")
            begin, end = (f"# generated: {name}", "# end") if path == PIPELINE else _marks(name)
            block = f"{begin}\n{known[name]()}\n{end}"
            if block != match[0]:
                new = new.replace(match[0], block)
                problems.append(f"{place}: the block {name} differs from its source")
        if problems:
            yield path, new, problems
    for path, text_of in FILES.items():
        new = text_of()
        if not path.is_file() or path.read_text(encoding="utf-8") != new:
            yield path, new, [f"{path}: differs from the results that it describes"]


def _marks(name: str) -> tuple[str, str]:
    """Return the comments around a block of a page."""
    return f"<!-- generated: {name} -->", "<!-- end -->"


def write(line: CommandLine) -> list[Path]:
    """Bring all blocks up to date and return the pages that changed; errors as in `outdated`."""
    changed = [(path, text) for path, text, _ in outdated(line)]
    for path, text in changed:
        atomic.write_text(path, text)
    return [path for path, _ in changed]
