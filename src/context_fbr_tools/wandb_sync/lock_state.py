"""What dvc.lock says of a cell, and whether the results that lie here are those that it speaks of."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from functools import cache, reduce
from pathlib import Path
from typing import Any

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, parse, plain
from context_fbr.core import bounded
from context_fbr.core.errors import UserError
from context_fbr.runtime.code_digest import changed_modules, digest_file
from context_fbr_tools.dvc.lockfile import LOCK, locked
from context_fbr_tools.dvc.stages import CACHED_INPUT_STAGES, CELL_STAGES

ATTEMPTS = 10
"""To read dvc.lock, which DVC writes in place while cells are computed side by side."""


def stages(wanted: str) -> dict[str, Any]:
    """The stages of dvc.lock by name, read again while it lacks one that ought to be there."""
    found: dict[str, Any] = {}
    for _ in range(ATTEMPTS):
        if not LOCK.exists():
            return {}
        try:
            with locked(wait_s=0):
                content = bounded.read(LOCK)
            found = parse(content, str(LOCK), "safe")["stages"]
            if found.get(wanted, {}).get("outs"):
                return found
        except (OSError, UserError, TypeError, KeyError, AttributeError):
            pass
        time.sleep(0.1)
    return found


def output(recorded: Mapping[str, Any], stage: str, path: str) -> str | None:
    """DVC's hash of what a stage wrote; None if nobody knows."""
    outs = (recorded.get(stage) or {}).get("outs") or ()
    return next((out["md5"] for out in outs if out["path"] == path), None)


def value(document: Document, *keys: str) -> Any:
    """A part of params.yaml as JSON has it."""
    return json.loads(json.dumps(plain(reduce(lambda node, key: node[key], keys, document.root))))


def check(cell: Cell, document: Document) -> None:
    """Check that the results of a cell that lie here are of these parameters, data and code, by dvc.lock.

    Not looked at is whether somebody changed a folder of data since DVC wrote it: `dvc status` reads it all.

    Raises:
        UserError: naming what differs, or if dvc.lock knows nothing of the cell.
    """
    recorded = stages(f"evaluate@{cell.key}")
    differs: list[str] = []
    for stage in CELL_STAGES:
        differs += differences(f"{stage}@{cell.key}", document, recorded)
        differs += _results(recorded.get(f"{stage}@{cell.key}") or {})
        differs += _code(stage)
    for stage in CACHED_INPUT_STAGES:
        differs += _parameters(recorded.get(f"{stage}@{cell.task}") or {}, document)
    if differs:
        raise UserError(
            f"{cell.key}: its results are not what dvc.lock says of {', '.join(dict.fromkeys(differs))}; "
            f"`dvc checkout` or `dvc repro evaluate@{cell.key}` brings them up to date"
        )


def differences(stage: str, document: Document, recorded: Mapping[str, Any]) -> Iterator[str]:
    """Parameters and data that are others than those that a stage read; the stage, if it never ran."""
    entry = recorded.get(stage)
    if entry is None:
        yield stage
        return
    yield from _parameters(entry, document)
    written = {out["path"]: out["md5"] for other in recorded.values() for out in other.get("outs") or ()}
    for dep in entry["deps"]:
        path = Path(dep["path"])
        if dep["md5"] != (md5(path) if path.is_file() else written.get(dep["path"], dep["md5"])):
            yield dep["path"]


def _parameters(entry: Mapping[str, Any], document: Document) -> Iterator[str]:
    """Parameters that are others now."""
    for name, before in entry.get("params", {}).get("params.yaml", {}).items():
        try:
            now = value(document, *name.split("."))
        except (KeyError, TypeError):
            now = None
        if now != json.loads(json.dumps(before)):
            yield name


@cache
def _code(stage: str) -> tuple[str, ...]:
    """Return the modules of a stage that have changed; none if its hashes are missing."""
    return tuple(changed_modules(stage)) if digest_file(stage).is_file() else ()


def _results(entry: Mapping[str, Any]) -> Iterator[str]:
    """Results that lie here in another state."""
    from context_fbr_tools.dvc.lock_provenance import (
        folder_hash,  # DVC takes a second, which no training needs
    )

    for out in entry.get("outs", ()):
        path = Path(out["path"])
        if path.is_dir():
            files = {str(file): md5(file) for file in path.rglob("*") if file.is_file()}
            now = folder_hash(str(path), files)
        else:
            now = md5(path) if path.exists() else out["md5"]
        if now != out["md5"]:
            yield out["path"]


def md5(path: Path) -> str:
    """Of a file, as DVC hashes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
