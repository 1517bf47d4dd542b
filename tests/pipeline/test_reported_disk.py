"""Reported faults of prune, dvc.lock, git, folders and profiles; the ids are those of the reports."""

import fcntl
import getpass
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML
from workspace import GIT_IDENTITY, ROOT, Workspace

from context_fbr.config import profiles
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.grid import Grid, StudyCells
from context_fbr.config.study import read_study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.runtime import entry, fetching, git, locks
from context_fbr.training import weights  # fmt: skip
from context_fbr_tools import cli
from context_fbr_tools.doctor import checkout
from context_fbr_tools.doctor.check_result import Status
from context_fbr_tools.dvc import converted_files, lockfile, process, project_copy, prune, run_cache
from context_fbr_tools.dvc.stages import CELL_STAGES
from context_fbr_tools.grid import folders, local, one_run, pool
from context_fbr_tools.grid.board import Board
from context_fbr_tools.study import predict

GRID = StudyCells(Grid(tasks=("spheres",), models=("unet",), patch_sizes=(16,), seeds=(1,)), {})
KEPT, GONE = Cell("spheres", "unet", 16, 1), Cell("spheres", "unet", 16, 2)


def shell(*command: str | Path, expect: int = 0, **environment: str) -> str:
    values = {**os.environ, **GIT_IDENTITY, **environment}
    ended = subprocess.run(list(map(str, command)), env=values, capture_output=True, text=True, check=False)
    assert ended.returncode == expect, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: str | Path, text: str = "x") -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def lock_of(outs: dict[str, list[str | Path]]) -> str:
    entries = [
        f"  {name}:\n    cmd: run\n    outs:\n" + "".join(f"    - path: {out}\n" for out in paths)
        for name, paths in outs.items()
    ]
    text = "schema: '2.0'\nstages:\n" + "".join(entries)
    Path("dvc.lock").write_text(text)
    return text


# prune


@pytest.mark.parametrize(
    ("stage", "out"),
    [
        pytest.param("train@zz-y-1-1", ".git", id="A3 .git"),
        pytest.param("train@zz-y-1-1", "data", id="A3 data"),
        pytest.param("evaluate@zz-y-1-1", "src", id="A3 src"),
        pytest.param("train@zz-y-1-1", "models/spheres-unet-16-1", id="A3 a cell of the grid"),
        pytest.param("raw@liver", "data/raw/mine", id="A3 another task's data"),
        pytest.param("train@spheres-unet-016-1", "models/spheres-unet-016-1", id="A3 a number with a zero"),
        pytest.param("train@spheres-unet-١٦-1", "models/spheres-unet-16-1", id="A3 digits of another script"),
        pytest.param("train@zz", "models/zz", id="A3 no key"),
        pytest.param("raw@..", "data/raw/x", id="A3 a task named .."),
    ],
)
def test_prune_refuses_by_name_what_no_stage_of_that_name_writes(here: Path, stage: str, out: str) -> None:
    kept = [
        write(f"{folder}/file") for folder in (".git", "data", "src", "data/raw/mine", KEPT.weights.parent)
    ]
    gone = write(GONE.history)
    text = lock_of({stage: [out], f"train@{GONE.key}": [GONE.history]})
    with pytest.raises(UserError) as caught:
        prune.prune(GRID)
    assert any(stage in problem for problem in caught.value.problems)
    assert all(path.exists() for path in (*kept, gone))
    assert Path("dvc.lock").read_text() == text


def test_prune_follows_no_link_out_of_the_folder(here: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "disk" / "raw" / "liver" / "image")
    Path("data").symlink_to(tmp_path / "disk")
    lock_of({"raw@liver": ["data/raw/liver"]})
    with pytest.raises(UserError, match="data/raw/liver"):
        prune.prune(GRID)
    assert outside.exists()
    Path("data").unlink()
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/liver").symlink_to(outside.parent)
    assert set(prune.prune(GRID)) == {"data/raw/liver", "dvc.lock: raw@liver"}
    assert (outside.exists(), os.path.lexists("data/raw/liver")) == (True, False)


def test_prune_follows_no_link_among_unfinished_work(here: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "disk" / f"train-{'a' * 16}.0" / "newest")
    Path(".dvc/tmp/resume").mkdir(parents=True)
    Path(".dvc/tmp/resume", GONE.key).symlink_to(tmp_path / "disk")
    with pytest.raises(UserError, match=GONE.key):
        prune.prune(GRID)
    assert outside.exists()


@pytest.mark.parametrize(
    "path", [GONE.scores, GONE.weights.parent, GONE.predictions], ids=lambda p: f"D7 {p}"
)
def test_prune_removes_a_link_that_leads_nowhere(here: Path, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to("/nowhere")
    assert prune.prune(GRID) == [str(path)]
    assert not path.is_symlink()


def test_a_folder_whose_name_only_begins_with_a_key_stays(here: Path) -> None:
    mine = [write(f"models/{GONE.key}-mine/a"), write(f"metrics/test/{GONE.task}/{GONE.key}-old.csv")]
    assert prune.prune(GRID) == []
    assert all(path.exists() for path in mine)


def test_what_cannot_be_removed_is_one_error_and_the_rest_is_removed_and_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], params: Path
) -> None:
    """D6: as if a file were immutable."""
    params.rename("params.yaml")
    cell, other = Cell("zz", "unet", 16, 1), Cell("zz", "unet", 16, 2)
    for path in (cell.history, other.history, cell.weights, other.weights):
        write(path)
    lock_of({f"train@{each.key}": [each.weights.parent, each.history] for each in (cell, other)})
    unlink = os.unlink

    def refuse(path: Any, *more: Any, **options: Any) -> None:
        if str(path).endswith(cell.history.name):
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, *more, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(UserError) as caught:
        cli.run(["prune"])
    assert len(caught.value.problems) == 1
    assert str(cell.history) in caught.value.problems[0]
    removed = {
        line.removeprefix("removed ") for line in capsys.readouterr().out.splitlines() if "removed " in line
    }
    assert removed == {
        str(cell.weights.parent), str(other.weights.parent), str(other.history), f"dvc.lock: train@{other.key}",
    }  # fmt: skip
    assert lockfile.stages() == [f"train@{cell.key}"]
    monkeypatch.undo()
    monkeypatch.chdir(here)
    prune.prune(GRID)
    assert (lockfile.stages(), cell.history.exists()) == ([], False)


def test_prune_says_what_it_will_remove_by_kind_and_a_dry_run_removes_nothing(
    here: Path, params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """U6."""
    params.rename("params.yaml")
    cell = Cell("zz", "unet", 16, 1)
    for path in (cell.scores, cell.provenance("train")):
        write(path)
    text = lock_of({f"evaluate@{cell.key}": [cell.scores]})
    shell("git", "init", "-q")
    shell("git", "add", "metrics/provenance")
    cli.run(["prune", "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    kinds = [line for line in lines if not line.startswith("  ")]
    assert kinds == ["dvc.lock: 1 entries", "metrics/test/zz: 1", f"{prune.TRACKED}: 1", "3 to remove"]
    assert lines[lines.index(f"{prune.TRACKED}: 1") + 1] == f"  {cell.provenance('train')}"
    assert (cell.scores.exists(), cell.provenance("train").exists()) == (True, True)
    assert Path("dvc.lock").read_text() == text
    cli.run(["prune"])
    assert capsys.readouterr().out.splitlines()[: len(lines) - 1] == lines[:-1]
    assert not cell.scores.exists()


# dvc.lock


@pytest.mark.parametrize("path", ["../x", "models/../../x", "/x", "."])
def test_a_lock_that_names_a_file_outside_of_the_folder_is_refused(here: Path, path: str) -> None:
    lock_of({"train@a-b-1-1": [path]})
    with pytest.raises(UserError, match=r"dvc\.lock:3: train@a-b-1-1"):
        lockfile.entries()


@contextmanager
def dvc_at_work(seconds: float) -> Iterator[None]:
    """Hold DVC's own lock as DVC does, with half of dvc.lock on disk; then write the whole, with one stage more."""
    from dvc.lock import make_lock

    whole = lock_of({"a": ["x"], "b": ["y"], "c": ["z"]})
    Path(".dvc/tmp").mkdir(parents=True, exist_ok=True)
    begun = threading.Event()

    def work() -> None:
        with make_lock(str(Path(".dvc/tmp/lock").absolute())):
            Path("dvc.lock").write_text(whole.partition("  c:")[0])  # a whole file of two stages
            begun.set()
            time.sleep(seconds)
            Path("dvc.lock").write_text(whole)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        pytest.param(lambda: lockfile.remove(["a"]), ["b", "c"], id="A12 remove"),
        pytest.param(lambda: lockfile.sort(["c", "b"]), ["c", "b", "a"], id="A12 sort"),
        pytest.param(lambda: lockfile.put({"d": {"cmd": "run"}}), ["a", "b", "c", "d"], id="A12 put"),
        pytest.param(lambda: lockfile.stages(), ["a", "b", "c"], id="A12 read"),
    ],
)
def test_what_dvc_writes_at_the_same_time_is_kept(
    here: Path, edit: Callable[[], object], left: list[str]
) -> None:
    with dvc_at_work(0.3):
        found = edit()
    assert found in (None, left)
    assert lockfile.stages() == left


def test_a_reader_of_dvc_lock_gives_up_while_dvc_holds_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.06)
    monkeypatch.setattr(lockfile, "READ_WAIT_S", 0.0)
    with dvc_at_work(0.5), pytest.raises(UserError, match="another DVC process"):
        lockfile.stages()


def test_where_dvc_s_folder_cannot_be_written_dvc_lock_is_read_nevertheless(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_of({"a": ["x"]})
    Path(".dvc").mkdir()
    Path(".dvc/tmp").write_text("no folder")
    assert lockfile.stages() == ["a"]
    Path(".dvc/tmp").unlink()
    monkeypatch.setattr(lockfile.os, "access", lambda *_: False)
    assert lockfile.stages() == ["a"]


# grid run


def test_a_second_run_is_refused_at_once_with_process_and_host(here: Path, params: Path) -> None:
    """A13."""
    params.rename("params.yaml")
    with locks.hold(one_run.LOCK), pytest.raises(UserError) as caught:
        cli.run(["grid", "run"])
    assert f"process {os.getpid()} on {socket.gethostname()}" in str(caught.value)


PIPELINE = """stages:
  raw: {cmd: run, outs: ['data/raw/${item.task}']}
  train: {cmd: run, outs: [{'models/${key}': {cache: true}}], metrics: [{metrics/cells.csv: {cache: false}}]}
"""


@pytest.mark.parametrize("link", ["data", "data/raw", "models", "metrics"], ids=lambda name: f"D1 {name}")
def test_a_link_among_the_folders_of_results_is_refused_before_any_work_and_by_doctor(
    here: Path, tmp_path: Path, params: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    params.rename("params.yaml")
    write("dvc.yaml", PIPELINE)
    monkeypatch.setattr(process, "repro", lambda *_: pytest.fail("work was done"))
    (tmp_path / "disk").mkdir()
    Path(link).parent.mkdir(exist_ok=True)
    Path(link).symlink_to(tmp_path / "disk")
    with pytest.raises(UserError) as caught:
        local.run(read_study(Document.read()), 1)
    assert str(caught.value).startswith(f"{link} -> {tmp_path / 'disk'}: ")
    assert "cache.type symlink" in str(caught.value)
    assert [r.status for r in checkout._folders()] == [Status.ERROR]
    Path(link).unlink()
    Path("inside").mkdir()
    Path(link).symlink_to(Path("inside").absolute())
    assert folders.linked_folders() == []


def test_an_interrupt_says_at_once_that_finished_work_is_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U7."""
    stopped, printed = threading.Event(), []

    class Stubborn(pool.Processes):
        def stop(self) -> None:
            printed.append(capsys.readouterr().out)
            self.stopped = True
            stopped.set()

    def cell(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        stopped.wait()

    monkeypatch.setattr(pool, "Processes", Stubborn)
    monkeypatch.setattr(pool, "_run_cell", cell)
    with pytest.raises(KeyboardInterrupt):
        pool.run_cells([KEPT], 1, {})
    assert printed == [f"{process.STOPPING}\n"]


def test_an_interrupted_dvc_is_waited_for(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """U7, while DVC has the terminal: one that is killed leaves half of dvc.lock."""
    code = "import signal, time, pathlib\nsignal.signal(2, lambda *_: None)\nprint('up', flush=True)\n"
    code += "pathlib.Path('up').touch()\ntime.sleep(1.5)\npathlib.Path('whole').touch()"
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", code))

    def interrupt() -> None:
        while not Path("up").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        process.repro("-k")
    thread.join()
    assert Path("whole").exists()
    assert process.STOPPING in capfd.readouterr().out


def test_a_line_next_to_the_table_is_printed_on_a_terminal_as_well() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=90, height=20)
    with Board(["a"], console) as board:
        board.print(process.STOPPING)
    assert process.STOPPING in console.file.getvalue()  # type: ignore[attr-defined]


def test_dvc_lock_has_the_order_of_dvc_yaml_after_a_run(
    here: Path, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params.rename("params.yaml")
    write("dvc.yaml", PIPELINE)
    lock_of({"c": ["x"], "a": ["y"], "b": ["z"]})
    monkeypatch.setattr(process, "repro", lambda *_: True)
    monkeypatch.setattr(process, "changed_stages", set)
    monkeypatch.setattr(process, "stage_names", lambda: ["a", "b", "c"])
    local.run(read_study(Document.read()), 1)
    assert lockfile.stages() == ["a", "b", "c"]


def test_a_cell_whose_weights_the_cache_has_lost_is_not_done_though_its_evaluation_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages = {
        f"{name}@{KEPT.key}": SimpleNamespace(cmd="run", outs=[], addressing=name, wdir=".")
        for name in CELL_STAGES
    }
    cache = SimpleNamespace(_create_stage=lambda entry, **_: SimpleNamespace(outs=[], name=entry))
    repo = SimpleNamespace(stage_cache=cache)
    monkeypatch.setattr(run_cache, "_fill", lambda *_: {})
    monkeypatch.setattr(run_cache, "_newest_entry", lambda _, stage: stage.addressing)
    monkeypatch.setattr(run_cache, "_is_whole", lambda _, made: made.name == "evaluate")
    lost = run_cache._look_at(run_cache._Checkout(repo, stages, {}, None, {}), KEPT)
    assert (lost.done, dict(lost.entries)) == (False, {})
    monkeypatch.setattr(run_cache, "_is_whole", lambda *_: True)
    assert run_cache._look_at(run_cache._Checkout(repo, stages, {}, None, {}), KEPT).done


# git

COPY = "from context_fbr_tools.dvc.project_copy import copy_project; from pathlib import Path; copy_project(Path('{}'))"


@pytest.mark.parametrize(
    "worktree", [pytest.param(True, id="G1 linked worktree"), pytest.param(False, id="G4 commit -a")]
)
def test_a_copy_in_a_hook_leaves_the_repository_of_the_hook_alone(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worktree: bool
) -> None:
    write("a.txt", "one\n")
    for words in ("init -q -b main", "add a.txt", "commit -qm one"):
        shell("git", *words.split())
    code = COPY.format(tmp_path / "copy")
    hook = write(".git/hooks/pre-commit", f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    hook.chmod(0o755)
    if worktree:
        shell("git", "worktree", "add", "-q", tmp_path / "wt", "-b", "wt")
        monkeypatch.chdir(tmp_path / "wt")
    write("a.txt", "two\n")
    shell("git", "commit", "-qam", "mine", PYTHONPATH=str(ROOT / "src"))
    assert shell("git", "log", "--format=%s").split() == ["mine", "one"]
    assert shell("git", "config", "core.bare").strip() == "false"
    copy = tmp_path / "copy"
    assert shell("git", "-C", copy, "log", "--format=%s").split() == ["Copy"]
    assert shell("git", "-C", copy, "status", "--porcelain") == ""
    assert (copy / "a.txt").read_text() == "two\n"


def test_a_copy_with_the_variables_of_git_set_is_whole(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G3."""
    write("a.txt")
    shell("git", "init", "-q")
    head = Path(".git/HEAD").read_bytes()
    monkeypatch.setenv("GIT_DIR", str(here / ".git"))
    project_copy.copy_project(tmp_path / "copy")
    monkeypatch.delenv("GIT_DIR")
    assert shell("git", "-C", tmp_path / "copy", "ls-files").split() == ["a.txt"]
    assert (Path(".git/HEAD").read_bytes(), shell("git", "for-each-ref")) == (head, "")


def test_a_git_of_another_repository_has_no_variable_of_a_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G2; `git rev-parse --local-env-vars` is git's own list, of which `git -c` has to continue."""
    names = {*shell("git", "rev-parse", "--local-env-vars").split()}
    names -= {"GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"}
    assert names <= git.OF_ONE_REPOSITORY
    for name in names:
        monkeypatch.setenv(name, "/nowhere")
    assert not names & set(git.environment())
    assert not names & set(Workspace(tmp_path).environment())
    assert git.run("init", "-q", folder=tmp_path).returncode == 0
    assert git.run("status").returncode != 0  # here they hold


@pytest.fixture
def foreign(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of another user, as git sees it."""
    write("params.yaml")
    for words in ("init -q", "add -A", "commit -qm one"):
        shell("git", *words.split())
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    return here


def test_a_checkout_that_git_does_not_trust_is_a_warning_with_the_remedy(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """G6."""
    assert git.revision() is None
    assert git.changed_files(["."]) == ()
    warning = capsys.readouterr().err
    assert warning.count("warning: ") == 1
    assert "dubious ownership" in warning
    assert f"`git config --global --add safe.directory {foreign}`" in warning
    result = checkout.git_result(None, ())
    assert (result.status, "dubious ownership" in result.found) == (Status.WARNING, True)
    assert f"git config --global --add safe.directory {foreign}" in result.fix


def test_no_git_and_no_repository_are_no_warning(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (git.revision(), git.changed_files(["."])) == (None, ())
    monkeypatch.setenv("PATH", "/nowhere")
    assert (git.revision(), git.changed_files(["."])) == (None, ())
    assert capsys.readouterr().err == ""


def test_a_damaged_index_is_a_warning(foreign: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    Path(".git/index").write_bytes(b"no index of git's" * 9)
    assert git.revision() is not None
    assert git.changed_files(["."]) == ()
    assert "warning: git: " in capsys.readouterr().err


def test_line_endings_that_git_has_changed_are_named(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G13."""
    for name in ("src/a.py", "params.yaml", "run.sh"):
        write(name, "a\nb\n")
    for words in ("init -q", "add -A", "commit -qm one"):
        shell("git", *words.split())
    assert converted_files.problem() is None
    shell("git", "-c", "core.autocrlf=true", "clone", "-q", here, tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    assert converted_files.changed_files() == ["run.sh", "src/a.py"]  # of params.yaml the values count
    assert [result.status for result in checkout._endings()] == [Status.ERROR]


def test_a_clone_of_the_project_has_lf_whatever_the_user_s_settings(here: Path, tmp_path: Path) -> None:
    """G13."""
    for name in (
        ".gitattributes",
        ".github/scripts/compare.sh",
        "params.yaml",
        "plots/spheres/learning_curves.png",
    ):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
    for words in ("init -q", "add -A", "commit -qm one"):
        shell("git", *words.split())
    shell("git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "clone", "-q", here, tmp_path / "clone")
    for path in here.rglob("*.*"):
        if path.is_file() and ".git/" not in str(path):
            assert (tmp_path / "clone" / path.relative_to(here)).read_bytes() == path.read_bytes(), path


def test_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """E6: a container's uid."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in entry.USER_VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    with pytest.raises(SystemExit) as ended:
        entry.run_command(lambda _: int(getpass.getuser() != f"uid{os.getuid()}"), [])
    assert ended.value.code == 0
    (result,) = checkout._user()
    assert (result.status, "export USER=" in result.fix) == (Status.WARNING, True)


# Folders and files


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["A14 full", "A14 stopped"]
)
def test_a_copy_is_whole_or_absent(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    for name in "abc":
        write(name)
    shell("git", "init", "-q")
    copy2 = project_copy.shutil.copy2

    def fail(source: Path, target: Path) -> None:
        if source.name == "b":
            raise fault
        copy2(source, target)

    monkeypatch.setattr(project_copy.shutil, "copy2", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else UserError):
        project_copy.copy_project(tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    monkeypatch.setattr(project_copy.shutil, "copy2", copy2)
    project_copy.copy_project(tmp_path / "copy")
    assert shell("git", "-C", tmp_path / "copy", "ls-files").split() == ["a", "b", "c"]


def test_a_copy_that_is_killed_does_not_look_whole_and_the_next_one_is(here: Path, tmp_path: Path) -> None:
    """A14."""
    write("a")
    shell("git", "init", "-q")
    code = "import os, shutil\nshutil.copy2 = lambda *_: os.kill(os.getpid(), 9)\n" + COPY.format(
        tmp_path / "copy"
    )
    shell(sys.executable, "-c", code, expect=-9, PYTHONPATH=str(ROOT / "src"))
    assert not (tmp_path / "copy").exists()
    project_copy.copy_project(tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "here"]


@pytest.mark.parametrize("target", ["/proc/copy", "file/copy"], ids=["A14 /proc", "A14 below a file"])
def test_a_copy_to_where_none_can_be_is_one_error(here: Path, target: str) -> None:
    write("file")
    shell("git", "init", "-q")
    with pytest.raises(UserError, match=r"could not be written"):
        project_copy.copy_project(Path(target))


def test_masks_that_cannot_be_written_are_refused_before_the_first_image(
    here: Path, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5."""
    params.rename("params.yaml")
    monkeypatch.setattr(predict, "read_training", lambda _: SimpleNamespace(recipe=None))
    monkeypatch.setattr(predict, "load_network", lambda *_: pytest.fail("an image would be segmented"))
    with pytest.raises(UserError, match=r"^/proc/masks: cannot be written"):
        list(predict.predict(KEPT, [write("a.nii.gz")], Path("/proc/masks"), overwrite=False))


def test_what_is_behind_a_link_is_written_and_the_link_stays(here: Path) -> None:
    """D8."""
    target, link = write("elsewhere/file", "old"), Path("link")
    link.symlink_to(target.absolute())
    atomic.write_text(link, "new")
    assert (link.is_symlink(), target.read_text()) == (True, "new")
    Path("out").symlink_to("elsewhere")
    with atomic.directory(Path("out")) as folder:
        write(folder / "table")
    assert (Path("out").is_symlink(), [path.name for path in Path("elsewhere").iterdir()]) == (
        True,
        ["table"],
    )
    assert sorted(path.name for path in here.iterdir()) == ["elsewhere", "link", "out"]


def test_a_link_into_dvc_s_cache_is_replaced_and_the_object_stays(here: Path) -> None:
    stored = write(f".dvc/cache/files/md5/ab/{'c' * 30}", "cached")
    stored.chmod(0o444)
    Path("scores.csv").symlink_to(stored.absolute())
    atomic.write_text(Path("scores.csv"), "new")
    assert (Path("scores.csv").is_symlink(), stored.read_text()) == (False, "cached")
    hard = Path("hard.csv")
    hard.hardlink_to(stored)
    atomic.write_text(hard, "new")
    assert (stored.read_text(), os.access(hard, os.W_OK), hard.stat().st_mode & 0o200) == (
        "cached",
        True,
        0o200,
    )


@pytest.mark.parametrize("mode", [0o664, 0o600, 0o755], ids=lambda mode: f"D9 {mode:o}")
def test_the_mode_of_what_is_replaced_is_kept_whatever_the_umask(here: Path, mode: int) -> None:
    path = write("file")
    path.chmod(mode)
    before = os.umask(0o077)
    try:
        atomic.write_text(path, "new")
        atomic.write_text(Path("new"), "new")
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, Path("new").stat().st_mode & 0o777) == (mode, 0o600)


def test_a_pipe_or_a_device_is_written_to_and_not_replaced(here: Path) -> None:
    reading, writing = os.pipe()
    atomic.write_text(Path(f"/dev/fd/{writing}"), "through")
    os.close(writing)
    assert os.read(reading, 100) == b"through"
    os.close(reading)
    Path("null").symlink_to("/dev/null")
    atomic.write_text(Path("null"), "text")
    assert (Path("null").is_symlink(), Path("/dev/null").is_char_device()) == (True, True)


def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        atomic.os, "fsync", lambda file: synced.append((os.fstat(file).st_size, Path("file").exists()))
    )
    atomic.write_text(Path("file"), "content")
    assert synced == [(7, False)]


def test_a_lock_file_that_its_owner_removes_while_it_is_taken_is_made_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = Path("a.lock"), fcntl.flock
    calls: list[int] = []

    def once_removed(file: int, how: int) -> None:
        calls.append(file)
        if len(calls) == 1:
            path.unlink()
            path.touch()  # the next owner's
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", once_removed)
    with locks.hold(path):
        assert len(calls) == 2
        assert path.read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize(
    ("arguments"),
    [
        ["check-lock"], ["check"], ["profile", "smoke"], ["prune"], ["verify", "spheres"], ["grid", "run"],
        ["grid", "status"], ["copy", "x"], ["predict", "spheres-unet-16-1", "a.nii", "--out", "b"],
    ],
    ids=lambda words: f"D11 {words[0]}",
)  # fmt: skip
def test_a_command_in_a_subfolder_names_the_folder_in_which_to_run_it(
    here: Path, params: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    params.rename("params.yaml")
    Path("sub/folder").mkdir(parents=True)
    monkeypatch.chdir("sub/folder")
    with pytest.raises(UserError) as caught:
        cli.run(arguments)
    assert caught.value.problems == (
        f"{here}/sub/folder: params.yaml: not found; run this in the folder that holds params.yaml, which is {here}",
    )


# params.yaml


@pytest.mark.parametrize("ending", ["\r\n", "\n"], ids=["Y4 CRLF", "Y4 LF"])
def test_a_profile_keeps_the_line_endings_of_params_yaml(
    params: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(ROOT)
    profiles.apply("desk", params)
    before = params.read_bytes().replace(b"\n", ending.encode())
    params.write_bytes(before)
    profiles.apply("smoke", params)
    written = params.read_bytes()
    assert written != before
    assert written.count(b"\n") == written.count(ending.encode()) > 50
    assert written.count(b"\r") == written.count(b"\r\n")
    profiles.apply("desk", params)
    assert params.read_bytes() == before


def test_a_profile_behind_a_link_is_written_where_the_link_leads(
    params: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D8."""
    monkeypatch.chdir(ROOT)
    real = params.rename(tmp_path / "real.yaml")
    params.symlink_to(real)
    profiles.apply("smoke", params)
    assert params.is_symlink()
    assert real.read_text() == params.read_text() != (ROOT / "tests/support/study.yaml").read_text()


@pytest.mark.parametrize(("before", "after", "count"), [("1", "1.0", 1), ("1", "true", 1), ("1", "1", 0)])
def test_an_overlay_that_changes_the_type_of_a_value_changes_it(before: str, after: str, count: int) -> None:
    base, overlay = (YAML().load(f"a: {value}") for value in (before, after))
    assert len(list(profiles._overlay(base, overlay, ()))) == count
    assert type(base["a"]) is type(YAML(typ="safe").load(after)) or float(base["a"]) == 1.0


# A remote


@pytest.mark.parametrize(
    ("config", "pulled"),
    [
        pytest.param("", False, id="U12 none"),
        pytest.param("['remote \"a\"']\n    url = s3://bucket\n", False, id="U12 no default"),
        pytest.param(
            "[core]\n    remote = a\n['remote \"a\"']\n    url = ../shelf\n", False, id="U12 no folder"
        ),
        pytest.param("[core]\n    remote = a\n['remote \"a\"']\n    url = ..\n", True, id="U12 a folder"),
        pytest.param(
            "[core]\n    remote = a\n['remote \"a\"']\n    url = s3://bucket\n", True, id="U12 a server"
        ),
    ],
)
def test_dvc_pull_is_advised_only_where_there_is_a_remote(
    here: Path, params: Path, monkeypatch: pytest.MonkeyPatch, config: str, pulled: bool
) -> None:
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(here / "none"))
    write(".dvc/config", config)
    remedy = fetching.remedy(f"train@{KEPT.key}")
    assert (f"dvc pull train@{KEPT.key}" in remedy) is pulled
    assert f"dvc repro train@{KEPT.key}" in remedy
    with pytest.raises(UserError) as caught:
        weights.read_training(KEPT)
    assert remedy in str(caught.value)


# .github/scripts/run-profile.sh

RECORDER = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
"remote modify"*) printf 'url = %s\n' "$6" >> .dvc/config.local; stat -c 'mode %a' .dvc/config.local >> "$CALLS" ;;
"exp run"*) [ -z "${FAILS:-}" ] || exit 1 ;;
"exp branch"*) echo x > result && git add result && git commit -qm results
    git branch "$4" && git reset -q --hard HEAD~1 ;;
esac
"""


@dataclass(frozen=True)
class Runner:
    """A clone with an origin, and recorders in the place of DVC and of `context-fbr`."""

    folder: Path

    def run(self, profile: str, branch: str, **environment: str) -> subprocess.CompletedProcess[str]:
        tools = self.folder.parent / "tools"
        values = {
            **os.environ, **GIT_IDENTITY, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(self.folder.parent / "calls"), **environment,
        }  # fmt: skip
        script = ROOT / ".github/scripts/run-profile.sh"
        return subprocess.run(
            [script, profile, branch],
            cwd=self.folder,
            env=values,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        path = self.folder.parent / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def runner(here: Path, tmp_path: Path) -> Runner:
    for name in ("dvc", "context-fbr"):
        write(tmp_path / "tools" / name, RECORDER).chmod(0o755)
    write("profiles/smoke.yaml")
    write(".gitignore", "config.local\n")
    write(".dvc/config")
    for words in ("init -q -b main", "add -A", "commit -qm one", "branch taken/part", "tag late"):
        shell("git", *words.split())
    shell("git", "clone", "-q", "--bare", ".", tmp_path / "bare.git")
    shell("git", "remote", "add", "origin", tmp_path / "bare.git")
    shell("git", "branch", "-D", "taken/part")
    shell("git", "branch", "only/here")
    return Runner(here)


@pytest.mark.parametrize(
    ("profile", "branch"),
    [
        pytest.param("smoke", "@", id="A15 @"),
        pytest.param("smoke", "HEAD", id="A15 HEAD"),
        pytest.param("smoke", "-f", id="A15 an option"),
        pytest.param("smoke", "a..b", id="A15 no name"),
        pytest.param("smoke", "main", id="A15 a branch that is there"),
        pytest.param("smoke", "only/here", id="A15 a branch that is here alone"),
        pytest.param("smoke", "taken", id="A15 a branch below it"),
        pytest.param("smoke", "main/x", id="A15 a branch above it"),
        pytest.param("-h", "new", id="A15 profile -h"),
        pytest.param("../profiles/smoke", "new", id="A15 a path"),
        pytest.param("nothing", "new", id="A15 no profile"),
    ],
)
def test_a_run_whose_results_could_not_be_pushed_is_refused_before_it_begins(
    runner: Runner, profile: str, branch: str
) -> None:
    ended = runner.run(profile, branch, DVC_REMOTE_URL="s3://user:secret@bucket")
    assert (ended.returncode, runner.calls) == (1, [])
    assert f"error: {branch if profile == 'smoke' else profile}: " in ended.stderr


@pytest.mark.parametrize(
    "before", [None, "[core]\n    jobs = 2\n"], ids=["A15 no settings", "A15 own settings"]
)
@pytest.mark.parametrize("fails", ["", "1"], ids=["succeeds", "fails"])
def test_the_remote_of_a_run_is_that_run_s_and_readable_by_its_user_alone(
    runner: Runner, before: str | None, fails: str
) -> None:
    config = runner.folder / ".dvc/config.local"
    if before:
        write(config, before).chmod(0o644)
    ended = runner.run("smoke", "new", DVC_REMOTE_URL="s3://user:secret@bucket", FAILS=fails)
    assert ended.returncode == int(bool(fails)), ended.stderr
    assert "mode 600" in runner.calls
    assert (config.read_text() if config.exists() else None) == before


def test_a_branch_that_is_also_a_tag_is_pushed(runner: Runner, tmp_path: Path) -> None:
    """A15."""
    ended = runner.run("smoke", "late")
    assert ended.returncode == 0, ended.stderr
    assert "ambiguous" not in ended.stderr
    pushed = shell("git", "-C", tmp_path / "bare.git", "for-each-ref", "--format=%(refname)").split()
    assert "refs/heads/late" in pushed
