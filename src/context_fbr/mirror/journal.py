"""What W&B is to be told of a run, on disk first: there it stays, whatever becomes of W&B or of a training.

WANDB_DIR/wandb/context-fbr/RUN/journal.jsonl    one message a line, in the order of time
N.npz            arrays of the message in line N: histograms, pictures
weights-MD5.pt   of a model
teller.log       what telling it said
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from context_fbr import atomic, locks

JOURNAL = "journal.jsonl"
Message = dict[str, Any]
"""`kind` says which: config, row, trained or tested."""
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
        self.digests: set[str] = set()
        """Of the results that it holds."""
        self.origins: set[str] = set()
        """Stages of which it holds what computed them."""
        self._losses: dict[int, float] = {}
        self._lines = 0
        for message in read(folder):
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
        loss = row.get("train/loss")
        return loss is not None and self._losses.get(step, loss) != loss

    def _take_note(self, message: Message) -> None:
        self._lines += 1
        self.last_step = max(self.last_step, message.get("step", 0))
        if "digest" in message:
            self.digests.add(message["digest"])
        if message["kind"] == "config":
            begin = "provenance_"
            self.origins |= {name.removeprefix(begin) for name in message["config"] if name.startswith(begin)}
        if "train/loss" in message.get("row", ()):
            self._losses[message["step"]] = message["row"]["train/loss"]


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
        except (ValueError, KeyError, TypeError):  # a machine that lost its power leaves such
            atomic.move(folder / JOURNAL, folder / f"{JOURNAL}.damaged")
            own = Journal(folder)
        yield own


def read(folder: Path, after: int = 0) -> list[Message]:
    """The whole messages of a journal behind the first `after`; errors as in `writing`."""
    try:
        text = (folder / JOURNAL).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [json.loads(line) for line in whole[after:]]


def arrays_of(folder: Path, message: Message) -> dict[str, np.ndarray]:
    """The arrays of a message; errors as in `writing`."""
    if "arrays" not in message:
        return {}
    with np.load(folder / message["arrays"], allow_pickle=False) as found:
        return dict(found)


def _mend(path: Path) -> None:
    """Cut off a line that a killed process did not finish."""
    if path.exists():
        with path.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
