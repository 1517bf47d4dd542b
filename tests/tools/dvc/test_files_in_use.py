"""DVC's table of files in use, after kills and with several processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from dvc import rwlock
from dvc.fs import localfs

from context_fbr_tools.dvc.patched import files_in_use

OTHER = {"pid": os.getpid(), "cmd": "another"}
Use = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Use:
    """Return DVC's own way to read and write files, with the replaced table in a folder."""
    monkeypatch.setattr(rwlock, files_in_use.REPLACED, rwlock._edit_rwlock)
    files_in_use.install()

    def files(read: list[str], write: list[str]) -> AbstractContextManager[None]:
        context: AbstractContextManager[None] = rwlock.rwlock(
            str(tmp_path), localfs, "this", read, write, hardlink=False
        )
        return context

    return files


def table(folder: Path) -> Any:
    return json.loads((folder / "rwlock").read_text())


def test_files_are_entered_and_taken_out_as_dvc_does(use: Use, tmp_path: Path) -> None:
    info = {"pid": os.getpid(), "cmd": "this"}
    kept = {"read": {"/b": [OTHER]}, "write": {"/c": OTHER}}
    (tmp_path / "rwlock").write_text(json.dumps(kept))

    with use(["/a", "/b"], ["/d"]):
        within = table(tmp_path)
        with rwlock.rwlock(str(tmp_path), localfs, "that", ["/a"], [], hardlink=False):
            pass

    assert within == {"read": {"/a": [info], "/b": [OTHER, info]}, "write": {"/c": OTHER, "/d": info}}
    assert table(tmp_path) == kept


@pytest.mark.parametrize(("read", "write"), [(["/c"], []), ([], ["/c"]), ([], ["/b"])])
def test_a_file_that_another_process_uses_is_refused(
    use: Use, tmp_path: Path, read: list[str], write: list[str]
) -> None:
    (tmp_path / "rwlock").write_text(json.dumps({"read": {"/b": [OTHER]}, "write": {"/c": OTHER}}))

    with pytest.raises(Exception, match="is busy"), use(read, write):
        pass


@pytest.mark.parametrize("damaged", [b"", b'{"read": {"/b', b"[]", b'{"read": 1}', b"\xff"])
def test_a_damaged_table_is_replaced_by_an_empty_one(use: Use, tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "rwlock").write_bytes(damaged)

    with use(["/a"], []):
        assert [*table(tmp_path)["read"]] == ["/a"]


def test_a_process_that_is_killed_while_it_writes_leaves_the_table_as_it_was(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"read": {"/b": [OTHER]}, "write": {}}
    (tmp_path / "rwlock").write_text(json.dumps(kept))

    def killed(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(SystemExit), use(["/a"], []):
        pass
    assert table(tmp_path) == kept


def test_a_dvc_with_another_table_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rwlock._edit_rwlock
    monkeypatch.delattr(rwlock, "RWLOCK_FILE")

    files_in_use.install()

    assert rwlock._edit_rwlock is before


def test_a_dvc_whose_function_takes_something_else_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(folder: str) -> None:
        """Take a folder only."""

    monkeypatch.setattr(rwlock, files_in_use.REPLACED, other)

    files_in_use.install()

    assert rwlock._edit_rwlock is other


@pytest.mark.slow
def test_after_a_kill_the_next_command_works_where_plain_dvc_fails(tmp_path: Path) -> None:
    def dvc(name: str, *arguments: str) -> int:
        command = [sys.executable, "-m", name, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode

    (tmp_path / "dvc.yaml").write_text("stages:\n  one: {cmd: echo 1 > one, outs: [one]}\n")
    assert dvc("dvc", "init", "--no-scm", "-q") == 0
    damaged = tmp_path / ".dvc/tmp/rwlock"
    damaged.parent.mkdir(exist_ok=True)
    damaged.touch()

    assert dvc("dvc", "repro", "-q") == 255
    assert dvc("context_fbr_tools.dvc.patched.run", "repro", "-q") == 0
    assert not any(json.loads(damaged.read_text()).values())
