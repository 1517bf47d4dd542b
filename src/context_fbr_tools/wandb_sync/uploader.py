"""Tell W&B what a journal holds: a process of its own.

python -m context_fbr_tools.wandb_sync.uploader FOLDER [--online] [--follow] [--patience SECONDS]

With --follow it goes on while its standard input is open; a line `done` there says that the stage came to its
end. However W&B behaves, whoever computes is not waiting in here. It loads no torch, beside a training.
"""

import argparse
import contextlib
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from context_fbr.runtime import locks
from context_fbr_tools.wandb_sync import journal
from context_fbr_tools.wandb_sync.journal import Message
from context_fbr_tools.wandb_sync.uploader_process import FAILED, PLACE

POLL_S = 0.5
MOST_WAIT_S = 120
"""For another process that tells of the same run."""
MOST_CHARACTERS = 300
"""Of a reason."""
TOO_LATE = 3
"""Exit status."""


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
        from context_fbr_tools.wandb_sync.wandb_run import Run  # takes seconds

        run = Run(config, folder, online)
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
    """The messages of a journal, as they come, until the input has ended; of results the newest ones."""
    offset = 0
    while True:
        last = ended.is_set()
        new, offset = journal.read(folder, offset)
        newest = {message["kind"]: message for message in new if "digest" in message}
        yield from (message for message in new if newest.get(message["kind"], message) is message)
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
    except locks.HeldError as owner:
        print(f"{FAILED}it is being told by {owner}", flush=True)
        return 1
    except BaseException as error:  # W&B ends programs, too
        text = (
            textwrap.shorten(str(error), MOST_CHARACTERS) or "no reason given"
        )  # some servers answer with pages
        print(f"{FAILED}{type(error).__name__}: {text}", flush=True)
        return 1
    print("told", flush=True)
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(status)  # W&B waits at the end of a program, without a limit, for what it could not bring away
