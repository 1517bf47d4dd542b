"""Content of the report by task: findings, means, tables, and the origin of every number."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from context_fbr.analysis.display_names import name_of
from context_fbr.analysis.observations import is_baseline
from context_fbr.analysis.summary import ALL_SIZES
from context_fbr.core.patch_size import PatchSize, parse
from context_fbr_tools.exchange.report.numbers import Interval, Source
from context_fbr_tools.exchange.report.tables import CASES, CELLS, OVERLAYS, Copy, read_copy, written
from context_fbr_tools.study.findings_text import COMPARE, read_json, verdict_text

ESTIMATE, SURFACE, PUBLISHED = (
    tuple(f"{prefix}{name}" for name in ("estimate", "low", "high"))
    for prefix in ("", "surface_", "published_")
)
METRICS = Path("metrics")


@dataclass(frozen=True)
class Origin:
    """Origin of a number."""

    statistic: str
    cells: str
    command: str
    """Command that computes it again."""
    files: tuple[tuple[str, str], ...]
    """Paths of results and their SHA-256."""
    inputs: tuple[tuple[str, str], ...]
    """Paths that the stage read and their MD5 in dvc.lock."""


@dataclass(frozen=True)
class Finding:
    """A finding with its numbers."""

    role: str
    statement: str
    estimate: Interval | None
    surface: Interval | None
    published: Interval | None
    parts: tuple[tuple[str, Interval | None, str], ...]
    """Name, magnitude and verdict of each part."""
    verdict: str
    text: str
    """The verdict with what it depends on."""
    origin: str
    """Key of its origin."""


@dataclass(frozen=True)
class Mean:
    """Mean Dice of a configuration."""

    dice: Interval
    origin: str


@dataclass(frozen=True)
class Section:
    """A task, or what compares several."""

    name: str
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    """Hypotheses not asked and results not shown, with reasons."""
    sizes: tuple[PatchSize, ...] = ()
    means: tuple[tuple[str, tuple[Mean | None, ...]], ...] = ()
    """Name of a network, and its mean at each of `sizes`."""
    models: tuple[str, ...] = ()
    cases: Copy | None = None
    cells: Copy | None = None
    overlays: Copy | None = None


@dataclass(frozen=True)
class Content:
    """All of the report but the volumes."""

    sections: tuple[Section, ...]
    origins: Mapping[str, Origin]
    left_out: tuple[str, ...]


def read_content(root: Path, tasks: Sequence[str], lock: Mapping[str, Any]) -> Content:
    """Read the results of a project.

    Args:
        root: its folder.
        tasks: of params.yaml; those without results are named in `left_out`.
        lock: entries of dvc.lock by stage.

    Raises:
        UserError: if there are no results, or a file of them is missing, damaged or of another version.
    """
    origins: dict[str, Origin] = {}
    sections = []
    known = [task for task in tasks if (root / METRICS / task / "findings.json").is_file()]
    for task in known:
        sections.append(_task(root, task, lock, origins))
    compared = [path.name for path in sorted((root / METRICS / COMPARE).glob("*.json"))]
    for name in compared:
        found = _findings(root, f"{METRICS}/{COMPARE}/{name}", COMPARE, lock, origins)
        sections.append(Section(f"{COMPARE}, {Path(name).stem}", *found))
    absent = [
        f"task {task}: no results; run `make repro TASKS={task}`" for task in tasks if task not in known
    ]
    return Content(tuple(sections), origins, tuple(absent))


def _task(root: Path, task: str, lock: Mapping[str, Any], origins: dict[str, Origin]) -> Section:
    folder = f"{METRICS}/{task}"
    stage = f"analyze@{task}"
    findings, left_out = _findings(root, f"{folder}/findings.json", stage, lock, origins)
    summary = Source(f"{folder}/summary.json", read_json(root / f"{folder}/summary.json"))
    models = [model for model in summary.tree[task] if not is_baseline(model)]
    sizes = sorted({parse(s) for model in models for s in summary.tree[task][model] if s != ALL_SIZES})
    cells = read_copy(root, f"{folder}/cells.csv", CELLS)
    means = []
    for model in models:
        row: list[Mean | None] = []
        for size in sizes:
            place = (task, model, str(size))
            if str(size) not in summary.tree[task][model]:
                row.append(None)
                continue
            key = "/".join(place)
            own = summary.tree[task][model][str(size)]
            seeds = [str(line[2]) for line in cells.rows if line[:2] == (model, written(size))]
            origins[key] = Origin(
                f"mean Dice of {own['scores']} predictions: {own['cases']} test cases, {own['seeds']} seeds",
                ", ".join(f"{task}-{model}-{size}-{seed}" for seed in seeds),
                f"dvc repro {stage}",
                _hashes(root, summary.file, f"{folder}/cases.csv"),
                _inputs(lock, stage),
            )
            dice = summary.interval(*place, names=("dice_mean", "dice_mean_low", "dice_mean_high"))
            row.append(None if dice is None else Mean(dice, key))
        means.append((name_of(model), tuple(row)))
    overlays = f"plots/overlays/{task}.csv"
    open_ones = [line for line in cells.rows if line[8] == "False"]
    if open_ones:
        names = ", ".join(f"{task}-{line[0]}-{line[1]}-{line[2]}" for line in open_ones)
        left_out = (*left_out, f"{len(open_ones)} trainings have not converged: {names}")
    return Section(
        task,
        findings,
        left_out,
        tuple(sizes),
        tuple(means),
        tuple(models),
        read_copy(root, f"{folder}/cases.csv", CASES),
        cells,
        read_copy(root, overlays, OVERLAYS) if (root / overlays).is_file() else None,
    )


def _findings(
    root: Path, file: str, stage: str, lock: Mapping[str, Any], origins: dict[str, Origin]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Return the findings of a file, and those that were not asked; fill their origins in."""
    tree = read_json(root / file)
    source = Source(file, tree)
    found = []
    for entry in tree["findings"]:
        key, place = f"{file}/{entry['id']}", ("findings", entry["id"])
        origins[key] = Origin(
            entry["statistic"],
            f"{entry['cells']} cells, {entry['not_converged'] or 0} of them not converged",
            f"dvc repro {stage}",
            _hashes(root, file, f"{METRICS}/{entry['task']}/cases.csv"),
            _inputs(lock, stage),
        )
        parts = (
            (
                part["name"],
                source.interval(*place, "parts", part["name"], names=ESTIMATE, style="+.3f"),
                part["verdict"],
            )
            for part in entry["parts"]
        )
        estimate, surface, published = (
            source.interval(*place, names=names, style="+.3f") for names in (ESTIMATE, SURFACE, PUBLISHED)
        )
        text = verdict_text(entry, tree["confidence"])
        found.append(
            Finding(
                entry["role"],
                entry["statement"],
                estimate,
                surface,
                published,
                tuple(parts),
                entry["verdict"],
                text,
                key,
            )
        )
    absent = tuple(f"not asked: {entry['statement']} ({entry['reason']})" for entry in tree["not_asked"])
    return tuple(found), absent


def _hashes(root: Path, *files: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (file, hashlib.sha256((root / file).read_bytes()).hexdigest())
        for file in files
        if (root / file).is_file()
    )


def _inputs(lock: Mapping[str, Any], stage: str) -> tuple[tuple[str, str], ...]:
    """Return what a stage read by dvc.lock; folders of many cells have one hash."""
    return tuple(_dependencies(lock.get(stage, {})))


def _dependencies(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for dependency in entry.get("deps", ()):
        yield str(dependency["path"]), str(dependency.get("md5", ""))
