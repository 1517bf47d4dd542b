"""Which run of W&B a cell is: the same work is the same run, wherever and however often it is computed."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from context_fbr import software
from context_fbr.cells import Cell
from context_fbr.errors import UserError
from context_fbr.lockfile import LOCK
from context_fbr.study.document import Document, parse, plain

CODE = Path("data/code/train.json")
DECIDE = ("src", "params.yaml")
ATTEMPTS = 5
"""To read dvc.lock, which DVC writes in place while cells are computed side by side."""


@dataclass(frozen=True)
class Identity:
    """A cell's run."""

    run: str
    """Its id: of the cell, and everything that decides its training but software and device."""
    name: str
    group: str
    """Shared by all patch sizes and seeds of a network in a study."""
    tags: tuple[str, ...]
    config: Mapping[str, Any]


def identify(cell: Cell, document: Document) -> Identity:
    """The run of a cell, from params.yaml and dvc.lock as they are."""
    recorded = _recorded()
    task = _value(document, "tasks", cell.task)
    network = _value(document, "networks", cell.model)
    settings = {name: _value(document, name) for name in ("train", "sliding_window")}
    data = _hash_of(recorded, f"prepare@{cell.task}", f"data/prepared/{cell.task}")
    code = hashlib.md5(CODE.read_bytes()).hexdigest() if CODE.is_file() else None
    own = {"network": network, "epochs": task["train"], **settings}
    work = _digest({"cell": cell.key, "data": data, "code": code, **own})
    study = _digest({"raw": task["raw"], "prepare": task["prepare"], **own})
    config = {
        "cell": cell.key,
        "task": cell.task,
        "model": cell.model,
        "patch_size": cell.patch_size,
        "seed": cell.seed,
        "network": network,
        "data": task,
        **settings,
        "provenance": {
            "revision": software.revision(),
            "changed_files": list(software.changed_files(DECIDE)),
            "raw_data": _hash_of(recorded, f"raw@{cell.task}", f"data/raw/{cell.task}"),
            "prepared_data": data,
            "code": code,
            "experiment": os.environ.get("DVC_EXP_NAME") or None,
        },
    }
    return Identity(
        run=f"{cell.key}-{work[:10]}",
        name=cell.key,
        group=f"{cell.task}-{study[:6]}/{cell.model}",
        tags=(cell.task, f"patch {cell.patch_size}"),
        config=config,
    )


def _value(document: Document, *keys: str) -> Any:
    return plain(reduce(lambda node, key: node[key], keys, document.root))


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _recorded() -> dict[str, Any]:
    """The stages of dvc.lock, none if there is no such file."""
    for attempt in range(ATTEMPTS):
        if not LOCK.exists():
            break
        try:
            stages: dict[str, Any] = parse(LOCK.read_bytes(), str(LOCK), "safe")["stages"]
            return stages
        except (UserError, TypeError, KeyError):
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.2)
    return {}


def _hash_of(recorded: Mapping[str, Any], stage: str, path: str) -> str | None:
    """DVC's hash of what a stage wrote; None if nobody knows."""
    outs = recorded.get(stage, {}).get("outs", ())
    return next((out["md5"] for out in outs if out["path"] == path), None)
