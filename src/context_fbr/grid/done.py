"""Which cells are done: DVC's run-cache holds their trainings and evaluations, and the cache every object.

This, and not what an engine says of a job, decides what is still to be computed: a push may be torn, a job
may end well after its clone was lost, and a cell may have been trained elsewhere.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from context_fbr.cells import Cell
from context_fbr.errors import UserError

STAGES = ("train", "evaluate")
DATA = ("code_train", "code_evaluate", "raw", "prepare")
"""Stages that bring what cells read."""


@dataclass(frozen=True)
class Work:
    """What a cell asks for, in the state of this checkout."""

    cell: Cell
    digest: str
    """SHA-256 of commands, parameters and data of its stages: the same work has the same digest anywhere."""
    done: bool
    entries: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Of dvc.lock, by stage; all of them if the cell is done."""


def look(cells: Sequence[Cell], remote: str | None = None) -> list[Work]:
    """Look for the results of cells in the cache of this checkout, whose data must be there.

    Args:
        cells: of the grid.
        remote: from which to bring what the cache lacks of a result; the run-cache must be here already.

    DVC's own objects are asked, in this process: its commands tell of the workspace only, and a cell of
    another clone is not there.

    Raises:
        UserError: if the data that a cell reads are not there, with every stage that brings them.
    """
    from dvc.exceptions import DvcException  # takes a second
    from dvc.repo import Repo
    from dvc.utils.serialize import load_path

    try:
        with Repo() as repo:
            parameters = load_path("params.yaml", repo.fs)
            known: dict[str, Any] = {}
            return [_look_at(repo, cell, parameters, known, remote) for cell in cells]
    except DvcException as error:
        raise UserError(f"{Path().resolve()}: DVC cannot tell which cells are done: {error}") from error


def _look_at(
    repo: Any, cell: Cell, parameters: Mapping[str, Any], known: dict[str, Any], remote: str | None
) -> Work:
    """Follow a cell from stage to stage, by what the run-cache says that each of them wrote.

    Args:
        repo: DVC's.
        cell: of the grid.
        parameters: all of params.yaml, which DVC would parse again for every stage.
        known: hashes of the data that were asked for already; new ones are added.
        remote: as in `look`.
    """
    from dvc.dependency.param import ParamsDependency
    from dvc.exceptions import CollectCacheError

    written: dict[str, Any] = {}
    asked: list[object] = []
    entries: dict[str, Any] = {}
    done = True
    for name in STAGES:
        stage = repo.stage.load_one(name=f"{name}@{cell.key}")
        read: dict[str, Any] = {}
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                dep.fill_values({key: _value(parameters, key) for key in dep.params})
                read |= dep.hash_info.value
                continue
            if dep.def_path == str(cell.weights.parent):
                dep.meta, dep.hash_info = written.get(dep.def_path, (dep.meta, dep.hash_info))
                continue
            if not dep.exists:
                raise UserError(
                    f"{dep.def_path}: is not there, so nobody knows whether {cell.key} is done; "
                    f"run `dvc repro {' '.join(DATA)}`"
                )
            if dep.def_path not in known:
                known[dep.def_path] = (dep.get_meta(), dep.get_hash())
            dep.meta, dep.hash_info = known[dep.def_path]
            read[dep.def_path] = dep.hash_info.value
        asked.append([stage.cmd, read, [out.def_path for out in stage.outs]])
        entry = _newest_entry(repo, stage) if done else None
        made = repo.stage_cache._create_stage(entry, wdir=stage.wdir) if entry else None
        if made is not None and remote and not made.outs_cached():
            with suppress(CollectCacheError):  # a torn push: the list of a folder's files is missing
                for objects in made.get_used_objs().values():
                    repo.cloud.pull(objects, remote=remote)
        done = made is not None and made.outs_cached()
        if done:
            entries[stage.addressing] = entry
        written = {out.def_path: (out.meta, out.hash_info) for out in made.outs} if made and done else {}
    text = json.dumps(asked, sort_keys=True, default=str)
    return Work(cell, hashlib.sha256(text.encode()).hexdigest(), done, entries)


def _newest_entry(repo: Any, stage: Any) -> dict[str, Any] | None:
    """What the run-cache has for a stage, as DVC itself would choose.

    DVC has no public way to ask, and its private one reads the dependencies from the workspace, in which the
    weights that a cell's evaluation reads need not be.
    """
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    folder = Path(repo.stage_cache._get_cache_dir(key))
    entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    found: dict[str, Any] | None = repo.stage_cache._load_cache(key, entries[-1].name) if entries else None
    return found


def _value(parameters: Mapping[str, Any], key: str) -> Any:
    return reduce(lambda node, part: node[part], key.split("."), parameters)
