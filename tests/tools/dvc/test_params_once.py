"""A file of parameters that DVC parses once: what it reads is what plain DVC reads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.dependency import param
from dvc.dependency.param import read_param_file
from dvc.fs import LocalFileSystem, MemoryFileSystem

from context_fbr_tools.dvc.patched import params_once

LOCAL = LocalFileSystem()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Install the replacement in a folder of its own; return the files that DVC itself has parsed."""
    files: list[str] = []
    original = param.load_path

    def load(path: str, fs: Any, **options: Any) -> Any:
        files.append(path)
        return original(path, fs, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(param, params_once.REPLACED, load)
    params_once.install()
    return files


def test_a_file_is_parsed_once_until_it_changes(parsed: list[str]) -> None:
    Path("params.yaml").write_text("a: {b: 1}\nc: 2\n")

    assert read_param_file(LOCAL, "params.yaml", ["a.b"], flatten=True) == {"a.b": 1}
    assert read_param_file(LOCAL, "params.yaml", ["c", "d"], flatten=True) == {"c": 2}
    assert parsed == ["params.yaml"]

    Path("params.yaml").write_text("a: {b: 11}\n")
    assert read_param_file(LOCAL, "params.yaml", ["a.b"], flatten=True) == {"a.b": 11}
    assert parsed == ["params.yaml"] * 2


def test_two_readers_share_no_value(parsed: list[str]) -> None:
    Path("params.yaml").write_text("a: [1]\n")

    read_param_file(LOCAL, "params.yaml", ["a"], flatten=True)["a"].append(2)

    assert read_param_file(LOCAL, "params.yaml", ["a"], flatten=True) == {"a": [1]}


def test_missing_and_invalid_files_have_the_errors_of_dvc(parsed: list[str]) -> None:
    with pytest.raises(FileNotFoundError):
        read_param_file(LOCAL, "params.yaml", ["a"], flatten=True)
    Path("params.yaml").write_text("a: [\n")
    for _ in range(2):
        with pytest.raises(Exception, match=r"params\.yaml"):
            read_param_file(LOCAL, "params.yaml", ["a"], flatten=True)


def test_files_elsewhere_are_left_to_dvc(parsed: list[str]) -> None:
    memory = MemoryFileSystem(global_store=False)
    memory.fs.pipe_file("params.yaml", b"a: 1\n")

    for _ in range(2):
        assert read_param_file(memory, "params.yaml", ["a"], flatten=True) == {"a": 1}

    assert parsed == ["params.yaml"] * 2


def test_a_dvc_without_the_function_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(param, params_once.REPLACED)

    params_once.install()

    assert not hasattr(param, params_once.REPLACED)


PIPELINE = """stages:
  first: {cmd: "echo 1 > one", params: [n, none, list], outs: [one]}
  second: {cmd: "cat one > two", deps: [one], params: [list], outs: [two]}
  third: {cmd: "cat two > three", deps: [two], params: [other.yaml: [m]], outs: [three]}
"""


@pytest.mark.slow
def test_the_status_is_that_of_plain_dvc(tmp_path: Path) -> None:
    def dvc(name: str, *arguments: str) -> str:
        command = [sys.executable, "-m", name, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("n: 1\nnone: null\nlist: [1, {a: 2}]\n")
    (tmp_path / "other.yaml").write_text("m: 1\n")
    dvc("dvc", "init", "--no-scm", "-q")
    dvc("context_fbr_tools.dvc.patched.run", "repro", "-q")
    assert json.loads(dvc("dvc", "status", "--json")) == {}

    (tmp_path / "params.yaml").write_text("n: 1\nlist: [1, {a: 3}]\n")
    (tmp_path / "other.yaml").write_text("m: 2\n")
    (tmp_path / "two").write_text("changed\n")
    changed = json.loads(dvc("dvc", "status", "--json"))
    assert set(changed) == {"first", "second", "third"}
    assert json.loads(dvc("context_fbr_tools.dvc.patched.run", "status", "--json")) == changed
