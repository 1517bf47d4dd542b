"""DVC and the stages as forks of a process with imported libraries: the results and faults of new processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from context_fbr_tools.dvc import process as dvc
from context_fbr_tools.grid.start import preloaded, processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the server"),
]
PLAIN = (sys.executable, "-m", "dvc")
STAGE = """
import atexit, os, sys, threading, time
from context_fbr import word
atexit.register(print, "atexit")
print(__name__, sys.argv[1:], word.WORD, os.environ["DVC_STAGE"], "torch" in sys.modules, threading.active_count())
if sys.argv[1] == "wait":
    open("waits", "w").close()
    time.sleep(60)
if sys.argv[1] == "fail":
    sys.exit("error: no cell")
open(sys.argv[1], "w").write(os.environ["MARK"])
"""
PIPELINE = """stages:
  one: {cmd: PYTHONPATH=src python -m context_fbr.stage one, outs: [one]}
  fail: {cmd: PYTHONPATH=src python -m context_fbr.stage fail}
  wait: {cmd: PYTHONPATH=src python -m context_fbr.stage wait}
  shell: {cmd: "echo $MARK > shell; exit 3"}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a DVC project with a package of its own, which has the name of ours."""
    path = tmp_path_factory.mktemp("project")
    package = path / "src/context_fbr"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "word.py").write_text("WORD = 'its own'")
    (package / "stage.py").write_text(STAGE)
    (path / "dvc.yaml").write_text(PIPELINE)
    subprocess.run([*PLAIN, "init", "--no-scm", "-q"], cwd=path, check=True)
    # As in the project: DVC's own reports are processes, too.
    (path / ".dvc/config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    no_scm = True\n"
    )
    return path


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[processes.Start]:
    """Yield a function that starts DVC by a server, one for all tests: its imports take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        with preloaded.starter(preloaded.MIN_CELLS, dvc.environment()) as given:
            yield given


@pytest.fixture
def folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the project as it was at first: without results, run-cache, and locks of a killed process."""
    monkeypatch.chdir(project)
    for name in ("one", "shell", "waits", "dvc.lock"):
        Path(name).unlink(missing_ok=True)
    for name in ("cache", "tmp"):
        shutil.rmtree(f".dvc/{name}", ignore_errors=True)
    return project


@pytest.fixture
def start(server: processes.Start, folder: Path) -> processes.Start:
    return server


def run(start: processes.Start, *stages: str) -> tuple[int, str]:
    process = start(["repro", "-s", *stages], {**dvc.environment(), "MARK": "x"})
    with process.stdout:
        said = process.stdout.read()
    return process.wait(), said


def test_a_stage_runs_as_in_a_new_process_with_the_libraries_imported(start: processes.Start) -> None:
    status, said = run(start, "one")

    assert status == 0
    assert "__main__ ['one'] its own one True 1\natexit\n" in said
    assert Path("one").read_text() == "x"
    by_fork = Path("dvc.lock").read_bytes()
    Path("dvc.lock").unlink()
    Path("one").unlink()
    assert run(processes.new, "-f", "one")[0] == 0
    assert Path("dvc.lock").read_bytes() == by_fork


def test_a_stage_that_fails_fails_dvc_and_no_other(start: processes.Start) -> None:
    status, said = run(start, "fail")
    plain, said_by_plain = run(processes.new, "fail")

    assert status == plain == 255
    assert "error: no cell" in said
    assert said.splitlines()[-1] == said_by_plain.splitlines()[-1]  # DVC's own message
    assert run(start, "one")[0] == 0


HOLD = """
import sys, zc.lockfile
lock = zc.lockfile.LockFile(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("forked", [True, False], ids=["fork", "process"])
@pytest.mark.parametrize("lock", ["lock", "rwlock.lock"])
def test_a_busy_lock_of_dvc_is_waited_for(start: processes.Start, lock: str, forked: bool) -> None:
    """The repository's, and that of the table of files in use: held until a DVC that does not wait fails."""
    Path(".dvc/tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOLD, f".dvc/tmp/{lock}"]
    environment = {**dvc.environment(), "MARK": "x"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        waiting = (start if forked else processes.new)(["repro", "-s", "one"], environment)
        assert waiting.pid  # the server has imported its libraries and forked
        plain = subprocess.run(
            [*PLAIN, "repro", "-s", "one"], env=environment, capture_output=True, text=True, check=False
        )
        assert "Unable to acquire lock" in plain.stderr
        time.sleep(1)
        ended = waiting.poll()
        holder.stdin.close()
        holder.wait()
    with waiting.stdout:
        said = waiting.stdout.read()
    assert ended is None
    assert waiting.wait() == 0, said


def test_a_command_for_a_shell_gets_one(start: processes.Start) -> None:
    status, said = run(start, "shell")

    assert status == 255
    assert "exited with 3" in said
    assert Path("shell").read_text() == "x\n"


def test_the_end_of_a_block_of_processes_ends_the_stage_first(start: processes.Start) -> None:
    workers = processes.Processes(start)
    with workers.start(["repro", "-s", "wait"], {**dvc.environment(), "MARK": "x"}) as process:
        while not Path("waits").exists():
            time.sleep(0.05)
        below = psutil.Process(process.pid).children(recursive=True)
        assert os.getsid(process.pid) == process.pid  # where Ctrl-C of a terminal does not reach it
        workers.stop()

        assert process.wait() == 255  # DVC ended by itself: its stage failed
        assert len(below) == 1
        assert not below[0].is_running()


def test_a_killed_process_has_the_status_of_the_signal(start: processes.Start) -> None:
    process = start(["repro", "-s", "wait"], {**dvc.environment(), "MARK": "x"})
    while not Path("waits").exists():
        time.sleep(0.05)
    stage = psutil.Process(process.pid).children()[0]
    process.kill()
    process.stdout.close()

    assert process.wait() == -signal.SIGKILL
    stage.kill()  # ours ends by itself, see runtime/orphans.py


def test_without_its_server_dvc_is_a_new_process(folder: Path) -> None:
    before = set(psutil.Process().children())
    with preloaded.starter(preloaded.MIN_CELLS, dvc.environment()) as start:
        for child in set(psutil.Process().children()) - before:
            child.kill()
            child.wait()

        assert run(start, "one")[0] == 0
