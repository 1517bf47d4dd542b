"""Start and end of a stage or a command: exit status, messages, streams."""

import io
import os
import pwd
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from context_fbr.core.errors import StoppedError, UserError, visible
from context_fbr.runtime import orphans

USER_VARIABLES = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""Variables that `getpass.getuser` reads."""


def user_has_name() -> bool:
    """Return true if this user has a name, which users of containers often lack."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def name_user() -> None:
    """Set USER for a user without a name, for which libraries (`getpass.getuser`) would fail."""
    if not any(os.environ.get(name) for name in USER_VARIABLES) and not user_has_name():
        os.environ["USER"] = f"uid{os.getuid()}"


def run_command(main: Callable[[list[str]], int | None], arguments: list[str] | None = None) -> NoReturn:
    """Run a stage or a command; exit with its status, or that of a UserError, with its problems on stderr."""
    orphans.exit_with_parent()
    _print_every_name()
    name_user()
    try:
        status = main(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except UserError as error:
        sys.stdout.flush()
        for problem in error.problems:
            print(f"error: {visible(problem)}", file=sys.stderr)
        sys.exit(error.status)
    except StoppedError as stopped:
        sys.stdout.flush()
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
    except BrokenPipeError:  # `context-fbr ... | head`: the reader has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(status or 0)


def task_argument(arguments: list[str]) -> str:
    """Return the only argument of a stage of a task; raises UserError if there are others."""
    if len(arguments) != 1:
        raise UserError(f"expected TASK, for example `spheres`, got {arguments}")
    return arguments[0]


def no_arguments(arguments: list[str]) -> None:
    """Check that a stage of the whole study has no argument; raises UserError if there is one."""
    if arguments:
        raise UserError(f"expected no argument, got {arguments}")


def _print_every_name() -> None:
    """Escape what a stream cannot encode, as a name in another encoding, and print the rest."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
