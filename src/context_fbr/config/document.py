"""params.yaml with positions: every problem names file, line, key, value and what is allowed."""

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.parser import RoundTripParser
from ruamel.yaml.reader import ReaderError

from context_fbr.config.yaml.complaints import Location, complaints, shortened
from context_fbr.config.yaml.limits import Budget, LimitError
from context_fbr.core import bounded
from context_fbr.core.errors import UserError, visible

PARAMS_FILE = Path("params.yaml")


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
    """A parsed params.yaml that knows the line of each value."""

    path: Path
    root: CommentedMap

    @classmethod
    def read(cls, path: Path = PARAMS_FILE) -> "Document":
        """Parse the file.

        Raises:
            UserError: if it is missing, or not a mapping in YAML; with the line where that is known.
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

    def field(self, location: Location, model: type[Section]) -> Any:
        """Validate a section and return one of its values.

        Args:
            location: of the value.
            model: of the section that holds it.

        Raises:
            UserError: as `section`.
        """
        return getattr(self.section(location[:-1], model), str(location[-1]))

    def validate(self, value: Any, location: Location, model: type[SectionType]) -> SectionType:
        """Validate a value of this document; errors as in `section`."""
        try:
            return model.model_validate(plain(value))
        except ValidationError as error:
            found = complaints(error, self.root, location, model)
            raise UserError(*(self.problem(place, text) for place, text in found)) from None

    def problem(self, location: Location, text: str) -> str:
        """Return a problem in one line, with its place (file:line, key)."""
        key = ".".join(map(str, location)) or "top level"
        return f"{self.path}:{self.line(location)}: {visible(shortened(key))}: {visible(text)}"

    def line(self, location: Location) -> int:
        """Return the line (from 1) of the deepest part of `location` that is in the file."""
        node, line = self.root, 0
        for key in location:
            try:
                line = node.lc.item(key)[0] if isinstance(node, CommentedSeq) else node.lc.key(key)[0]
                node = node[key]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return line + 1


class _Constructor(RoundTripConstructor):
    """Constructor that names the line of a scalar that does not fit its tag, `!!int x`."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError) as error:
            if not isinstance(node, ScalarNode):
                raise
            kind = str(node.tag).rpartition(":")[2]
            text = f"{shortened(repr(node.value))} cannot be read as {kind} ({error})"
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
    """Parse YAML to a tree.

    Args:
        content: of a file.
        place: its name in messages.
        kind: `rt` gives ruamel's nodes, which remember their lines, and `safe` dicts and lists.

    Raises:
        UserError: if it is not YAML, or larger or deeper than any file of this project, see
            `limits`.
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
    except Exception as error:  # ruamel has no error of its own for a mapping that is merged into itself
        text = f"is not valid YAML: {type(error).__name__}: {error}"
    raise UserError(f"{place}:{line}: {visible(text)}")


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
