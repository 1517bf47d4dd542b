"""Inputs of the results that differ: parameters, code, data, packages."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from context_fbr.config.cell import AXES
from context_fbr.config.document import parse
from context_fbr.core import bounded
from context_fbr.core.errors import UserError, on_one_line
from context_fbr.runtime import code_digest
from context_fbr_tools.diff.snapshot import Snapshot, changed_files

LONGEST_NAME = 200


@dataclass(frozen=True)
class Change:
    """A named value that differs; a side that lacks it is None."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class CodeChange:
    """A file that differs and that stages depend on."""

    path: str
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """Everything that went into the results and differs."""

    parameters: tuple[Change, ...]
    """Dotted keys of params.yaml."""
    code: tuple[CodeChange, ...]
    data: tuple[Change, ...]
    """Folders under data/ that DVC versions, by the hash of what they hold."""
    packages: tuple[Change, ...]
    """Versions of constraints.txt."""

    def __bool__(self) -> bool:
        return bool(self.parameters or self.code or self.data or self.packages)


def compare_inputs(base: Snapshot, head: Snapshot) -> Inputs:
    """Find what differs; a file that one side lacks differs in everything that it holds.

    Raises:
        UserError: if a file is damaged.
    """
    return Inputs(
        _changes(_parameters(base), _parameters(head)),
        tuple(_code(base, head)),
        _changes(_data(base), _data(head)),
        _changes(_packages(base), _packages(head)),
    )


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = list(dict.fromkeys([*before, *after]))
    return tuple(
        Change(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def _parameters(snapshot: Snapshot) -> dict[str, str]:
    return dict(_leaves(_yaml(snapshot, "params.yaml"), ""))


def _leaves(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Dotted keys with their values; a list is one value."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, _shortened(f"{prefix}.{key}" if prefix else str(key)))
    elif prefix:
        yield prefix, "null" if node is None else str(node)


def _shortened(name: str) -> str:
    """A dotted key; a long one, repeated before each key below it, ends in a digest instead."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}~{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:12]}"


def _code(base: Snapshot, head: Snapshot) -> Iterator[CodeChange]:
    stages: dict[str, dict[str, None]] = {}
    for snapshot in (base, head):
        for stage, path in _read_by_stages(snapshot):
            stages.setdefault(path, {})[stage] = None
    for path in changed_files(base, head):
        if path == "dvc.yaml":
            yield CodeChange(path, ())
            continue
        folders = [str(folder) for folder in PurePosixPath(path).parents]  # of tables, for example
        if found := {stage: None for dep in (path, *folders) for stage in stages.get(dep, ())}:
            yield CodeChange(path, tuple(found))


def _read_by_stages(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield (stage, path) for each file or folder that a stage reads: of dvc.yaml, and its modules.

    The modules are those of data/code/STAGE.json. The stage that writes these files reads all of the package.
    """
    for stage, entry in _stages(snapshot, "dvc.yaml").items():
        for dep in _list(snapshot, "dvc.yaml", stage, entry, "deps"):
            path = dep if isinstance(dep, str) else str(next(iter(dep)))
            if path == f"{code_digest.FOLDER}/{stage}.json":
                yield from ((stage, module) for module in _modules(snapshot, path))
            elif stage != "code":
                yield stage, path


def _modules(snapshot: Snapshot, path: str) -> list[str]:
    """Return the modules in a file of data/code; none if the snapshot lacks it.

    Raises:
        UserError: if it is damaged.
    """
    try:
        content = bounded.parse_json(snapshot.text(path) or "{}")
    except ValueError as error:
        raise UserError(f"{snapshot.place(path)}: is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{snapshot.place(path)}: is not a mapping of modules to hashes")
    return [str(name) for name in content]


def _data(snapshot: Snapshot) -> dict[str, str]:
    found = {}
    for stage, entry in _stages(snapshot, "dvc.lock").items():
        for out in _list(snapshot, "dvc.lock", stage, entry, "outs"):
            match out:
                case {"path": str(path), "md5": str(md5), "size": int(size)}:
                    if Path(path).parts[:2] in (("data", "raw"), ("data", "prepared")):
                        found[path] = f"{md5[:7]} ({out.get('nfiles', 1)} files, {size:,} bytes)"
                case _:
                    raise UserError(
                        f"{snapshot.place('dvc.lock')}: {on_one_line(stage)}.outs: holds what is no output"
                    )
    return found


def _list(snapshot: Snapshot, file: str, stage: str, entry: dict[str, Any], key: str) -> list[Any]:
    values = entry.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str | dict) and value for value in values):
        raise UserError(f"{snapshot.place(file)}: {on_one_line(stage)}.{key}: is no list of files")
    return values


def _packages(snapshot: Snapshot) -> dict[str, str]:
    text = snapshot.text("constraints.txt") or ""
    return dict(re.findall(r"^([\w.\-\[\]]+)==(\S+)", text, flags=re.MULTILINE))


def _stages(snapshot: Snapshot, path: str) -> dict[str, dict[str, Any]]:
    stages = _yaml(snapshot, path).get("stages", {})
    if not isinstance(stages, dict) or not all(
        isinstance(name, str) and isinstance(entry, dict) for name, entry in stages.items()
    ):
        raise UserError(f"{snapshot.place(path)}: stages: is not a mapping of names to stages")
    return stages


def products(snapshot: Snapshot) -> list[dict[str, list[Any]]] | None:
    """Return the lists of `grid` and of each arm in a snapshot's params.yaml; None without a grid."""
    parameters = _yaml(snapshot, "params.yaml")
    arms = parameters.get("arms")
    found = [parameters.get("grid"), *(arms.values() if isinstance(arms, dict) else ())]
    whole = [
        isinstance(lists, dict) and all(isinstance(lists.get(axis), list) for axis in AXES.values())
        for lists in found
    ]
    return [lists for lists, is_whole in zip(found, whole, strict=True) if is_whole] if whole[0] else None


def _yaml(snapshot: Snapshot, path: str) -> dict[str, Any]:
    content = snapshot.read(path)
    if content is None:
        return {}
    tree = parse(content, snapshot.place(path), "safe")
    if not isinstance(tree, dict):
        raise UserError(f"{snapshot.place(path)}: is not a mapping of keys to values")
    return tree
