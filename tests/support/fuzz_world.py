"""A project with results, and what is next to it, for commands that read hostile files in it."""

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import published_tables
import torch
from made_study import study
from msd_dataset import Dataset
from result_repository import LEVELS, scores
from small_results import SETTINGS
from trained_cells import write
from workspace import GIT_IDENTITY, ROOT, TINY

from context_fbr.analysis import summary
from context_fbr.analysis.findings.assembly import findings
from context_fbr.analysis.result_files import write_json
from context_fbr.analysis.results import CELL_COLUMNS
from context_fbr.config import profiles
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.prepare.preprocessing import Preparation
from context_fbr.networks import factory
from context_fbr.preprocessing.recipe import Recipe

PLAIN, CT, STALE = (Cell("spheres", "unet", 16, seed) for seed in (1, 2, 3))
"""Trained on generated spheres, on CT with another spacing, and one that left the grid."""
RECIPES = {
    PLAIN: Recipe(Preparation(), ("synthetic",), 0.0),
    CT: Recipe(Preparation(window=(-57.0, 164.0), crop=True, spacing_mm=(1.5, 1.5, 2.0)), ("CT",), -1024.0),
}
ZOO = """
  zoo:
    raw: {source: archive, archive: ARCHIVE, url: null, md5: null}
    prepare: {split: {train: 1, validation: 1, test: 1}, window: [-57, 164]}
    train: {epochs: 10}
    evaluate: {surface_tolerance_mm: 2.0}
"""
PIPELINE = """stages:
  raw:
    matrix:
      task: ${study.tasks}
    cmd: python -m context_fbr.raw ${item.task}
    deps: [src/context_fbr/raw.py]
    outs: ["data/raw/${item.task}"]
  train:
    matrix:
      task: ${grid.tasks}
      model: ${grid.models}
      patch_size: ${grid.patch_sizes}
      seed: ${grid.seeds}
    cmd: python -m context_fbr.train ${item.task} ${item.model} ${item.patch_size} ${item.seed}
    deps: ["data/raw/${item.task}", src/context_fbr/train.py]
    outs: ["models/${key}"]
"""
Snapshot = dict[str, tuple[object, ...]]


def entry(stage: str, *outs: object) -> str:
    """An entry of dvc.lock."""
    lines = [
        f"  {stage}:",
        "    cmd: x",
        "    deps:",
        "    - path: src/context_fbr/raw.py",
        "      hash: md5",
    ]
    lines += [f"      md5: {'a' * 32}", "      size: 1", "    outs:"]
    for out in outs:
        lines += [f"    - path: {out}", "      hash: md5", f"      md5: {'b' * 32}", "      size: 1"]
    return "\n".join([*lines, ""])


def lock() -> str:
    """dvc.lock of the project: a task and a cell of the grid, and one of each that left it."""
    stages = [
        entry("raw@spheres", "data/raw/spheres"),
        entry("raw@liver", "data/raw/liver"),
        entry(f"train@{PLAIN.key}", PLAIN.weights.parent, PLAIN.history, PLAIN.foreground_ratios),
        entry(f"train@{STALE.key}", STALE.weights.parent, STALE.history, STALE.foreground_ratios),
        entry(f"evaluate@{STALE.key}", STALE.scores, STALE.predictions),
    ]
    return "schema: '2.0'\nstages:\n" + "".join(stages)


def git(folder: Path, *arguments: str) -> None:
    """Run git, without hooks."""
    command = ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **GIT_IDENTITY})


def make(path: Path) -> None:
    """Write the world: `project`, `neighbour`, and `linked`, to which a link of the project points."""
    project = path / "project"
    for name in ("neighbour", "linked"):
        (path / name / "deep").mkdir(parents=True)
        (path / name / "deep" / "precious.txt").write_text("mine")
    files = {
        "README.md": "read me\n",
        ".gitignore": "/data\n/models\n",
        "src/context_fbr/raw.py": "raw = 1\n",
        "src/context_fbr/train.py": "train = 1\n",
        "src/a.py": "a = 1\n",
        "data/incoming/keep.txt": "mine",
        "data/raw/spheres/a.txt": "a",
        "data/raw/liver/a.txt": "a",
        "dvc.yaml": PIPELINE,
        "dvc.lock": lock(),
        ".dvc/config": "[core]\n    analytics = false\n    site_cache_dir = ../site\n",
        "plots/a.csv": "a\n",
        f"{STALE.predictions}/a.nii.gz": "a",
    }
    files |= {
        str(file): "a\n" for file in (STALE.weights, STALE.history, STALE.foreground_ratios, STALE.scores)
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    (project / "elsewhere").symlink_to("../linked")
    (project / "data" / "mine").symlink_to("../../linked")
    _params(project)
    _cells(project)
    _metrics(project / "metrics")
    published_tables.write(project / "published")
    Dataset.make(project / "zoo")
    git(project, "init", "-q", "-b", "main", "--template=")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Results")
    with (project / "src" / "a.py").open("a") as file:  # something that differs
        file.write("b = 1\n")


def _params(project: Path) -> None:
    path = project / "params.yaml"
    shutil.copy(ROOT / "tests" / "support" / "study.yaml", path)
    profiles.apply_overlay(TINY, path)
    before, _, after = path.read_text().partition("\nmodels:")
    path.write_text(f"{before}{ZOO.replace('ARCHIVE', 'zoo.tar')}\nmodels:{after}")


def _cells(project: Path) -> None:
    """Cells with random weights."""
    here = Path.cwd()
    os.chdir(project)
    try:
        document = Document.read()
        for cell, recipe in RECIPES.items():
            network = factory.rebuild(document, cell.model, cell.patch_size, cell.seed)
            network(torch.rand((2, 1, 16, 16, 16), generator=torch.Generator().manual_seed(1)))
            weights = io.BytesIO()
            torch.save(network.state_dict(), weights)
            write(cell, document, weights.getvalue(), recipe)
    finally:
        os.chdir(here)


def _metrics(folder: Path) -> None:
    """Tables that `show` and `diff` read."""
    evidence = study()
    own = folder / "spheres"
    own.mkdir(parents=True)
    write_json(own / "summary.json", summary.tree_of(summary.summarise(evidence, SETTINGS.confidence)))
    write_json(own / "findings.json", findings(evidence, SETTINGS).tree(SETTINGS.confidence))
    results = scores(LEVELS)
    results.to_csv(own / "cases.csv", index=False)
    cells = results[CELL_COLUMNS].drop_duplicates()
    cells.assign(best_validation_dice=0.95, last_validation_change=0.001).to_csv(
        own / "cells.csv", index=False
    )
    (folder / "paper_means.csv").write_text(
        "task,model,patch_size,seeds,cases,dice_mean,dice_low,dice_high,published_mean,published_low,"
        "published_high,outside_published_range\nspheres,unet,32,3,9,0.98,0.97,0.99,0.98,0.97,0.99,0\n"
    )


def snapshot(path: Path) -> Snapshot:
    """Kind, and size and hash or target, of everything below a folder, by its path; no link is followed."""
    found: Snapshot = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            file = Path(folder, name)
            kind = file.lstat().st_mode
            key = str(file.relative_to(path))
            if stat.S_ISLNK(kind):
                found[key] = ("link", str(file.readlink()))
            elif stat.S_ISREG(kind):
                content = file.read_bytes()
                found[key] = ("file", len(content), hashlib.sha256(content).hexdigest())
            else:
                found[key] = ("folder" if stat.S_ISDIR(kind) else "other",)
    return found


def changes(before: Snapshot, after: Snapshot, allowed: tuple[str, ...]) -> list[str]:
    """Paths that differ between snapshots and are neither one of the allowed ones nor below one."""
    differing = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return sorted(
        f"{path}: {'deleted' if path not in after else 'changed' if path in before else 'new'}"
        for path in differing
        if not any(path == one or path.startswith(f"{one}/") for one in allowed)
    )


def as_json(value: object) -> bytes:
    """JSON, lone surrogates included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")
