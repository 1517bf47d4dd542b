"""Pydantic's errors in terms of a file in YAML: which value, what is wrong with it, what is expected."""

import difflib
import io
import json
import re
from collections.abc import Iterable
from functools import reduce
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

Location = tuple[str | int, ...]

LONGEST_VALUE = 200  # characters of a wrong value that are shown


def complaints(
    error: ValidationError, root: CommentedMap, base: Location, model: type[BaseModel]
) -> list[tuple[Location, str]]:
    """Return place and text of each problem; the branches of a union make one text.

    Args:
        error: of the value at `base`.
        root: of the file.
        base: where the value is.
        model: that it does not fit.
    """
    texts: dict[Location, list[str]] = {}
    unquoted: dict[Location, list[str]] = {}
    for item in error.errors():
        location = _in_file(root, (*base, *item["loc"]), is_missing=item["type"] == "missing")
        if item["type"] == "string_type" and (text := _list_without_quotes(root, location[:-1])):
            unquoted[location[:-1]] = [text]
        else:
            location, text = _describe(location, model, item)
            texts.setdefault(location, []).append(text)
    texts |= unquoted
    for location, found in texts.items():  # a list whose items are wrong fits no other branch
        if found and any(other[: len(location)] == location != other for other in texts):
            texts[location] = []
    return [(location, _alternatives(found)) for location, found in texts.items() if found]


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """Return the names that are allowed instead of `name`, the nearest first."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}allowed: {', '.join(names) or 'nothing'}"


def shortened(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _describe(location: Location, model: type[BaseModel], item: ErrorDetails) -> tuple[Location, str]:
    if item["type"] == "extra_forbidden":
        return location, f"unknown key; {suggestion(str(location[-1]), _fields(model, item['loc'][:-1]))}"
    if item["type"] == "missing":
        return location, "is missing"
    if item["type"] == "value_error":  # our own words, which name the value
        error = item["ctx"]["error"]
        return (*location, *getattr(error, "at", ())), str(error)
    text = item["msg"].removeprefix("Input ")
    text = re.sub(r" or instance of \w+| after validation(?=, not)", "", text)
    text = (text[0].lower() + text[1:]).replace("tuple", "list").replace("dictionary", "mapping")
    value = list(item["input"]) if isinstance(item["input"], tuple) else item["input"]
    return location, f"is {shortened(repr(value))}, but {text}"


def _in_file(root: CommentedMap, location: Location, is_missing: bool) -> Location:
    """The keys of a location that are in the file, and one that is missing; no branches of a union."""
    node: Any = root
    there: list[str | int] = []
    for key in location:
        if not isinstance(node, CommentedMap | CommentedSeq):
            break
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            if not (is_missing and key == location[-1]):
                continue
        there.append(key)
    return tuple(there)


def _list_without_quotes(root: CommentedMap, location: Location) -> str | None:
    """Return the problem of a list of scalars with one that is not text, as `[001, a]`; None without one."""
    node = reduce(lambda node, key: node[key], location, root)
    if not isinstance(node, CommentedSeq) or any(isinstance(value, list | dict) for value in node):
        return None
    shown = ", ".join(json.dumps(_as_written(value), ensure_ascii=False) for value in node)
    first = next(_as_written(value) for value in node if not isinstance(value, str))
    return f"{shortened(first)} is no text, but names are: put them in quotes, [{shortened(shown)}]"


def _as_written(value: Any) -> str:
    """A scalar as in the file: 001 stays 001."""
    if isinstance(value, str):
        return str(value)
    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = True
    yaml.dump([value], text)
    return text.getvalue().strip().removeprefix("[").removesuffix("]") or "null"


def _alternatives(texts: list[str]) -> str:
    """Return the problem of a value, or of it and each branch of a union; the value is named once."""
    return " or ".join(
        dict.fromkeys([texts[0], *(text.partition(", but ")[2] or text for text in texts[1:])])
    )


def _fields(model: type[BaseModel], location: Location) -> Iterable[str]:
    """The keys that the section at `location` below `model` takes."""
    annotation: Any = model
    for key in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(key)].annotation
        if get_origin(annotation) in (Union, UnionType):
            annotation = next(a for a in get_args(annotation) if a is not type(None))
    return annotation.model_fields if hasattr(annotation, "model_fields") else ()
