"""Limits of a YAML file, held while its parser emits events: before a tree, or the text of one, is built.

A few lines of aliases (`*name`) can expand to billions of values, and a line of brackets is deeper than a
parser's stack: so levels, values and characters are counted, with aliases expanded.
"""

from typing import Any, NamedTuple

from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from context_fbr.core.bounded import MOST_LEVELS

MOST_VALUES = 200_000
"""The dvc.lock of a thousand cells holds fewer."""
MOST_CHARACTERS = 10_000_000


class LimitError(Exception):
    """A file is larger or deeper than any of this project; `line` counts from 1."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


class _Weight(NamedTuple):
    values: int
    characters: int

    def plus(self, other: "_Weight") -> "_Weight":
        return _Weight(self.values + other.values, self.characters + other.characters)


class Budget:
    """Counts the events of one file."""

    def __init__(self) -> None:
        self._total = _Weight(0, 0)
        self._open: list[tuple[str | None, _Weight]] = []
        """Lists and mappings that have begun: anchor, weight so far."""
        self._anchored: dict[str, _Weight] = {}

    def take(self, event: Any) -> None:
        """Count an event.

        Raises:
            LimitError: if it goes beyond a limit.
        """
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, AliasEvent):
            if event.anchor in [anchor for anchor, _ in self._open]:
                raise LimitError(
                    f"*{event.anchor} is an alias of a value that contains it, without end", line
                )
            self._add(self._anchored.get(event.anchor, _Weight(1, 0)), line)
        elif isinstance(event, ScalarEvent):
            weight = _Weight(1, len(event.value))
            if event.anchor is not None:
                self._anchored[event.anchor] = weight
            self._add(weight, line)
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            if len(self._open) == MOST_LEVELS:
                raise LimitError(f"is nested deeper than {MOST_LEVELS} levels", line)
            self._add(_Weight(1, 0), line)
            self._open.append((event.anchor, _Weight(0, 0)))
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            anchor, weight = self._open.pop()
            weight = weight.plus(_Weight(1, 0))
            if anchor is not None:
                self._anchored[anchor] = weight
            self._put(weight.plus(_Weight(-1, 0)))  # its own value was counted at its start

    def _add(self, weight: _Weight, line: int) -> None:
        self._total = self._total.plus(weight)
        if self._total.values > MOST_VALUES or self._total.characters > MOST_CHARACTERS:
            raise LimitError(
                f"holds more than {MOST_VALUES:,} values or {MOST_CHARACTERS:,} characters, aliases "
                "(`*name`) counted as the values they repeat; write out the values you need",
                line,
            )
        self._put(weight)

    def _put(self, weight: _Weight) -> None:
        if self._open:
            anchor, before = self._open[-1]
            self._open[-1] = (anchor, before.plus(weight))
