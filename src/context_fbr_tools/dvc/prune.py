"""Remove the results of cells and tasks that left the grid, and unfinished work that nothing will resume."""

import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from context_fbr.config.cell import Cell
from context_fbr.config.grid import StudyCells
from context_fbr.config.study import NAME
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.runtime import git, resume
from context_fbr_tools.dvc import lockfile
from context_fbr_tools.dvc.stages import CELL_STAGES, TASK_STAGES, kind_of

KEY = re.compile(r"[a-z0-9_]+-[a-z0-9_]+-[0-9]+(x[0-9]+x[0-9]+)?-[0-9]+")
WRITTEN = {
    "raw": ("data/raw/{}",),
    "prepare": ("data/prepared/{}",),
    "baseline": ("metrics/baselines/{}.csv",),
    "analyze": ("metrics/{0}", "plots/{0}", "metrics/headline/{0}.json"),
    "overlay": ("plots/overlays/{}.csv", "plots/overlays/{}.png"),
}
"""Outputs of a task's stages."""
TRACKED = "files that git tracks"
UNFINISHED = "unfinished work"
REFUSED = "nothing was removed; see who wrote it (`git log -p dvc.lock`), and take the entry out"


@dataclass(frozen=True)
class Plan:
    """Results and entries that are to be removed."""

    stages: tuple[str, ...]
    """Entries of dvc.lock."""
    paths: tuple[tuple[str, Path], ...]
    """Files and folders, each with its kind."""

    def lines(self) -> Iterator[str]:
        """Yield the number of each kind, then each path below it, what git tracks last."""
        if self.stages:
            yield f"{lockfile.LOCK}: {len(self.stages)} entries"
            yield from (f"  {name}" for name in self.stages)
        kinds = sorted({kind for kind, _ in self.paths}, key=lambda kind: (kind == TRACKED, kind))
        for kind in kinds:
            paths = [path for of, path in self.paths if of == kind]
            yield f"{kind}: {len(paths)}"
            yield from (f"  {path}" for path in paths)


def stale_stages(study: StudyCells, stages: Sequence[str]) -> list[str]:
    """Return the stage names of the lock whose cell or task is not in the study, or in another arm."""
    wanted = {cell.stage(stage) for stage in CELL_STAGES for cell in study.cells}
    wanted |= {f"{stage}@{task}" for stage in TASK_STAGES for task in study.tasks}
    return [name for name in stages if kind_of(name) in (*CELL_STAGES, *TASK_STAGES) and name not in wanted]


def written_by(stage: str) -> tuple[Path, ...]:
    """Return the paths that a stage of this name writes, computed from the name alone.

    Raises:
        UserError: if it is not the name of a stage of a cell or a task.
    """
    kind, name = kind_of(stage), stage.partition("@")[2]
    arm = stage.partition("@")[0].removeprefix(kind).removeprefix("_")
    if kind in CELL_STAGES and is_key(name):
        cell = Cell.from_key(name)
        if kind == "train":
            return (cell.weights.parent, cell.history, cell.foreground_ratios)
        return (cell.scores, cell.predictions)
    if kind in TASK_STAGES and not arm and NAME.fullmatch(name):
        return tuple(Path(path.format(name)) for path in WRITTEN[kind])
    raise UserError(f"{lockfile.LOCK}: {stage}: is no stage of a cell or a task; {REFUSED}")


def is_key(name: str) -> bool:
    """Return true for the key of a cell; `016` and `16x16x16` are sizes as well, but no key has them."""
    try:
        return KEY.fullmatch(name) is not None and Cell.from_key(name).key == name
    except UserError:
        return False


def stale_paths(study: StudyCells) -> list[Path]:
    """Return results on disk that have the key of a cell and are of no cell of the study, in dvc.lock or not.

    Also those of the study's cells outside of the folder of their task, where earlier versions wrote them.
    """
    written = {path for cell in study.cells for kind in CELL_STAGES for path in written_by(cell.stage(kind))}
    written |= {cell.provenance(kind) for cell in study.cells for kind in CELL_STAGES}
    example = Cell("task", "model", 1, 1)
    predictions = example.predictions.parent.parent
    found = [*example.weights.parent.parent.glob("*"), *predictions.glob("*"), *predictions.glob("*/*")]
    found = [path for path in found if path.is_dir() or path.is_symlink()]
    for table in (example.history, example.foreground_ratios, example.scores):
        found += [*table.parent.parent.glob("*.csv"), *table.parent.parent.glob("*/*.csv")]
    found += [path for stage in CELL_STAGES for path in example.provenance(stage).parent.glob("*.json")]
    names = ((path, path.name.removesuffix(".csv").removesuffix(".json")) for path in found)
    return sorted(path for path, name in names if is_key(name) and path not in written)


def plan(study: StudyCells) -> Plan:
    """Return the stale results; the DVC cache and the remote keep their copies.

    A task's data is removed only as the recorded output of a stage: a folder that a user added stays.

    Raises:
        UserError: if dvc.lock is not a lock file; if it names a result that its stage does not write; or if a
            result is behind a link out of this folder.
    """
    recorded = lockfile.entries()
    stages = stale_stages(study, list(recorded))
    problems: list[str] = []
    paths = {*stale_paths(study)}
    used = {path for cell in study.cells for kind in CELL_STAGES for path in written_by(cell.stage(kind))}
    for name in stages:
        try:
            own = written_by(name)
        except UserError as error:
            problems += error.problems
            continue
        paths |= {*own} - used  # of a cell that is in another arm now
        others = sorted({out["path"] for out in recorded[name].get("outs", ())} - {str(path) for path in own})
        problems += [
            f"{lockfile.LOCK}: {name}: names {path!r}, which this stage does not write; {REFUSED}"
            for path in others
        ]
    problems += [problem for path in sorted(paths) if (problem := _leads_out(path, Path()))]
    work = set()
    for place in resume.stale_checkpoints({cell.key for cell in study.cells}):
        work |= {place, resume.lock_of(place)}
    problems += [problem for path in sorted(work) if (problem := _leads_out(path, resume.root()))]
    raise_problems(problems)
    there = [path for path in sorted(paths) if os.path.lexists(path)]
    tracked = _tracked(there)
    kinds = [(TRACKED if path in tracked else str(path.parent), path) for path in there]
    kinds += [(UNFINISHED, path) for path in sorted(work) if os.path.lexists(path)]
    return Plan(tuple(stages), tuple(kinds))


def carry_out(plan: Plan) -> Iterator[str]:
    """Remove what a plan names; yield each thing that is gone. A link is removed, not what it leads to.

    Raises:
        UserError: at the end, with each thing that could not be removed; its entry of dvc.lock stays, so that
            the next `prune` tries again.
    """
    problems: list[str] = []
    kept: set[Path] = set()
    for _, path in plan.paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            kept.add(path)
            file = error.filename if isinstance(error.filename, str) else str(path)
            problems.append(
                f"{path}: could not be removed: {error.strerror or error} ({file}); repair that, then run "
                "`context-fbr prune` again"
            )
        else:
            yield str(path)
    names = [name for name in plan.stages if not kept & {*written_by(name)}]
    if names:  # last: an interrupted prune is finished by the next one
        lockfile.remove(names)
        yield from (f"{lockfile.LOCK}: {name}" for name in names)
    raise_problems(problems)


def prune(study: StudyCells) -> list[str]:
    """Remove what is stale and return its names; errors as in `plan` and `carry_out`."""
    return list(carry_out(plan(study)))


def _leads_out(path: Path, root: Path) -> str | None:
    """Return the problem of a path whose folder is, behind a link, not below `root`."""
    if path.parent.resolve().is_relative_to(root.resolve()):
        return None
    if not os.path.lexists(path):
        return None
    return f"{path}: is behind a link to {path.parent.resolve()}, out of this folder; remove it by hand"


def _tracked(paths: Collection[Path]) -> set[Path]:
    """Return those of the paths that git tracks, or in which it tracks a file; none outside of git."""
    if not paths:
        return set()
    listed = git.run("ls-files", "-z", "--", *map(str, paths))
    names = [Path(name) for name in os.fsdecode(listed.stdout).split("\0") if name]
    return {path for path in paths if any(name.is_relative_to(path) for name in names)}
