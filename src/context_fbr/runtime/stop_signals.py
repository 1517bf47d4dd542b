"""Signals: requests to stop, which a long computation obeys where it loses nothing, and those that end it."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from context_fbr.core.errors import StoppedError

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """The signal that requested a stop of this process, if there was one."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.status = StoppedError.STATUS

    def obey(self, what: str) -> None:
        """End `what` if a stop was requested; to be called when everything is saved.

        Raises:
            StoppedError: if it was.
        """
        if self.reason:
            raise StoppedError(f"{what}, stopped by {self.reason}; the same command resumes", self.status)


@contextmanager
def handle_signals(numbers: Iterable[signal.Signals], handler: Handler) -> Iterator[None]:
    """Call `handler` for some signals while the block runs. Main thread only.

    A signal that is ignored stays so: under nohup, and Ctrl-C in the background of a shell's script.
    """
    handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note SIGTERM, SIGUSR1 (a scheduler's warning) and Ctrl-C; a second Ctrl-C stops at once."""
    request = StopRequest()

    def note(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and request.reason:
            raise KeyboardInterrupt
        request.reason = signal.Signals(number).name
        if number == signal.SIGINT:
            request.status = 128 + signal.SIGINT
            print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    with handle_signals((signal.SIGTERM, signal.SIGUSR1, signal.SIGINT), note):
        yield request


def signals_as_exceptions() -> AbstractContextManager[None]:
    """Let a scheduler's signals and a closed terminal unwind the block as Ctrl-C does.

    After SIGTERM and SIGUSR1 the exit status is 75, as of a training that was saved: a scheduler requeues.
    """

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number if number == signal.SIGHUP else StoppedError.STATUS)

    return handle_signals((signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP), leave)
