"""What a person can mend is a message; everything else is a traceback."""

import io
import os
import pwd
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from context_fbr import starters
from context_fbr.visible import visible

# Every process imports this module before matplotlib, which MONAI imports as well. The backend of a
# notebook's terminal is often not installed here, and the import would fail. Figures are files: Agg draws.
os.environ["MPLBACKEND"] = "agg"

USER_VARIABLES = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""Of `getpass.getuser`."""


class UserError(Exception):
    """One or more problems that the user can mend; printed without a traceback, exit status 1.

    Each problem says what is wrong, where (file:line or case), what was expected and what to do.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoppedError(Exception):
    """Somebody asked this process to stop, and it did so in order: the same command goes on where it stopped.

    Schedulers can requeue on its exit status.
    """

    STATUS = os.EX_TEMPFAIL
    """75: a failure that passes."""

    def __init__(self, text: str, status: int = STATUS) -> None:
        super().__init__(text)
        self.status = status


def raise_problems(problems: Sequence[str]) -> None:
    """Raise all problems together, if there are any.

    Raises:
        UserError: holding every problem of the list.
    """
    if problems:
        raise UserError(*problems)


def user_has_name() -> bool:
    """Return true if the system knows a name for this user, as it does not for many a container's."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def name_user() -> None:
    """Set USER for a user without a name, for which libraries (`getpass.getuser`) would fail."""
    if not any(os.environ.get(name) for name in USER_VARIABLES) and not user_has_name():
        os.environ["USER"] = f"uid{os.getuid()}"


def run(main: Callable[[list[str]], int | None], arguments: list[str] | None = None) -> NoReturn:
    """Run a stage or a command; exit with its status, or with 1 and its problems on stderr."""
    starters.watch()
    _print_every_name()
    name_user()
    try:
        status = main(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except UserError as error:
        sys.stdout.flush()
        for problem in error.problems:
            print(f"error: {visible(problem)}", file=sys.stderr)
        sys.exit(1)
    except StoppedError as stopped:
        sys.stdout.flush()
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
    except BrokenPipeError:  # `context-fbr ... | head`: nobody is left to read
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(status or 0)


def _print_every_name() -> None:
    """Escape what a stream cannot encode, as a name in another encoding, and print the rest."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
