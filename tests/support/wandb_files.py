"""What W&B's own reader finds in its offline files."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore

UNET = "spheres-unet-16-1"
CELL = ("spheres", "unet", "16", "1")
TRAIN = (sys.executable, "-m", "context_fbr.train", *CELL)


@dataclass
class Told:
    """One of W&B's folders: what one process reported of a run."""

    folder: Path
    run: Any = None
    """W&B's record: id, name, group, tags."""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """With their `_step`."""
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    exit_code: int | None = None

    def file(self, entry: dict[str, Any]) -> Path:
        """The file of a picture or a table."""
        return self.folder / "files" / entry["path"]

    @property
    def steps(self) -> list[int]:
        """In the order in which they were reported."""
        return [row["_step"] for row in self.rows]

    def values(self, name: str) -> dict[int, Any]:
        """Values that were reported under a name, by step."""
        return {row["_step"]: row[name] for row in self.rows if name in row}

    def table(self, name: str) -> dict[str, Any]:
        """The table that was reported under a name, whose pictures lie in an artifact with it."""
        found = [
            entry.local_path
            for artifact in self.artifacts
            if artifact.type == "run_table"
            for entry in artifact.manifest.contents
            if entry.path == f"{name}.table.json"
        ]
        content: dict[str, Any] = json.loads(Path(found[-1]).read_text())
        return content


def read(home: Path) -> dict[str, Told]:
    """Reports of each run below a folder, by its name; a run has one folder."""
    found: dict[str, Told] = {}
    for path in home.glob("wandb/offline-run-*/*.wandb"):
        told = _read(path)
        if told.run is None:  # just begun
            continue
        assert told.run.display_name not in found, f"two folders of {told.run.display_name}"
        found[told.run.display_name] = told
    return found


def _read(path: Path) -> Told:
    told = Told(path.parent)
    for record in _records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told.run = record.run
            told.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "config":
            told.config |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            told.rows.append(_items(record.history.item))
        elif kind == "summary":
            told.summary |= _items(record.summary.update)
        elif kind == "artifact":
            told.artifacts.append(record.artifact)
        elif kind == "exit":
            told.exit_code = record.exit.exit_code
    return told


def _records(path: Path) -> Iterator[Any]:
    store = DataStore()
    store.open_for_scan(str(path))
    try:
        while (data := store.scan_data()) is not None:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            yield record
    finally:
        store._fp.close()  # its own way would write


def _items(items: Any) -> dict[str, Any]:
    """Values by name; W&B stores the parts of one value apart."""
    found: dict[str, Any] = {}
    for item in items:
        *above, last = list(item.nested_key) or [item.key]
        place = found
        for key in above:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return found
