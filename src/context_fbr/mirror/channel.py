"""W&B is told by a thread, so that nobody waits for it; what goes wrong there is a warning."""

import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import psutil

from context_fbr.mirror.run import Run

SERVICE = "wandb-core"
PATIENCE_S = 30.0
"""At the end of a stage, for what is still to be brought away."""
PATIENCE_IF_STOPPED_S = 5.0
"""A scheduler is waiting."""

Message = Callable[[Run], None]


class Channel:
    """Messages to a run, in their order."""

    def __init__(self, what: str, opened: Callable[[], Run]) -> None:
        """Begin to open the run.

        Args:
            what: name of the cell.
            opened: opens it.
        """
        self._what, self._opened = what, opened
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._failed = False
        self._deaf = False
        self._thread = threading.Thread(target=self._work, name="W&B", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Have a message told when its turn comes."""
        if not self._deaf:
            self._messages.put(message)

    def fail(self, error: BaseException) -> None:
        """Warn, once, and tell nothing more."""
        if not self._deaf:
            self._deaf = True
            text = " ".join(str(error).split()) or "no reason given"
            _warn(self._what, f"W&B: {type(error).__name__}: {text}")

    def close(self, failed: bool) -> None:
        """End the run and wait for it, but not for long."""
        self._failed = failed
        self._messages.put(None)
        patience = PATIENCE_IF_STOPPED_S if failed else PATIENCE_S
        self._thread.join(patience)
        if self._thread.is_alive():
            self.fail(TimeoutError(f"did not take everything within {patience:.0f} s"))
            _kill_service()
            self._thread.join(PATIENCE_IF_STOPPED_S)
        if self._deaf and not failed:
            _warn(
                self._what, f"its results are complete; `context-fbr wandb push {self._what}` tells W&B later"
            )

    def _work(self) -> None:
        try:
            run = self._opened()
        except Exception as error:
            self.fail(error)
            return
        try:
            while (message := self._messages.get()) is not None:
                if not self._deaf:
                    message(run)
        except Exception as error:
            self.fail(error)
        with suppress(Exception):
            run.finish(self._failed)


def _kill_service() -> None:
    """End W&B's own process, which waits for a server and would make this one wait."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name() == SERVICE:
                process.kill()


def _warn(what: str, text: str) -> None:
    print(f"warning: {what}: {text}", file=sys.stderr, flush=True)
