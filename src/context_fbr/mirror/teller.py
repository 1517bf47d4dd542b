"""Tell W&B what a journal holds: the only program here that knows W&B, and a process of its own.

python -m context_fbr.mirror.teller FOLDER [--online] [--follow] [--patience SECONDS]

With --follow it goes on while its standard input is open; a line `done` there says that the stage came to its
end. However W&B behaves, whoever computes is not waiting in here. It loads no torch, beside a training.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from context_fbr import locks
from context_fbr.mirror import journal
from context_fbr.mirror.journal import Message
from context_fbr.mirror.starting import FAILED, PLACE

PROJECT = "context-fbr"
"""If WANDB_PROJECT names none."""
INIT_S = 10
"""With a server that does not answer, which is asked twice."""
POLL_S = 0.5
MOST_WAIT_S = 120
"""For another process that tells of the same run."""
TOO_LATE = 3
"""Exit status."""
UPLOADS = ("filestream:", "file transfer:", "sender:")
"""Parts of W&B's service whose errors are losses; the log has others', of its own analytics, too."""
MOST_CHARACTERS = 200
CLASSES = {0: "background", 1: "foreground"}


class _Run:
    """A run that is open."""

    def __init__(self, config: Message, folder: Path, online: bool) -> None:
        """Open the run of the journal in a folder."""
        import wandb

        self._online, self._journal, self._name = online, folder, config["name"]
        wandb.setup(wandb.Settings(silent=True, console="off"))  # before init: it never asks for a key then
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=config["run"],
            name=config["name"],
            group=os.environ.get("WANDB_RUN_GROUP") or config["group"],
            tags=config["tags"],
            config=config["config"],
            dir=str(folder.parents[2]),
            mode="online" if online else "offline",
            resume="allow" if online else None,
            settings=wandb.Settings(
                disable_git=True,  # the commit stands in the configuration
                disable_code=True,
                x_save_requirements=False,
                init_timeout=INIT_S,
            ),
        )
        for many in ("parameters/*", "gradients/*"):  # thousands of numbers, which no summary is
            self._run.define_metric(many, summary="none")
        self._first_step = self._run.starting_step if online else 0
        self._artifacts: list[Any] = []
        self._results: dict[str, str] = {}
        self.folder = Path(self._run.dir).parent

    @property
    def place(self) -> str:
        """Where to look."""
        return str(self._run.url) if self._online else f"offline in {self.folder}"

    def tell(self, message: Message, arrays: dict[str, Any]) -> None:
        """Tell a message that W&B does not know."""
        getattr(self, f"_{message['kind']}")(message, arrays)

    def _config(self, message: Message, _: object) -> None:
        self._run.config.update(message["config"], allow_val_change=True)

    def _row(self, message: Message, arrays: dict[str, Any]) -> None:
        import wandb

        if message["step"] < self._first_step:
            return
        content = dict(message["row"])
        for name in {name.rpartition("/")[0] for name in arrays if name.endswith("/counts")}:
            counts, edges = arrays[f"{name}/counts"], arrays[f"{name}/edges"]
            content[name] = wandb.Histogram(np_histogram=(counts.tolist(), edges.tolist()))
        for name, caption in message.get("captions", {}).items():
            content[name] = _picture(arrays, name, caption)
        self._run.log(content, step=message["step"], commit=True)

    def _trained(self, message: Message, _: object) -> None:
        import wandb

        if self._knows(message):
            return
        self._run.summary.update(message["summary"])
        model = message["model"]
        artifact = wandb.Artifact(self._name, type="model", metadata=model["metadata"])
        weights = str(self._journal / model["file"])
        artifact.add_file(weights, name="weights.pt", policy="immutable", skip_cache=True)
        self._artifacts.append(self._run.log_artifact(artifact))
        for data in message["data"]:
            metadata = {name: value for name, value in data.items() if name not in ("name", "path")}
            artifact = wandb.Artifact(data["name"], type="dataset", metadata=metadata)
            place = f"files/md5/{data['md5'][:2]}/{data['md5'][2:]}"
            artifact.add_reference(f"dvc://{place}", name=data["path"], checksum=False)
            self._artifacts.append(self._run.log_artifact(artifact))

    def _tested(self, message: Message, arrays: dict[str, Any]) -> None:
        import wandb

        if self._knows(message):
            return
        captions = message["captions"]
        pictures = {number: _picture(arrays, number, caption) for number, caption in captions.items()}
        table = wandb.Table(columns=[*message["columns"], "overlay"])
        for number, row in enumerate(message["rows"]):
            table.add_data(*row, pictures.get(str(number)))
        content: dict[str, Any] = {"test/cases": table, **message["means"]}
        for rank, number in enumerate(message["worst"], start=1):
            if str(number) in captions:
                content[f"test/worst_{rank}"] = _picture(arrays, str(number), captions[str(number)])
        self._run.log(content, step=max(message["step"], self._first_step), commit=True)

    def _knows(self, message: Message) -> bool:
        """Whether W&B has these results; and if not, that it will be told so when it has them."""
        name = f"results/{message['kind']}"
        self._results[name] = message["digest"]
        return bool(self._run.summary.get(name) == message["digest"])

    def finish(self, failed: bool) -> None:
        """Bring everything away.

        Raises:
            Exception: what W&B's client raises, or if it wrote down that something could not be brought away.
        """
        if self._online:
            for artifact in self._artifacts:
                artifact.wait()
        self._run.summary.update(self._results)
        self._run.finish(exit_code=int(failed))
        if self._online:
            _look_for_errors(self.folder / "logs" / "debug-internal.log")


def _look_for_errors(log: Path) -> None:
    """Raise an error of W&B's service, of which its client tells nobody: an upload that was refused."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            message = str(record.get("msg"))
            if str(record.get("level")).startswith("ERROR") and message.startswith(UPLOADS):
                raise RuntimeError(message[:MOST_CHARACTERS])


def _picture(arrays: dict[str, Any], name: str, caption: str) -> Any:
    import wandb

    masks = {
        part: {"mask_data": arrays[f"{name}/{part}"], "class_labels": CLASSES}
        for part in ("label", "prediction")
    }
    return wandb.Image(arrays[f"{name}/image"], masks=masks, caption=caption)


@dataclass
class _Input:
    """Of this process: whoever computes a stage holds its other end."""

    ended: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    """Whether the stage came to its end."""

    def listen(self, patience_s: float | None) -> None:
        """Wait for its end, and for what W&B still has to take by then."""
        self.done = b"done" in sys.stdin.buffer.read()
        if patience_s is not None:
            _end_within(patience_s)
        self.ended.set()


def tell(folder: Path, online: bool, follow: bool, patience_s: float | None) -> None:
    """Tell a run's journal from where W&B knows it.

    Args:
        folder: of the journal.
        online: to a server; else into files.
        follow: go on while the input is open.
        patience_s: seconds after its end in which W&B has to take everything.

    Raises:
        BaseException: whatever W&B raises.
    """
    heard = _Input()
    if follow:
        threading.Thread(target=heard.listen, args=(patience_s,), daemon=True).start()
    else:
        heard.done = True
        heard.ended.set()
    with contextlib.ExitStack() as stack:
        _be_alone(stack, folder / "telling.lock", None if follow else MOST_WAIT_S)
        messages = _messages(folder, heard.ended)
        config = next(messages)
        if config["kind"] != "config":
            raise ValueError(f"{folder / journal.JOURNAL}: begins with no configuration")
        run = _Run(config, folder, online)
        print(f"{PLACE}{run.place}", flush=True)
        for message in messages:
            run.tell(message, journal.arrays_of(folder, message))
        run.finish(failed=not heard.done)
        if not online:
            _remove_older(run.folder, config["run"])


def _be_alone(stack: contextlib.ExitStack, path: Path, most_s: float | None) -> None:
    """Wait until no other process tells of the run; that of a killed training goes on for a while."""
    begin = time.monotonic()
    while True:
        try:
            stack.enter_context(locks.hold(path))
        except locks.HeldError:
            if most_s is not None and time.monotonic() - begin > most_s:
                raise
            time.sleep(POLL_S)
        else:
            return


def _messages(folder: Path, ended: threading.Event) -> Iterator[Message]:
    """The messages of a journal, as they come, until the input has ended."""
    told = 0
    while True:
        last = ended.is_set()
        new = journal.read(folder, after=told)
        yield from new
        told += len(new)
        if last:
            return
        ended.wait(POLL_S)


def _end_within(seconds: float) -> None:
    """End this process if it is still there by then."""

    def end() -> None:
        print(f"{FAILED}W&B did not take everything within {seconds:.0f} s", flush=True)
        os._exit(TOO_LATE)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _remove_older(folder: Path, run: str) -> None:
    """Offline, each telling is a whole one: those before hold a part of it."""
    for other in folder.parent.glob(f"offline-run-*-{run}"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Tell; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--online", action="store_true")
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--patience", type=float, metavar="SECONDS", help="after the end of the input")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    os.environ.setdefault("WANDB_DATA_DIR", str(folder.parent / "data"))
    os.environ.setdefault("WANDB_CACHE_DIR", str(folder.parent / "cache"))
    try:
        tell(folder, options.online, options.follow, options.patience)
    except BaseException as error:  # W&B ends programs, too
        text = " ".join(str(error).split()) or "no reason given"
        print(f"{FAILED}{type(error).__name__}: {text}", flush=True)
        return 1
    print("told", flush=True)
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(status)  # W&B waits at the end of a program, without a limit, for what it could not bring away
