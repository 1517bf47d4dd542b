"""Result of one check; a check that raises gives a result, too."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from context_fbr.core.errors import UserError


class Status(StrEnum):
    """Outcome of a check, best first."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Result:
    """Line of the report."""

    name: str
    status: Status
    found: str
    fix: str = ""
    """Empty if nothing needs to be done."""


def guarded(name: str, check: Callable[[], Iterable[Result]]) -> Iterator[Result]:
    """Yield the results of a check; an exception becomes one more, so that the other checks run."""
    try:
        yield from check()
    except UserError as error:  # names its remedy
        yield Result(name, Status.ERROR, "; ".join(error.problems))
    except Exception as error:  # a broken installation can raise anything
        found = f"could not be checked ({type(error).__name__}: {first_line(error)})"
        yield Result(name, Status.ERROR, found, "fix what the message names, then run this again")


def first_line(error: BaseException) -> str:
    """Return the first line of the message, or the exception's name and arguments."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def shortened(names: Iterable[str], most: int = 3) -> str:
    """Return the first names in their order and the number of the others, `a, b, c and 2 more`."""
    listed = sorted(set(names))
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
