"""Problems of a data set: each is one line of the report."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Severity of a problem; only errors make the exit status 1."""

    ERROR = "error"
    """The data set cannot be used as it is."""
    WARNING = "warning"
    """Unusual, check it."""
    NOTE = "note"
    """Worth knowing; nothing has to be changed."""


@dataclass(frozen=True)
class Problem:
    """Something about one file."""

    severity: Severity
    kind: str
    """Name for programs: the same words for the same kind of problem."""
    case: str
    """Name of the case, empty if it is about the whole data set."""
    file: str
    """Relative to the data set's folder."""
    text: str
    """The problem, and the expected value."""
    remedy: str
    """The remedy."""


def error(kind: str, case: str, file: str, text: str, remedy: str) -> Problem:
    """A problem that makes the data set unusable."""
    return Problem(Severity.ERROR, kind, case, file, text, remedy)


def warning(kind: str, case: str, file: str, text: str, remedy: str) -> Problem:
    """Return a warning."""
    return Problem(Severity.WARNING, kind, case, file, text, remedy)


def note(kind: str, case: str, file: str, text: str, remedy: str = "nothing") -> Problem:
    """Something worth knowing."""
    return Problem(Severity.NOTE, kind, case, file, text, remedy)


def ordered(problems: list[Problem]) -> tuple[Problem, ...]:
    """The worst first, then by case and file."""
    severities = list(Severity)
    return tuple(sorted(problems, key=lambda p: (severities.index(p.severity), p.case, p.file, p.kind)))
