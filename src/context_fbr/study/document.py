"""params.yaml with positions: every problem names file, line, key, value and what is allowed."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.parser import RoundTripParser
from ruamel.yaml.reader import ReaderError

from context_fbr import bounded
from context_fbr.errors import UserError
from context_fbr.study.yaml_limits import Budget, LimitError

Location = tuple[str | int, ...]

PARAMS_FILE = Path("params.yaml")
LONGEST_VALUE = 200  # characters of a wrong value that are shown


class Section(BaseModel):
    """A group of parameters: frozen, every key known, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class InconsistentError(ValueError):
    """Raised by a section's validator when values do not go together; `at` is the key to change."""

    def __init__(self, at: str, text: str) -> None:
        super().__init__(text)
        self.at: Location = tuple(at.split("."))


SectionType = TypeVar("SectionType", bound=Section)


@dataclass(frozen=True)
class Document:
    """A parsed params.yaml that remembers where each value stands."""

    path: Path
    root: CommentedMap

    @classmethod
    def read(cls, path: Path = PARAMS_FILE) -> "Document":
        """Parse the file.

        Raises:
            UserError: if it is missing, is no YAML, or is no mapping; with the line where that is known.
        """
        try:
            content = bounded.read(path)
        except FileNotFoundError:
            raise UserError(f"{path}: not found; run this in the folder that holds {path.name}") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
        root = parse(content, str(path))
        if not isinstance(root, CommentedMap):
            raise UserError(f"{path}:1: is not a mapping of keys to values")
        return cls(path, root)

    def section(self, location: Location, model: type[SectionType]) -> SectionType:
        """Validate the mapping at `location`.

        Raises:
            UserError: with every problem of the section.
        """
        try:
            value = reduce(lambda node, key: node[key], location, self.root)
        except (KeyError, TypeError, IndexError):
            raise UserError(self.problem(location, "is missing")) from None
        return self.validate(value, location, model)

    def validate(self, value: Any, location: Location, model: type[SectionType]) -> SectionType:
        """Validate a value of this document; errors as in `section`."""
        try:
            return model.model_validate(plain(value))
        except ValidationError as error:
            texts: dict[Location, list[str]] = {}
            for item in error.errors():
                where, text = self._describe(location, model, item)
                texts.setdefault(where, []).append(text)
            for where in texts:  # a list whose items are wrong is not too short as well
                if any(other[: len(where)] == where and other != where for other in texts):
                    texts[where] = [text for text in texts[where] if "at least" not in text]
            raise UserError(
                *(self.problem(where, _alternatives(found)) for where, found in texts.items() if found)
            ) from None

    def problem(self, location: Location, text: str) -> str:
        """One line that says where (file:line, key) and what."""
        key = ".".join(map(str, location)) or "top level"
        return f"{self.path}:{self.line(location)}: {_one_line(_short(key))}: {_one_line(text)}"

    def line(self, location: Location) -> int:
        """Line (from 1) of the deepest part of `location` that stands in the file."""
        node, line = self.root, 0
        for key in location:
            try:
                line = node.lc.item(key)[0] if isinstance(node, CommentedSeq) else node.lc.key(key)[0]
                node = node[key]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return line + 1

    def _describe(self, base: Location, model: type[Section], item: Any) -> tuple[Location, str]:
        """Where (a place in the file, without pydantic's names for branches of a union) and what."""
        location = self._in_file((*base, *item["loc"]))
        if item["type"] == "extra_forbidden":
            return location, f"unknown key; {suggestion(str(location[-1]), _fields(model, item['loc'][:-1]))}"
        if item["type"] == "missing":
            return location, "is missing"
        if item["type"] == "value_error":  # our own words, which name the value
            error = item["ctx"]["error"]
            return (*location, *getattr(error, "at", ())), str(error)
        text = item["msg"].removeprefix("Input ")
        text = (text[0].lower() + text[1:]).replace("tuple", "list").replace("dictionary", "mapping")
        value = list(item["input"]) if isinstance(item["input"], tuple) else item["input"]
        return location, f"is {_short(repr(value))}, but {text}"

    def _in_file(self, location: Location) -> Location:
        """The part of a location up to the first value that holds no others."""
        node: Any = self.root
        for depth, key in enumerate(location):
            if not isinstance(node, CommentedMap | CommentedSeq):
                return location[:depth]
            try:
                node = node[key]
            except (KeyError, IndexError, TypeError):
                return location[: depth + 1]
        return location


class _Constructor(RoundTripConstructor):
    """Tells where a scalar stands that is not what its tag says, `!!int x`."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError) as error:
            if not isinstance(node, ScalarNode):
                raise
            kind = str(node.tag).rpartition(":")[2]
            text = f"{_short(repr(node.value))} cannot be read as {kind} ({error})"
            raise ConstructorError(None, None, text, node.start_mark) from error


class _Parser(RoundTripParser):
    """Counts what it hands on, before anything is built of it."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self.budget = Budget()

    def get_event(self) -> Any:
        event = super().get_event()
        self.budget.take(event)
        return event


def parse(content: bytes, place: str, kind: str = "rt") -> Any:
    """YAML as a tree.

    Args:
        content: of a file.
        place: what to call it.
        kind: `rt` gives ruamel's nodes, which remember their lines, and `safe` dicts and lists.

    Raises:
        UserError: if it is no text or no YAML, or larger or deeper than any file of this project, see
            `yaml_limits`.
    """
    yaml = YAML(typ=kind)
    line, text = 1, ""
    try:
        if len(content) > bounded.MOST_BYTES:
            raise LimitError(f"holds more than {bounded.MOST_BYTES:,} bytes", 1)
        if kind == "rt":
            yaml.Constructor, yaml.Parser = _Constructor, _Parser
        else:  # a parser in C, which would take brackets without end from the stack
            budget = Budget()
            for event in YAML(typ=kind).parse(content.decode()):
                budget.take(event)
        return yaml.load(content.decode())
    except LimitError as error:
        line, text = error.line, str(error)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        text = f"cannot be read: is no text in UTF-8 ({error.reason})"
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, text = mark.line + 1 if mark else 1, f"is not valid YAML: {error.problem or error.context}"
    except ReaderError as error:
        before = content.decode()[: error.position]
        line = before.count("\n") + 1
        text = f"is not valid YAML: holds the character U+{error.character:04X}"
    except RecursionError:
        text = "is not valid YAML: its brackets, lists or mappings are nested too deeply"
    except Exception as error:  # what ruamel has no words for, as a mapping that is merged into itself
        text = f"is not valid YAML: {type(error).__name__}: {error}"
    raise UserError(f"{place}:{line}: {_one_line(text)}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _one_line(text: str) -> str:
    """Text without line breaks and control characters, which would look like another problem."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _alternatives(texts: list[str]) -> str:
    """What is wrong, and with each branch of a union; the value is named once."""
    return " or ".join([texts[0], *(text.partition(", but ")[2] or text for text in texts[1:])])


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """What is allowed instead of `name`, the nearest first."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}allowed: {', '.join(names) or 'nothing'}"


def plain(value: Any) -> Any:
    """YAML nodes as plain dicts, tuples and scalars (a strict tuple field takes no list)."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(plain(item) for item in value)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _fields(model: type[BaseModel], location: Location) -> Iterable[str]:
    """The keys that the section at `location` below `model` takes."""
    annotation: Any = model
    for key in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(key)].annotation
        if get_origin(annotation) in (Union, UnionType):
            annotation = next(a for a in get_args(annotation) if a is not type(None))
    return annotation.model_fields if hasattr(annotation, "model_fields") else ()
