"""kill -9 of whatever started a stage: seconds later no process of it is alive, and its work is kept."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from workspace import ROOT, TINY, Workspace

from context_fbr.runtime import orphans

PATIENCE_S = 6.0
"""A process has one second; on a busy machine the system takes some more to start it and to end it."""


class Ancestor:
    """Stands for a process of which only the number and the command line matter."""

    def __init__(self, *words: str, pid: int = 1000) -> None:
        self.words = words
        self.pid = pid

    def name(self) -> str:
        return Path(self.words[0]).name

    def cmdline(self) -> list[str]:
        return list(self.words)


def test_who_must_live_on_is_everyone_up_to_dvc_make_or_our_own_program() -> None:
    shell, terminal = (
        Ancestor("/bin/sh", "-c", "PYTHONPATH=src python -m context_fbr.train"),
        Ancestor("bash"),
    )
    dvc, worker = (
        Ancestor("/x/python", "-m", "dvc", "repro"),
        Ancestor("python", "/x/bin/context-fbr", "grid"),
    )
    make = Ancestor("make", "repro")
    assert orphans.starters([shell, dvc, terminal]) == [shell, dvc]
    assert orphans.starters([dvc, worker, Ancestor("sh", "-c", "x"), make, terminal])[-1] is make
    assert orphans.starters([terminal, Ancestor("slurmstepd"), Ancestor("systemd")]) == []
    assert orphans.starters([Ancestor("python", "-m", "pytest", "tests/dvc")]) == []
    assert orphans.starters([Ancestor("python", "/home/x/dvc")]) != []


def test_an_orphan_is_one_also_when_the_shell_around_it_lives_on() -> None:
    shell, first = Ancestor("/bin/sh", "-c", "python -m context_fbr.train"), Ancestor("anything", pid=1)
    assert orphans.is_orphaned([first])
    assert orphans.is_orphaned([shell, first])
    assert orphans.is_orphaned([shell, Ancestor("bash"), Ancestor("systemd")])
    assert orphans.is_orphaned([Ancestor("sh", pid=1)])
    assert not orphans.is_orphaned([shell, Ancestor("jupyter"), first])
    assert not orphans.is_orphaned([shell, Ancestor("slurmstepd"), first])
    assert not orphans.is_orphaned([])


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.05)


def outlived(processes: list[psutil.Process], seconds: float = PATIENCE_S) -> list[psutil.Process]:
    """Those that still run after some seconds; a zombie does not: its new parent has not asked for it yet."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def started_by_dvc(folder: Path, code: str) -> subprocess.Popen[bytes]:
    """Start a script named dvc, which starts a shell, which starts a Python: the chain without DVC's seconds."""
    (folder / "stage.py").write_text(code)
    script = folder / "dvc"
    script.write_text(f"import subprocess\nsubprocess.run('{sys.executable} stage.py; true', shell=True)\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, str(script)], cwd=folder, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "hears"), [("dvc", True), ("dvc", False), ("shell", True)])
def test_a_stage_ends_when_its_shell_or_the_dvc_above_it_is_killed(
    tmp_path: Path, victim: str, hears: bool
) -> None:
    code = (
        "import signal, sys, time; from pathlib import Path; from context_fbr.runtime import orphans\n"
        "def hear(*_): Path('heard').touch()\n"
        f"{hears} and signal.signal(signal.SIGTERM, hear)\n"
        "orphans.exit_with_parent(); Path('ready').touch()\n"
        "while True: time.sleep(0.01)\n"
    )
    with started_by_dvc(tmp_path, code) as dvc:
        wait_for((tmp_path / "ready").exists, "stage")
        below = psutil.Process(dvc.pid).children(recursive=True)
        assert len(below) == 2
        (dvc if victim == "dvc" else below[0]).kill()
    assert outlived(below) == []
    assert (tmp_path / "heard").exists() == hears


BUSY = {
    "in Python": "while True: pass",
    "in C, with the interpreter's lock": "sum(range(10**15))",
}


@pytest.mark.slow
@pytest.mark.parametrize("busy", BUSY)
def test_a_stage_that_does_not_end_after_sigterm_is_ended_by_the_system(tmp_path: Path, busy: str) -> None:
    code = (
        "import signal, time; from pathlib import Path; from context_fbr.runtime import orphans\n"
        "def hear(*_):\n"
        "    Path('heard').touch()\n"
        f"    {BUSY[busy]}\n"
        "signal.signal(signal.SIGTERM, hear)\n"
        "orphans.exit_with_parent(); Path('ready').touch()\n"
        "while True: time.sleep(0.01)\n"
    )
    with started_by_dvc(tmp_path, code) as dvc:
        wait_for((tmp_path / "ready").exists, "stage")
        below = psutil.Process(dvc.pid).children(recursive=True)
        dvc.kill()
    assert outlived(below) == []
    assert (tmp_path / "heard").exists()


def test_the_thread_that_watches_ends_before_the_interpreter_does(tmp_path: Path) -> None:
    """Functions of atexit run in the reverse order: this one sees what the watch has left."""
    code = (
        "import atexit, threading; from pathlib import Path; from context_fbr.runtime import orphans\n"
        "atexit.register(lambda: Path('after').write_text(str(threading.active_count())))\n"
        "orphans.exit_with_parent(); Path('during').write_text(str(threading.active_count()))\n"
    )
    with started_by_dvc(tmp_path, code) as dvc:
        assert dvc.wait(60) == 0
    assert [(tmp_path / name).read_text() for name in ("during", "after")] == ["2", "1"]


def test_a_fork_of_a_watched_process_ends_like_any_other(tmp_path: Path) -> None:
    code = (
        "import os; from pathlib import Path; from context_fbr.runtime import orphans\n"
        "orphans.exit_with_parent()\n"
        "if child := os.fork():\n"
        "    Path('status').write_text(str(os.waitpid(child, 0)[1]))\n"
    )
    with started_by_dvc(tmp_path, code) as dvc:
        assert dvc.wait(60) == 0
    assert (tmp_path / "status").read_text() == "0"


def stages(folder: Path) -> list[psutil.Process]:
    """The processes that run a training in a folder, and the shells around them.

    `grid run` forks trainings from one process that has imported torch: they, and it, have that process's words.
    """
    marks = ("context_fbr.train", "context_fbr_tools.grid.start.preloaded")
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, cwd = process.info["cmdline"] or [], process.info["cwd"] or ""
        if Path(cwd).is_relative_to(folder) and any(mark in word for word in words for mark in marks):
            found.append(process)
    return found


def saved(states: Path) -> int:
    """Number of cells whose training has been saved twice: their Python has long begun to watch its starters."""
    return len({path.relative_to(states).parts[0] for path in states.rglob("previous")})


def above(process: psutil.Process, word: str) -> psutil.Process:
    """The nearest ancestor that was started with a word."""
    return next(parent for parent in process.parents() if word in parent.cmdline())


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose cells would train for minutes."""
    workspace = Workspace.make(tmp_path_factory.mktemp("orphans") / "study", TINY)
    workspace.edit("params.yaml", "      epochs: 2", "      epochs: 4000")
    for other in ("60", "61"):  # of tasks that do not run
        workspace.edit("params.yaml", f"      epochs: {other}", "      epochs: 4000")
    # Rarely validated is rarely printed: a print into a pipe that no one reads any more would end it, too.
    workspace.edit("params.yaml", "  validate_every_epochs: 1", "  validate_every_epochs: 4000")
    workspace.edit("params.yaml", "save_every_minutes: 1", "save_every_minutes: 0")
    workspace.repro("raw@spheres", "prepare@spheres", "code")
    workspace.commit("Long")
    return workspace


BASH, SH = "/bin/bash", "/bin/sh"
DVC = [sys.executable, "-m", "dvc", "repro", "-s", "train@spheres-unet-16-1"]
GRID = [sys.executable, "-c", "from context_fbr_tools.cli import main; main()", "grid", "run", "--jobs", "2"]
MAKE = ["make", "-f", str(ROOT / "Makefile"), "--assume-old", ".venv/.ready", "repro", "JOBS=2"]
TEMP = [sys.executable, "-m", "dvc", "exp", "run", "--temp"]
QUEUE = [sys.executable, "-c",
         "from dvc.cli import main; main(['exp', 'run', '--queue', '-S', 'train.learning_rate=0.004']);"
         "main(['queue', 'start'])"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "target", "early", "shell"),
    [
        (DVC, "repro", False, BASH),
        (DVC, "repro", True, SH),
        (GRID, "grid", False, BASH),
        (MAKE, "make", False, SH),
        (TEMP, "--temp", False, BASH),
        (QUEUE, "queue-worker", True, BASH),
    ],
)
def test_killing_what_started_a_training_ends_it_and_its_work_is_kept(
    long: Workspace, command: list[str], target: str, early: bool, shell: str
) -> None:
    """Early: Python has only begun to import, and may do so for some seconds.

    In the shell that runs a stage: bash becomes the stage's Python, dash stays between it and DVC.
    """
    states = long.path / ".dvc/tmp/resume"
    shutil.rmtree(states, ignore_errors=True)
    process = subprocess.Popen(
        command, cwd=long.path, env=long.environment() | {"SHELL": shell},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: stages(long.path), "training")
        if not early:
            wait_for(
                lambda: saved(states) == (2 if command in (GRID, MAKE) else 1), "training saved by each job"
            )
        ours = stages(long.path)
        victim = above(ours[0], target)
        below = [child for child in ours if victim in child.parents() or target == "grid"]
        assert below
        victim.kill()
        assert outlived(below, 5 * PATIENCE_S if early else PATIENCE_S) == []
    finally:
        for left in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # it may end between being listed and being terminated
                left.terminate()
        process.wait(60)
        _, lost = psutil.wait_procs(stages(long.path), timeout=60)
        for left in lost:  # a training that wrongly lives must not stand in the next test's way
            with suppress(psutil.NoSuchProcess):
                left.kill()
    assert lost == []
    assert early or list(states.rglob("newest"))
