"""What one check found, and a check that fails is a finding too."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from context_fbr.core.errors import UserError


class Status(StrEnum):
    """How a check came out, best first."""

    OK = "ok"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


@dataclass(frozen=True)
class Result:
    """One line of the report."""

    name: str
    status: Status
    found: str
    to_do: str = ""
    """Empty if nothing needs to be done."""


def guarded(name: str, check: Callable[[], Iterable[Result]]) -> Iterator[Result]:
    """The check's results; what it raises is one more, so that the other checks run all the same."""
    try:
        yield from check()
    except UserError as error:  # says itself what to do
        yield Result(name, Status.WRONG, "; ".join(error.problems))
    except Exception as error:  # whatever a broken installation comes up with
        found = f"could not be checked ({type(error).__name__}: {first_line(error)})"
        yield Result(name, Status.WRONG, found, "mend what the message names, then run this again")


def first_line(error: BaseException) -> str:
    """Of its message, or what it is."""
    return (str(error).strip() or repr(error)).splitlines()[0]
