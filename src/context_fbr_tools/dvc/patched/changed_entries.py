"""DVC that writes only the changed entries of dvc.lock, for a study of many cells.

At the end of each stage DVC reads and writes the whole of dvc.lock in pure Python, to keep comments that this
file does not have: 4 seconds a stage with 300 stages, in which the other workers wait. Here DVC's own reader
and writer get the stage's entry alone, and the text of all others stays. The file is replaced as a whole, so
it is complete even after a kill. A lock file of another form, or a DVC without the replaced function, is left
to DVC.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from context_fbr.core import atomic

LOCK = "dvc.lock"
REPLACED = "modify_yaml"
"""Function of dvc.dvcfile: a context manager that yields the content of a YAML file, then writes it back."""
HEAD = "schema: '2.0'\nstages:\n"
EMPTY = "schema: '2.0'\nstages: {}\n"
ENTRY = re.compile(r"^  (?=\S)", re.MULTILINE)
"""Beginning of an entry: the only lines that are indented by two blanks."""


class Entries(dict[str, Any]):
    """The stages of a lock file by name: None in place of what is neither asked for nor changed.

    Entries may be taken out and put elsewhere.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__(dict.fromkeys(texts))
        self._texts = texts

    def get(self, name: str, default: Any = None) -> Any:
        """Return an entry as it is in the file, or as it was put in."""
        if name in self and self[name] is None:
            return _parse(self._texts[name])[name]
        return super().get(name, default)

    def text(self) -> str:
        """Return the text of the file, in which only entries that were put in are written new."""
        if not self:
            return EMPTY
        written = (self._texts[name] if put is None else _entry(name, put) for name, put in self.items())
        return "".join([HEAD, *written])


def entries(text: str) -> Entries | None:
    """Return the stages of a lock file with this text; None if it has another form than DVC's."""
    head, *parts = ENTRY.split(text)
    if head != HEAD or not text.endswith("\n") or re.search(r"^\S", text[len(HEAD) :], re.MULTILINE):
        return None
    names = _parse("".join(part.partition("\n")[0] + "\n" for part in parts))
    if not isinstance(names, dict) or len(names) != len(parts) or any(names.values()):
        return None
    return Entries({name: f"  {part}" for name, part in zip(names, parts, strict=True)})


def _parse(text: str) -> Any:
    try:
        return YAML(typ="safe").load(text)  # libyaml, where ruamel.yaml.clib is installed
    except YAMLError:
        return None


def _entry(name: str, put: Any) -> str:
    return _dump({"stages": {name: put}}).partition("\n")[2]


def _dump(data: Mapping[str, Any]) -> str:
    """Return the text of a mapping as DVC writes it."""
    from dvc.utils.serialize import dumps_yaml

    text: str = dumps_yaml(data)
    return text


def install() -> bool:
    """Replace DVC's function in this process; false if this DVC does not have it."""
    from dvc import dvcfile

    original = getattr(dvcfile, REPLACED, None)
    if original is None:
        return False

    @contextmanager
    def modify(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
        file = Path(path)
        stages = entries(file.read_text(encoding="utf-8")) if file.name == LOCK and file.exists() else None
        if stages is None:
            with original(path, fs=fs) as data:
                yield data
            return
        data = {"schema": "2.0", "stages": stages}
        yield data
        others = {name: value for name, value in data.items() if name not in ("schema", "stages")}
        atomic.write_text(file, stages.text() + (_dump(others) if others else ""))

    setattr(dvcfile, REPLACED, modify)
    return True
