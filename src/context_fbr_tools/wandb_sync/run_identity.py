"""Identity of a cell's run: equal work has one run, wherever and however often it is computed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document, plain
from context_fbr.core.patch_size import written
from context_fbr.runtime import provenance
from context_fbr.runtime.code_digest import digest_file
from context_fbr_tools.dvc import lockfile

KEPT = ("revision", "changed_files", "device", "packages", "started", "seconds")  # of a provenance


@dataclass(frozen=True)
class Identity:
    """Run of a cell, with an id of everything that decides its training but software and device."""

    run: str
    name: str
    group: str
    """All patch sizes and seeds of a network in a study: both names, each with a digest of its settings."""
    tags: tuple[str, ...]
    config: Mapping[str, Any]


def identify(cell: Cell, document: Document) -> Identity:
    """Return the run of a cell, from params.yaml, dvc.lock and data/code/train.json; raises UserError."""
    recorded, code = lockfile.entries(), digest_file("train")
    parameters = json.loads(json.dumps(plain(document.root)))
    task, network = parameters["tasks"][cell.task], parameters["models"][cell.model]
    settings = {name: parameters[name] for name in ("train", "sliding_window")}
    hashes = {
        kind: next((out["md5"] for out in recorded.get(f"{stage}@{cell.task}", {}).get("outs", ())), None)
        for kind, stage in (("raw", "raw"), ("prepared", "prepare"))
    } | {"code": md5_of(code) if code.is_file() else None}
    own = {"task": task["train"], **settings}
    decides = {"cell": cell.key, "data": hashes["prepared"], "code": hashes["code"], "network": network}
    study = _digest({"raw": task["raw"], "prepare": task["prepare"], **own})
    values = {field.name: written(getattr(cell, field.name)) for field in fields(cell) if field.name != "arm"}
    parts = {"cell": cell.key, **values, "network": network, "data": task, "hashes": hashes}
    return Identity(
        run=f"{cell.key}-{_digest(decides | own)[:10]}",
        name=cell.key,
        group=f"{cell.task}-{study[:6]}/{cell.model}-{_digest(network)[:4]}",
        tags=(cell.task, f"patch {cell.patch_size}"),
        config=parts | settings,
    )


def provenance_of(cell: Cell) -> dict[str, dict[str, Any]]:
    """Return the configuration's part about the computation of the results that are there."""
    found: dict[str, dict[str, Any]] = {}
    for stage, result in (("train", cell.weights), ("evaluate", cell.scores)):
        record = provenance.read(cell.provenance(stage))
        if result.is_file() and record.get("results", {}).get(str(result), {}).get("md5") == md5_of(result):
            found[f"provenance_{stage}"] = {name: record.get(name) for name in KEPT}
    return found


def md5_of(path: Path) -> str:
    """Return the MD5 of a file, by which DVC knows it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
