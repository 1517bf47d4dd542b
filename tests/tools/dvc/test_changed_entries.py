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

from context_fbr.core.errors import UserError
from context_fbr_tools.dvc import lockfile
from context_fbr_tools.dvc.patched import changed_entries

ROOT = Path(__file__).parents[3]
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
    monkeypatch.setattr(dvcfile, changed_entries.REPLACED, dvcfile.modify_yaml)
    assert changed_entries.install()
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
        monkeypatch.setattr(
            changed_entries, "_parse", lambda text: read.append(text) or _yaml.loads_yaml(text)
        )
        monkeypatch.setattr(changed_entries, "_entry", lambda name, put: written.append((name, put)) or "")
        assert stages.get("code")["cmd"].startswith("PYTHONPATH=src")
        assert stages.get("none", 7) == 7
        stages.update({"code": {"cmd": "another"}})

    assert [text.partition(":")[0] for text in read] == ["  code"]
    assert written == [("code", {"cmd": "another"})]


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

    assert run("context_fbr_tools.dvc.patched.run", tmp_path / "a") == run("dvc", tmp_path / "b")


def test_entries_are_taken_out_and_moved_with_their_text(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(ODD.replace("deps: []", "deps:   []"), encoding="utf-8")

    lockfile.remove(["on", "unknown"])
    lockfile.sort(["1", "unknown"])

    assert lockfile.stages() == ["1", "no"]
    text = Path("dvc.lock").read_text(encoding="utf-8")
    assert "deps:   []" in text
    whole = _yaml.loads_yaml(ODD)["stages"]
    assert _yaml.loads_yaml(text) == {"schema": "2.0", "stages": {name: whole[name] for name in ("1", "no")}}
    lockfile.remove(["1", "no"])
    assert Path("dvc.lock").read_text() == _yaml.dumps_yaml({"schema": "2.0", "stages": {}})
    lockfile.put({"on": whole["on"]})
    assert _yaml.loads_yaml(Path("dvc.lock").read_text())["stages"] == {"on": whole["on"]}


@pytest.mark.parametrize("text", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_lock_files_of_another_form_are_edited_too(text: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(text, encoding="utf-8")
    before = _yaml.loads_yaml(text)

    lockfile.put({"new: one": {"cmd": "x"}})
    lockfile.sort(["new: one"])
    lockfile.remove(["no"])

    kept = {name: entry for name, entry in before["stages"].items() if name != "no"}
    after = _yaml.loads_yaml(Path("dvc.lock").read_text(encoding="utf-8"))
    assert after == {**before, "stages": {**kept, "new: one": {"cmd": "x"}}}
    assert next(iter(after["stages"])) == "new: one"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_cut_lock_file_is_named_with_its_remedy(share: float, tmp_path: Path, monkeypatch: Any) -> None:
    """As plain DVC leaves it when it is killed within a quoted text."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(f'{COMMITTED[: int(len(COMMITTED) * share)]}\n  a: "', encoding="utf-8")

    with pytest.raises(UserError, match=r"^dvc\.lock:\d+: is not valid YAML: .*`git checkout dvc\.lock`"):
        lockfile.stages()


def test_a_dvc_without_the_function_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dvcfile, changed_entries.REPLACED)

    assert not changed_entries.install()
    assert not hasattr(dvcfile, changed_entries.REPLACED)


def test_other_files_keep_their_comments(fast: Any, tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text("a: 1  # why\n")

    with fast(str(path)) as data:
        data["b"] = 2

    assert path.read_text() == "a: 1  # why\nb: 2\n"
