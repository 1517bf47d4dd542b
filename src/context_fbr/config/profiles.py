"""Profiles: overlays that rewrite params.yaml and keep its comments."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from context_fbr.config.document import Document, Location, parse, plain
from context_fbr.config.study import read_study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError

FOLDER = Path("profiles")
CRLF = "\r\n"


class _Representer(RoundTripRepresenter):
    """Writes null as a word; a class of its own, because representers are registered with the class."""


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


@dataclass(frozen=True)
class Change:
    """A value of params.yaml that an overlay replaced."""

    location: Location
    before: Any
    after: Any

    def __str__(self) -> str:
        before = "(absent)" if self.before is None else _short(self.before)
        return f"{'.'.join(map(str, self.location))}: {before} -> {_short(self.after)}"


def apply(name: str, params: Path) -> list[Change]:
    """Write the overlay profiles/NAME.yaml into `params`, comments kept; return the changes.

    Raises:
        UserError: if there is no such profile, or the result is not a valid study: `params` is not changed.
    """
    return apply_overlay(profile_path(name), params)


def profile_path(name: str) -> Path:
    """The file of a profile.

    Raises:
        UserError: naming the profiles that there are.
    """
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in names:
        raise UserError(f"{FOLDER}: no profile {name!r}; there are: {', '.join(names) or 'none'}")
    return FOLDER / f"{name}.yaml"


def apply_overlay(overlay: Path, params: Path) -> list[Change]:
    """Apply an overlay by its file; otherwise as `apply`."""
    Document.read(params)  # raises its problems
    content = params.read_bytes()
    ending = line_ending(content)
    # With LF, or ruamel drops line breaks between comments.
    document = Document(params, parse(content.replace(b"\r\n", b"\n"), str(params)))
    changes = list(_overlay(document.root, Document.read(overlay).root, ()))
    text = with_line_ending(dump(document.root), ending)
    read_study(Document(params, YAML().load(text)))  # refuses before anything is written
    if changes:
        atomic.write_text(params, text)
    return changes


def dump(root: CommentedMap) -> str:
    """YAML text with the comments and the flow style of what was read."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 4096  # never fold a line: a comment may follow it
    text = StringIO()
    yaml.dump(root, text)
    return text.getvalue()


def _overlay(base: CommentedMap, overlay: CommentedMap, location: Location) -> list[Change]:
    changes: list[Change] = []
    for key, value in overlay.items():
        here = (*location, key)
        before = base.get(key)
        # A mapping from numbers, as patches_per_volume, is one value.
        if isinstance(value, CommentedMap) and isinstance(before, CommentedMap) and _are_names([*value]):
            changes += _overlay(before, value, here)
        elif plain(before) != plain(value) or type(plain(before)) is not type(plain(value)):
            changes.append(Change(here, plain(before), plain(value)))
            if isinstance(before, CommentedSeq) and isinstance(value, CommentedSeq):
                before[:] = value  # the sequence keeps its style and its comment
            else:
                base[key] = value
    return changes


def _are_names(found: list[Any]) -> bool:
    return all(isinstance(key, str) for key in found)


def _short(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def line_ending(content: bytes) -> str:
    """Return the line ending of most lines of a text."""
    windows = content.count(b"\r\n")
    return CRLF if 2 * windows > content.count(b"\n") else "\n"


def with_line_ending(text: str, ending: str) -> str:
    """Return a text with the given line ending throughout."""
    return text.replace(CRLF, "\n").replace("\n", ending)
