"""Changed entries of dvc.lock alone: the bytes of DVC's own writer."""

import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dvc import dvcfile
from dvc.utils.serialize import _yaml

from context_fbr_tools.grid.start import fast_lock

ROOT = Path(__file__).parents[4]
AWKWARD: dict[str, Any] = {
    "schema": "2.0",
    "stages": {
        "no": {
            "cmd": "python -m a.train --key 'x: y' # " + "long " * 30,
            "params": {"params.yaml": {"a.b": {16: 12, 32: 3, "48": None}, "none": None, "list": [None, 1]}},
            "deps": [],
            "outs": [OrderedDict(path="a b/ä.csv", hash="md5", md5="1e10", size=0, isexec=True)],
        },
        "on": {
            "cmd": ["one", "two"],
            "params": {"p": {"x": 1e-9, "y": 0.05, "z": "0.05", "w": "null", "v": ""}},
        },
        "1": {"cmd": "line 1\nline 2\n", "params": {"p": {"a": ["", " b", "c ", "- d", "*e", "~"], "f": {}}}},
    },
}


@contextmanager
def changed_by(
    modify: Callable[[str], AbstractContextManager[dict[str, Any]]], text: str, folder: Path
) -> Iterator[Any]:
    """Give the stages of a lock file with this text to a block, through `modify_yaml` of DVC or of ours."""
    folder.mkdir()
    path = folder / "dvc.lock"
    path.write_text(text, encoding="utf-8")
    with modify(str(path)) as data:
        yield data["stages"]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AbstractContextManager[dict[str, Any]]]:
    """Return our `modify_yaml`, and DVC's afterwards put back."""
    monkeypatch.setattr(dvcfile, fast_lock.REPLACED, dvcfile.modify_yaml)
    assert fast_lock.install()
    return dvcfile.modify_yaml


COMMITTED = "".join(re.split(r"(?m)^(?=  \S)", (ROOT / "dvc.lock").read_text(encoding="utf-8"))[:31])
"""The first thirty entries."""
ODD = _yaml.dumps_yaml(AWKWARD)
OTHER_FORMS = {
    "comments": ODD.replace("stages:", "# why\nstages:"),
    "a comment at an entry's place": ODD.replace("stages:\n", "stages:\n  # why\n"),
    "another section behind": ODD + "datasets: []\n",
    "another schema": ODD.replace("2.0", "3.0"),
    "no stages": "schema: '2.0'\nstages: {}\n",
}


@pytest.mark.parametrize(
    "text", [COMMITTED, ODD, *OTHER_FORMS.values()], ids=["committed", "awkward", *OTHER_FORMS]
)
@pytest.mark.parametrize("name", ["first", "middle", "new"])
def test_the_lock_has_the_bytes_that_dvc_writes(text: str, name: str, fast: Any, tmp_path: Path) -> None:
    names = list(_yaml.loads_yaml(text)["stages"]) or ["new"]
    name = {"first": names[0], "middle": names[len(names) // 2], "new": "new: one"}[name]
    for folder, modify in (("ours", fast), ("dvc", _yaml.modify_yaml)):
        with changed_by(modify, text, tmp_path / folder) as stages:
            stages.update({name: OrderedDict(AWKWARD["stages"]["no"])})

    assert (tmp_path / "ours/dvc.lock").read_bytes() == (tmp_path / "dvc/dvc.lock").read_bytes()


def test_entries_that_do_not_change_are_neither_read_nor_written(
    fast: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, written = [], []
    with changed_by(fast, COMMITTED, tmp_path / "a") as stages:
        monkeypatch.setattr(fast_lock, "_parse", lambda text: read.append(text) or _yaml.loads_yaml(text))
        monkeypatch.setattr(fast_lock, "_dump", lambda data, _: written.append(data) or "")
        assert stages.get("code")["cmd"].startswith("PYTHONPATH=src")
        assert stages.get("none", 7) == 7
        stages.update({"code": {"cmd": "another"}})

    assert [text.partition(":")[0] for text in read] == ["  code"]
    assert written == [{"stages": {"code": {"cmd": "another"}}}]


PIPELINE = """stages:
  first: {cmd: "echo 1 > one", params: [n, none], outs: [one]}
  second: {cmd: "cat one one > two", deps: [one], outs: [two]}
"""


@pytest.mark.slow
def test_a_pipeline_leaves_the_lock_of_plain_dvc(tmp_path: Path) -> None:
    def run(name: str, folder: Path) -> str:
        folder.mkdir()
        (folder / "dvc.yaml").write_text(PIPELINE)
        for number in (1, 2):  # an entry is new, then replaced
            (folder / "params.yaml").write_text(f"n: {number}\nnone: null\n")
            for arguments in ([] if number == 2 else ["init", "--no-scm", "-q"], ["repro", "-q"]):
                if arguments:
                    subprocess.run([sys.executable, "-m", name, *arguments], cwd=folder, check=True)
        return (folder / "dvc.lock").read_text()

    assert run("context_fbr_tools.grid.start.fast_lock", tmp_path / "a") == run("dvc", tmp_path / "b")


def test_a_dvc_without_the_function_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dvcfile, fast_lock.REPLACED)

    assert not fast_lock.install()
    assert not hasattr(dvcfile, fast_lock.REPLACED)


def test_other_files_keep_their_comments(fast: Any, tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text("a: 1  # why\n")

    with fast(str(path)) as data:
        data["b"] = 2

    assert path.read_text() == "a: 1  # why\nb: 2\n"
