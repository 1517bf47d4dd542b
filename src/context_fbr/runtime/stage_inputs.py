"""Inputs of a running stage, as dvc.yaml lists them: read at its start, compared with the files at its end.

DVC records parameters and dependencies after the command has run. Without this comparison, an edit during a
run would be recorded in dvc.lock and in the run-cache as if the result had been computed from it.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from context_fbr.config.cell import arm_of
from context_fbr.config.document import Document, parse, plain
from context_fbr.core.errors import UserError
from context_fbr.runtime import code_digest

PIPELINE = Path("dvc.yaml")
WARN_EVERY_S = 60.0


@dataclass(frozen=True)
class StageInputs:
    """Everything that DVC will record as the inputs of one run of a stage."""

    stage: str
    """Its module, `train`; its name in dvc.yaml but for the arm."""
    item: Mapping[str, str]
    """Values of its matrix by name, in the order of dvc.yaml, such as {"task": "spheres"}."""
    document: Document
    """params.yaml as it was when the stage started."""
    parameters: Mapping[str, Any]
    """Values by dotted name, as under `params` in dvc.yaml; without a dvc.yaml all of params.yaml."""
    definition: Mapping[str, Any] | None
    """The stage's block of dvc.yaml, names filled in; None without a dvc.yaml, where DVC records nothing."""
    files: Mapping[str, str]
    """State of each dependency: SHA-256 of a file, sizes and times of the files of a folder."""
    arm: str = ""
    """Arm of the cell, see `Cell.arm`."""

    @property
    def name(self) -> str:
        """DVC's name of the run, `train@spheres-unet-32-1`."""
        return "@".join(filter(None, (_block(self.stage, self.arm), "-".join(self.item.values()))))

    def changes(self) -> list[str]:
        """Return a problem for each parameter, module or dependency that is not what the stage read."""
        try:
            now = read(self.stage, self.item)
        except UserError as error:
            return list(error.problems)
        problems = _changed_parameters(self, now)
        if now.definition != self.definition:
            problems.append(f"{PIPELINE}: the stage {_block(self.stage, self.arm)} was changed")
        changed = [path for path, state in self.files.items() if now.files.get(path, state) != state]
        return problems + [f"{path}: was changed" for path in changed]

    def check(self) -> None:
        """Check that nothing changed.

        Raises:
            UserError: naming everything that changed, and what to do.
        """
        problems = self.changes()
        if problems:
            raise UserError(
                *problems,
                f"{self.name}: this happened while the stage ran, so its result is not kept; run the same "
                "command again (with the files as they were before, it resumes where it can)",
            )

    @property
    def code_md5(self) -> str | None:
        """MD5 of data/code/STAGE.json, as dvc.lock has it; None if the stage has no such dependency."""
        path = code_digest.digest_file(self.stage)
        if str(path) not in self.files or not path.is_file():
            return None
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def read(stage: str, item: Mapping[str, str]) -> StageInputs:
    """Read the inputs of a stage.

    Args:
        stage: its module, `train`; in dvc.yaml a cell of an arm has `train_ARM`.
        item: values of its matrix by name, in the order of dvc.yaml.

    Raises:
        UserError: if params.yaml or dvc.yaml cannot be read, or the code is not that which
            data/code/STAGE.json describes.
    """
    document = Document.read()
    arm = arm_of(document.root, item)
    definition = _definition(_block(stage, arm), item)
    if definition is None:
        return StageInputs(stage, item, document, plain(document.root), None, {}, arm)
    parameters = {key: _value(document, key) for key in definition.get("params", ())}
    files = {path: _state(Path(path)) for path in definition.get("deps", ())}
    _check_code(stage, files)
    return StageInputs(stage, item, document, parameters, definition, files, arm)


class ChangeWarnings:
    """Early warnings of a long stage, which would otherwise fail at its end only."""

    def __init__(self, inputs: StageInputs, every_s: float = WARN_EVERY_S) -> None:
        self._inputs, self._every_s = inputs, every_s
        self._next = time.monotonic() + every_s
        self._known: list[str] = []

    def look(self) -> None:
        """Warn of changes that are new since the last look, if that is long enough ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        changes = self._inputs.changes()
        if changes and changes != self._known:
            for change in changes:
                print(f"warning: {change}", file=sys.stderr, flush=True)
            text = "its result will not be kept unless this is undone before it ends"
            print(f"warning: {self._inputs.name}: {text}", file=sys.stderr, flush=True)
        self._known = changes


@contextmanager
def unchanged(stage: str, **item: str) -> Iterator[StageInputs]:
    """Run a stage with its inputs; compare them again when the block has ended.

    A stage calls `check` itself before it writes. Errors as in `read` and `StageInputs.check`.
    """
    inputs = read(stage, item)
    yield inputs
    inputs.check()


def _block(stage: str, arm: str) -> str:
    """Return the name of a stage's block in dvc.yaml."""
    return f"{stage}_{arm}" if arm else stage


def _definition(stage: str, item: Mapping[str, str]) -> dict[str, Any] | None:
    """Return command, parameters, dependencies and outputs of a stage, with its names filled in.

    Raises:
        UserError: if dvc.yaml has no such stage.
    """
    if not PIPELINE.is_file():
        return None
    tree = parse(PIPELINE.read_bytes(), str(PIPELINE), "safe")
    try:
        block = tree["stages"][stage]
        text = json.dumps({key: block[key] for key in ("cmd", "params", "deps", "outs") if key in block})
    except (KeyError, TypeError):
        raise UserError(
            f"{PIPELINE}: has no stage {stage}; restore it, for example with git, or see `context-fbr check`"
        ) from None
    names = {f"item.{key}": value for key, value in item.items()} | {"key": "-".join(item.values())}
    for name, value in names.items():
        text = text.replace(f"${{{name}}}", value)
    filled: dict[str, Any] = json.loads(text)
    return filled


def _value(document: Document, name: str) -> Any:
    """Return the parameter of a dotted name as JSON can hold it; None where params.yaml has none."""
    try:
        value = reduce(lambda node, key: node[key], name.split("."), document.root)
    except (KeyError, TypeError):
        return None
    return json.loads(json.dumps(plain(value), default=str))


def _state(path: Path) -> str:
    """Return a digest that shows a change: of a file's content, or of sizes and times of a folder's files."""
    if path.is_dir():
        files = ((file, file.stat()) for file in sorted(path.rglob("*")) if file.is_file())
        text = "".join(f"{file} {stat.st_size} {stat.st_mtime_ns}\n" for file, stat in files)
        return hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _check_code(stage: str, files: Mapping[str, str]) -> None:
    """Check that the code is that of data/code/STAGE.json, the dependency in dvc.yaml.

    Raises:
        UserError: naming the modules that differ.
    """
    described = code_digest.digest_file(stage)
    if str(described) in files and described.is_file() and (problem := code_digest.problem(stage)):
        raise UserError(f"{problem}; DVC would record a result as that of the earlier code")


def _changed_parameters(before: StageInputs, after: StageInputs) -> list[str]:
    """Return a problem for each single value that differs, with its line in params.yaml."""
    old, new = dict(_leaves(before.parameters)), dict(_leaves(after.parameters))
    return [
        after.document.problem(
            tuple(name.split(".")),
            f"was {json.dumps(old.get(name))} when {before.name} started, "
            f"and is {json.dumps(new.get(name))} now",
        )
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted name and value of each parameter; a list is one value."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, tree
