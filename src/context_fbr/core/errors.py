"""Errors that the user can correct are printed as messages; any other exception keeps its traceback."""

import os
from collections.abc import Sequence

# Every process imports this module before matplotlib, which MONAI imports as well. The backend of a
# notebook's terminal is often not installed here, and the import would fail. Figures are files: Agg draws.
os.environ["MPLBACKEND"] = "agg"

LONGEST = 200


class UserError(Exception):
    """One or more problems that the user can correct; printed without a traceback.

    Each problem says what is wrong, where (file:line or case), what was expected and what to do.
    """

    status = 1
    """Exit status."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnavailableDataError(UserError):
    """A data set that is not on this machine, and cannot be brought here: other tasks run without it."""

    status = os.EX_UNAVAILABLE
    """69: the grid skips the task."""


class StoppedError(Exception):
    """This process was asked to stop and saved its work: the same command resumes from there.

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


def visible(text: str) -> str:
    r"""Return the text with control characters, line breaks and undecodable bytes as Python's escapes.

    The escape character becomes `\x1b`, the Latin-1 byte of an `é` in a file's name `\udce9`. What can be
    printed stays as it is.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def on_one_line(text: str, longest: int = LONGEST) -> str:
    """Return the text as `visible` does, cut to a length."""
    return visible(text) if len(text) <= longest else f"{visible(text[:longest])}..."
