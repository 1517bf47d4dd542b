"""What W&B is to be told of a run, on disk first: there it stays, whatever becomes of W&B or of a training.

WANDB_DIR/wandb/context-fbr/RUN/journal.jsonl    one message a line, in the order of time
N.npz            arrays of the message in line N: histograms, pictures
weights-MD5.pt   of a model
teller.log       what telling it said
"""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from context_fbr.core import atomic
from context_fbr.runtime import locks

JOURNAL = "journal.jsonl"
Message = dict[str, Any]
"""`kind` says which: config, row, trained or tested."""
ORIGIN = "provenance_"
"""How what computed a stage begins in a configuration."""
Arrays = Mapping[str, np.ndarray]


def home() -> Path:
    """Where W&B's files go: WANDB_DIR in the checkout, also if DVC computes in a folder of its own."""
    return Path(os.environ.get("DVC_ROOT") or ".", os.environ.get("WANDB_DIR") or "").absolute()


def folder_of(run: str) -> Path:
    """Of a run, by its id."""
    return home() / "wandb" / "context-fbr" / run


class Journal:
    """One that is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last_step = 0
        """Of its rows."""
        self.digests: dict[str, str] = {}
        """Of the newest results that it holds, by kind."""
        self.origins: dict[str, Mapping[str, Any]] = {}
        """What computed a stage at last."""
        self._rows: dict[int, Mapping[str, float]] = {}
        self._lines = 0
        for message in read(folder)[0]:
            if not all((folder / name).is_file() for name in _files(message)):
                raise ValueError(f"{folder}: files are missing")
            self._take_note(message)

    def append(self, message: Message, arrays: Arrays | None = None) -> None:
        """Add a message.

        Raises:
            OSError, UserError: if the system refuses; what is there stays whole.
        """
        if arrays:
            message = {**message, "arrays": f"{self._lines + 1}.npz"}
            content = BytesIO()
            np.savez_compressed(content, allow_pickle=False, **arrays)
            atomic.write_bytes(self.folder / message["arrays"], content.getbuffer())
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(message) + "\n")
        self._take_note(message)

    def keep(self, path: Path, name: str) -> None:
        """Keep a file as it is now; errors as in `append`."""
        target = self.folder / name
        if target.exists():
            return
        partial = self.folder / f"{name}.partial"
        partial.unlink(missing_ok=True)
        try:
            os.link(path.resolve(), partial)  # no stage of ours writes into a file that is there
        except OSError:
            shutil.copyfile(path, partial)
        atomic.move(partial, target)

    def differs(self, step: int, row: Mapping[str, float]) -> bool:
        """Whether a row is not the one that it holds of this step: another attempt computed that one."""
        known = self._rows.get(step, {})
        pairs = [(known[name], row[name]) for name in row if name in known]
        return any(before != now and not (math.isnan(before) and math.isnan(now)) for before, now in pairs)

    def _take_note(self, message: Message) -> None:
        self._lines += 1
        self.last_step = max(self.last_step, message.get("step", 0))
        if "digest" in message:
            self.digests[message["kind"]] = message["digest"]
        if message["kind"] == "config":
            for name, origin in message["config"].items():
                if name.startswith(ORIGIN):
                    self.origins[name.removeprefix(ORIGIN)] = origin
        if "row" in message:
            self._rows[message["step"]] = message["row"]


@contextmanager
def writing(run: str) -> Iterator[Journal]:
    """The journal of a run, for this process alone while the block runs. One that is damaged is put aside.

    Raises:
        HeldError: if another process writes it.
        OSError, UserError: if it cannot be read or written.
    """
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    with locks.hold(folder / "lock"):
        _mend(folder / JOURNAL)
        try:
            own = Journal(folder)
        except (ValueError, KeyError, TypeError):  # a machine lost its power, or somebody made room
            atomic.move(folder / JOURNAL, folder / f"{JOURNAL}.damaged")
            own = Journal(folder)
        yield own


def read(folder: Path, offset: int = 0) -> tuple[list[Message], int]:
    """The whole messages of a journal behind an offset in bytes, and their end; errors as in `writing`."""
    try:
        with (folder / JOURNAL).open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], offset
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def arrays_of(folder: Path, message: Message) -> dict[str, np.ndarray]:
    """The arrays of a message; errors as in `writing`."""
    if "arrays" not in message:
        return {}
    with np.load(folder / message["arrays"], allow_pickle=False) as found:
        return dict(found)


def _files(message: Message) -> list[str]:
    """Beside the journal, which a message speaks of."""
    return [
        *([message["arrays"]] if "arrays" in message else []),
        *([message["model"]["file"]] if "model" in message else []),
    ]


def _mend(path: Path) -> None:
    """Cut off a line that a killed process did not finish."""
    if path.exists():
        with path.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
