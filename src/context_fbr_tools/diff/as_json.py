"""A comparison as JSON: the same facts as the Markdown, for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from context_fbr.analysis.confidence_intervals import Interval
from context_fbr.analysis.summary import number
from context_fbr.config.cell import Cell
from context_fbr.core.patch_size import written
from context_fbr_tools.diff.report import Report
from context_fbr_tools.diff.scores import Configuration, ScoreChange
from context_fbr_tools.diff.snapshot import Snapshot
from context_fbr_tools.study.markdown_text import plain_line

FORMAT = 1


def tree_of(report: Report, confidence: float) -> dict[str, Any]:
    """The comparison as plain dicts and lists; what is undefined is null."""
    return {
        "format": FORMAT,
        "base": _snapshot(report.base),
        "head": _snapshot(report.head),
        "same": report.same,
        "confidence": confidence,
        **{
            kind: [plain_line(line) for line in getattr(report, kind)]
            for kind in ("regressions", "suspicions", "improvements", "verdicts", "notes")
        },
        "inputs": asdict(report.inputs),
        "configurations": [_configuration(c) for c in report.configurations],
        "cells": {name: _keys(cells) for name, cells in vars(report.cells).items()},
        "figures": list(report.figures),
        "other_results": list(report.other_results),
    }


def _snapshot(snapshot: Snapshot) -> dict[str, str | None]:
    return {"name": snapshot.name, "commit": snapshot.commit}


def _configuration(c: Configuration) -> dict[str, Any]:
    return {
        "task": c.task,
        "structure": c.structure or None,
        "model": c.model,
        "patch_size": None if c.patch_size is None else written(c.patch_size),
        "seeds": c.seeds,
        "cases": c.cases,
        "paired_cases": c.paired_cases,
        "dice": _score(c.dice),
        "hausdorff_voxels": _score(c.hausdorff),
    }


def _score(change: ScoreChange) -> dict[str, Any]:
    return {
        "before": _interval(change.before),
        "after": _interval(change.after),
        "undefined_before": change.undefined_before,
        "undefined_after": change.undefined_after,
        "lost": change.lost,
        "difference": _interval(change.difference),
        "difference_over_cases": _interval(change.over_cases),
        "p": change.p,
        "p_holm": change.p_holm,
        "verdict": change.verdict,
    }


def _interval(found: Interval) -> dict[str, float | None]:
    return {name: number(value) for name, value in asdict(found).items()}


def _keys(cells: Sequence[Cell]) -> list[str]:
    return [cell.key for cell in cells]
