"""What W&B's own reader finds in its offline files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore


@dataclass
class Told:
    """One of W&B's folders: what it was told of a run by one process."""

    folder: Path
    run: Any = None
    """W&B's record: id, name, group, tags."""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """With their `_step`."""
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    used: list[Any] = field(default_factory=list)
    exit_code: int | None = None

    def file(self, entry: dict[str, Any]) -> Path:
        """The file of a picture or a table."""
        return self.folder / "files" / entry["path"]


def read(home: Path) -> list[Told]:
    """All of W&B's folders below a folder, in the order in which they were begun."""
    paths = sorted(home.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_ctime_ns)
    return [_read(path) for path in paths]


def steps(told: list[Told], run: str) -> list[int]:
    """The steps of a run, in the order in which it was told of them."""
    return [row["_step"] for each in told if each.run.run_id == run for row in each.rows]


def values(told: list[Told], run: str, name: str) -> dict[int, Any]:
    """What a run was told under a name, by step."""
    rows = [row for each in told if each.run.run_id == run for row in each.rows]
    return {row["_step"]: row[name] for row in rows if name in row}


def _read(path: Path) -> Told:
    told = Told(path.parent)
    for record in _records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told.run = record.run
            told.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            told.rows.append(_items(record.history.item))
            told.rows[-1].setdefault("_step", record.history.step.num)
        elif kind == "summary":
            told.summary |= _items(record.summary.update)
        elif kind == "artifact":
            told.artifacts.append(record.artifact)
        elif kind == "use_artifact":
            told.used.append(record.use_artifact)
        elif kind == "exit":
            told.exit_code = record.exit.exit_code
        elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
            told.artifacts.append(record.request.log_artifact.artifact)
    return told


def _records(path: Path) -> Iterator[Any]:
    store = DataStore()
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        yield record


def _items(items: Any) -> dict[str, Any]:
    return {"/".join([item.key, *item.nested_key]).strip("/"): json.loads(item.value_json) for item in items}
