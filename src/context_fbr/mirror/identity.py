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
ATTEMPTS = 10
"""To read dvc.lock, which DVC writes in place while cells are computed side by side."""
KEPT = ("revision", "changed_files", "device", "packages", "started", "seconds")
"""Of what made a result."""


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
    """The run of a cell, from params.yaml, dvc.lock and data/code/train.json as they are."""
    recorded = _recorded(f"prepare@{cell.task}")
    task = _value(document, "tasks", cell.task)
    network = _value(document, "networks", cell.model)
    settings = {name: _value(document, name) for name in ("train", "sliding_window")}
    hashes = {
        "raw": _hash_of(recorded, f"raw@{cell.task}", f"data/raw/{cell.task}"),
        "prepared": _hash_of(recorded, f"prepare@{cell.task}", f"data/prepared/{cell.task}"),
        "code": hashlib.md5(CODE.read_bytes()).hexdigest() if CODE.is_file() else None,
    }
    own = {"network": network, "task": task["train"], **settings}
    work = _digest({"cell": cell.key, "data": hashes["prepared"], "code": hashes["code"], **own})
    study = _digest({"raw": task["raw"], "prepare": task["prepare"], **own})
    config = {
        "cell": cell.key,
        "task": cell.task,
        "model": cell.model,
        "patch_size": cell.patch_size,
        "seed": cell.seed,
        "network": network,
        "data": task,
        "hashes": hashes,
        **settings,
    }
    return Identity(
        run=f"{cell.key}-{work[:10]}",
        name=cell.key,
        group=f"{cell.task}-{study[:6]}/{cell.model}",
        tags=(cell.task, f"patch {cell.patch_size}"),
        config=config,
    )


def message(identity: Identity, stage: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """For the journal: who the run is, and what computes a stage of it."""
    return {
        "kind": "config",
        "run": identity.run,
        "name": identity.name,
        "group": identity.group,
        "tags": list(identity.tags),
        "config": {**identity.config, f"provenance_{stage}": dict(provenance)},
    }


def provenance_now() -> dict[str, Any]:
    """What computes here and now."""
    return {
        "revision": software.revision(),
        "changed_files": list(software.changed_files(DECIDE)),
        "experiment": os.environ.get("DVC_EXP_NAME") or None,
    }


def provenance_of(cell: Cell, stage: str, result: Path) -> dict[str, Any]:
    """What computed a stage of a cell, as far as metrics/provenance knows it of this result."""
    try:
        content = json.loads(cell.provenance(stage).read_text(encoding="utf-8"))
        if content["results"][str(result)] == hashlib.sha256(result.read_bytes()).hexdigest():
            return {name: content[name] for name in KEPT}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def check_recorded(cell: Cell, identity: Identity) -> None:
    """Check that the results that lie here are of these parameters, data and code, by dvc.lock.

    Raises:
        UserError: naming what differs, or if dvc.lock knows nothing of the cell.
    """
    remedy = f"`dvc repro evaluate@{cell.key}` brings it up to date"
    entry = _recorded(f"train@{cell.key}").get(f"train@{cell.key}")
    if entry is None:
        raise UserError(f"{cell.key}: dvc.lock knows nothing of its training; {remedy}")
    config = identity.config
    wanted = {
        f"networks.{cell.model}": config["network"],
        f"tasks.{cell.task}.train": config["data"]["train"],
        "train": config["train"],
        "sliding_window": config["sliding_window"],
        f"data/prepared/{cell.task}": config["hashes"]["prepared"],
        str(CODE): config["hashes"]["code"],
    }
    found = {**entry["params"]["params.yaml"], **{dep["path"]: dep["md5"] for dep in entry["deps"]}}
    differs = [name for name, value in wanted.items() if _plain(found.get(name)) != _plain(value)]
    if differs:
        raise UserError(f"{cell.key}: its results are of another state of {', '.join(differs)}; {remedy}")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(plain(value)))


def _value(document: Document, *keys: str) -> Any:
    return _plain(reduce(lambda node, key: node[key], keys, document.root))


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _recorded(wanted: str) -> dict[str, Any]:
    """The stages of dvc.lock, read again while it lacks one that ought to be there."""
    stages: dict[str, Any] = {}
    for _ in range(ATTEMPTS):
        if not LOCK.exists():
            return {}
        try:
            stages = parse(LOCK.read_bytes(), str(LOCK), "safe")["stages"]
            if stages.get(wanted, {}).get("outs"):
                return stages
        except (UserError, TypeError, KeyError, AttributeError):
            pass
        time.sleep(0.1)
    return stages


def _hash_of(recorded: Mapping[str, Any], stage: str, path: str) -> str | None:
    """DVC's hash of what a stage wrote; None if nobody knows."""
    outs = (recorded.get(stage) or {}).get("outs") or ()
    return next((out["md5"] for out in outs if out["path"] == path), None)
