"""Finished cells: DVC's run-cache holds their trainings and evaluations, and the cache every object.

This, and not the state of a job, decides which cells have to be computed: a push may be incomplete, a job
may end well after its clone was lost, and a cell may have been trained elsewhere.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError
from context_fbr_tools.dvc.stages import CELL_STAGES, INPUT_STAGES


@dataclass(frozen=True)
class CellStatus:
    """Results of a cell, for the state of this checkout."""

    cell: Cell
    digest: str
    """SHA-256 of commands, parameters and data of its stages: the same work has the same digest anywhere."""
    done: bool
    entries: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Entries of dvc.lock by stage; all of them if the cell is done."""


def find_results(cells: Sequence[Cell], remote: str | None = None) -> list[CellStatus]:
    """Find the results of cells in the cache of this checkout, whose data must be there.

    Args:
        cells: of the grid.
        remote: from which to fetch objects that the cache lacks; the run-cache must be here already.

    Uses DVC's own classes in this process: its commands cover the workspace only, where a cell of another
    clone is missing.

    Raises:
        UserError: if the data of a cell are missing, with every stage that makes them.
    """
    from dvc.dvcfile import load_file  # takes a second
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.utils.serialize import load_path

    try:
        with _silent(), Repo() as repo:
            # Files are parsed once here; DVC's functions for one stage parse all of them again for each.
            defined = load_file(repo, "dvc.yaml").stages
            missing = [name for kind in CELL_STAGES for c in cells if (name := c.stage(kind)) not in defined]
            if missing:
                raise UserError(f"dvc.yaml: has no stage {missing[0]}; run `context-fbr check`")
            checkout = _Checkout(repo, defined, load_path("params.yaml", repo.fs), remote, {})
            return [_look_at(checkout, cell) for cell in cells]
    except DvcException as error:
        raise UserError(f"{Path().resolve()}: DVC cannot tell which cells are done: {error}") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Silence DVC's own bars and warnings: the caller may draw a live table."""
    logger = logging.getLogger("dvc")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@dataclass(frozen=True)
class _Checkout:
    repo: Any
    """DVC's."""
    stages: Mapping[str, Any]
    """Stages by name."""
    parameters: Mapping[str, Any]
    remote: str | None
    known: dict[str, tuple[Any, Any]]
    """Size and hash of data, once computed."""


def _look_at(checkout: _Checkout, cell: Cell) -> CellStatus:
    """Follow a cell from stage to stage, by the outputs of each in the run-cache."""
    written: dict[str, Any] = {}
    asked: list[object] = []
    entries: dict[str, Any] = {}
    done = True
    for name in CELL_STAGES:
        stage = checkout.stages[cell.stage(name)]
        asked.append([stage.cmd, _fill(checkout, stage, written), [out.def_path for out in stage.outs]])
        entry = _newest_entry(checkout.repo, stage) if done else None
        made = checkout.repo.stage_cache._create_stage(entry, wdir=stage.wdir) if entry else None
        done = made is not None and _is_whole(checkout, made)
        if made is not None and done:
            entries[stage.addressing] = entry
            written = {out.def_path: (out.meta, out.hash_info) for out in made.outs}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    return CellStatus(cell, digest, done, entries)


def _fill(checkout: _Checkout, stage: Any, written: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what a stage reads as it is now; what a stage of the same cell wrote comes from the run-cache.

    Returns:
        Values and hashes by name, without those of `written`.
    """
    from dvc.dependency.param import ParamsDependency

    read: dict[str, Any] = {}
    for dep in stage.deps:
        path = dep.def_path
        if isinstance(dep, ParamsDependency):
            read |= {key: _value(checkout.parameters, key) for key in dep.params}
            dep.fill_values({key: read[key] for key in dep.params})
        elif path.startswith("models/"):
            dep.meta, dep.hash_info = written.get(path, (dep.meta, dep.hash_info))
        elif not dep.exists:
            raise UserError(
                f"{path}: is missing, so it is unknown which cells are done; "
                f"run `dvc repro {' '.join(INPUT_STAGES)}`"
            )
        else:
            if path not in checkout.known:
                checkout.known[path] = (dep.get_meta(), dep.get_hash())
            dep.meta, dep.hash_info = checkout.known[path]
            read[path] = dep.hash_info.value
    return read


def _is_whole(checkout: _Checkout, made: Any) -> bool:
    """Return true if the cache holds all results of a stage, after a fetch from the remote."""
    from dvc.exceptions import CollectCacheError

    if checkout.remote and not made.outs_cached():
        with suppress(CollectCacheError):  # a torn push: the list of a folder's files is missing
            for objects in made.get_used_objs(remote=checkout.remote).values():
                checkout.repo.cloud.pull(objects, remote=checkout.remote)
    return bool(made.outs_cached())


def _newest_entry(repo: Any, stage: Any) -> dict[str, Any] | None:
    """Return the entry of the run-cache for a stage, as DVC itself would choose it.

    DVC has no public function for this, and its private one reads the dependencies from the workspace, where
    the weights of a cell may be missing.
    """
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    folder = Path(repo.stage_cache._get_cache_dir(key))
    # A job that saves an entry at this moment has it there by another name first.
    there = [path for path in folder.glob("*") if re.fullmatch(r"[0-9a-f]{64}", path.name)]
    entries = sorted(there, key=lambda path: path.stat().st_mtime)
    found: dict[str, Any] | None = repo.stage_cache._load_cache(key, entries[-1].name) if entries else None
    return found


def _value(parameters: Mapping[str, Any], key: str) -> Any:
    return reduce(lambda node, part: node[part], key.split("."), parameters)
