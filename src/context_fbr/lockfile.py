"""dvc.lock, edited in DVC's own formatting: entries taken out, entries put in order."""

from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from context_fbr import atomic
from context_fbr.errors import UserError

LOCK = Path("dvc.lock")


def stages() -> list[str]:
    """Names of the stages in dvc.lock, in its order; none if there is no file.

    Raises:
        UserError: if it is no lock file.
    """
    return list(entries())


def entries() -> dict[str, dict[str, Any]]:
    """What is recorded of each stage, by its name: cmd, deps, params, outs; errors as in `stages`."""
    return _read()["stages"] if LOCK.exists() else {}


def outputs(names: Iterable[str]) -> list[Path]:
    """What the stages of these names wrote, as recorded; errors as in `stages`."""
    recorded = entries()
    return [Path(out["path"]) for name in names for out in recorded[name].get("outs", ())]


def remove(names: Iterable[str]) -> None:
    """Take entries out; errors as in `stages`."""
    lock = _read()
    for name in names:
        del lock["stages"][name]
    _write(lock)


def sort(order: Iterable[str]) -> None:
    """Put the entries in the given order, unknown ones last; errors as in `stages`."""
    lock = _read()
    recorded = lock["stages"]
    known = [name for name in order if name in recorded]
    for name in [*known, *(name for name in list(recorded) if name not in set(known))]:
        recorded.move_to_end(name)
    _write(lock)


def _read() -> CommentedMap:
    try:
        lock = YAML().load(LOCK.read_text(encoding="utf-8"))
        if isinstance(lock["stages"], CommentedMap):
            return lock
    except (OSError, YAMLError, KeyError, TypeError):
        pass
    raise UserError(f"{LOCK}: is no lock file; bring it back with `git checkout {LOCK}`")


def _write(lock: CommentedMap) -> None:
    text = StringIO()
    YAML().dump(lock, text)
    if text.getvalue() != LOCK.read_text(encoding="utf-8"):
        atomic.write_text(LOCK, text.getvalue())
