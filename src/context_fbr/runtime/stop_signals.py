"""Requests to stop, which a long computation looks at where it can stop without losing anything."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from context_fbr.core.errors import StoppedError


class StopRequest:
    """Whether and how this process was asked to stop."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.status = StoppedError.STATUS

    def obey(self, what: str) -> None:
        """End `what` if that was asked for; to be called when everything is saved.

        Raises:
            StoppedError: if it was.
        """
        if self.reason:
            raise StoppedError(f"{what}, stopped by {self.reason}; the same command resumes", self.status)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Hear SIGTERM, SIGUSR1 (a scheduler's warning) and Ctrl-C; a second Ctrl-C stops at once.

    Main thread only.
    """
    request = StopRequest()

    def hear(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and request.reason:
            raise KeyboardInterrupt
        request.reason = signal.Signals(number).name
        if number == signal.SIGINT:
            request.status = 128 + signal.SIGINT
            print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    # What is ignored stays so: under nohup, and Ctrl-C in the background of a shell's script.
    heard = [
        n for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT) if signal.getsignal(n) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, hear) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
