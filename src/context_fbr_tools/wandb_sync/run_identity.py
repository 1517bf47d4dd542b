"""Which run of W&B a cell is: the same work is the same run, wherever and however often it is computed."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.core import bounded
from context_fbr.runtime import provenance
from context_fbr.runtime.code_digest import digest_file
from context_fbr_tools.wandb_sync.journal import ORIGIN
from context_fbr_tools.wandb_sync.lock_state import md5, output, stages, value

KEPT = ("revision", "changed_files", "device", "packages", "started", "seconds")
"""Of what made a result."""


@dataclass(frozen=True)
class Identity:
    """A cell's run."""

    run: str
    """Its id: of the cell, and everything that decides its training but software and device."""
    name: str
    group: str
    """Of all patch sizes and seeds of a network in a study: both names, each with a digest of what it is."""
    tags: tuple[str, ...]
    config: Mapping[str, Any]


def identify(cell: Cell, document: Document) -> Identity:
    """The run of a cell, from params.yaml, dvc.lock and data/code/train.json as they are."""
    recorded = stages(f"prepare@{cell.task}")
    task = value(document, "tasks", cell.task)
    network = value(document, "networks", cell.model)
    settings = {name: value(document, name) for name in ("train", "sliding_window")}
    hashes = {
        "raw": output(recorded, f"raw@{cell.task}", f"data/raw/{cell.task}"),
        "prepared": output(recorded, f"prepare@{cell.task}", f"data/prepared/{cell.task}"),
        "code": _code(),
    }
    own = {"task": task["train"], **settings}
    decides = {"cell": cell.key, "data": hashes["prepared"], "code": hashes["code"], "network": network}
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
        run=f"{cell.key}-{_digest(decides | own)[:10]}",
        name=cell.key,
        group=f"{cell.task}-{study[:6]}/{cell.model}-{_digest(network)[:4]}",
        tags=(cell.task, f"patch {cell.patch_size}"),
        config=config,
    )


def _code() -> str | None:
    """Return the hash of the code of `train`, None if it is missing."""
    path = digest_file("train")
    return md5(path) if path.is_file() else None


def message(identity: Identity, stage: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """For the journal: who the run is, and what computes a stage of it."""
    return {
        "kind": "config",
        "run": identity.run,
        "name": identity.name,
        "group": identity.group,
        "tags": list(identity.tags),
        "config": {**identity.config, f"{ORIGIN}{stage}": dict(origin)},
    }


def provenance_now() -> dict[str, Any]:
    """What computes here and now."""
    origin = provenance.start()
    return {
        "revision": origin.revision,
        "changed_files": list(origin.changed),
        "experiment": os.environ.get("DVC_EXP_NAME") or None,
    }


def provenance_of(cell: Cell, stage: str, result: Path) -> dict[str, Any]:
    """What computed a stage of a cell, as far as metrics/provenance knows it of this result."""
    try:
        content = bounded.read_json(cell.provenance(stage))
        if content["results"][str(result)]["sha256"] == hashlib.sha256(result.read_bytes()).hexdigest():
            return {name: content[name] for name in KEPT}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
