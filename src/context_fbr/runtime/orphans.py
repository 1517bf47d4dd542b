"""Exit when the process that started this one (DVC, make or context-fbr) has ended."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

POLL_S = 0.25
LAST_WORDS_S = 1.0
STARTERS = {"dvc", "context-fbr", "make"}
MODULES = {"dvc", "context_fbr", "context_fbr_tools"}
ADOPTIVE = {"systemd", "init", "launchd", "tini", "dumb-init"}
SHELLS = {"sh", "ash", "bash", "dash", "ksh", "zsh"}
VARIABLE = "CONTEXT_FBR_STARTER"
"""Variable with this process's id for its children, because a parent may end before its child looks."""


def exit_with_parent() -> None:
    """End this process soon after one of those that started it; do nothing if it was started by hand.

    It gets SIGTERM first, and one second for a last save; a save that is cut leaves the state before it.
    Then the system's timer ends it, even if it runs code that holds the interpreter's lock.

    The system's own means (PR_SET_PDEATHSIG) fires when the *thread* that started us ends, which in DVC's
    queue is not a reason to stop, and does not work through a shell.
    """
    try:
        import psutil
    except ModuleNotFoundError:  # a bare machine that runs benchmarks/paper_cells.py
        return
    parents = psutil.Process().parents()
    watched = starters(parents)
    # DVC ended while Python was still importing. Not whenever DVC is out of sight: it may be a library in
    # a notebook, or outside of a container or a scheduler's step.
    orphaned = "DVC_STAGE" in os.environ and not watched and is_orphaned(parents)
    orphaned |= bool(watched) and _is_experiment(watched[-1])
    pid, _, born = os.environ.get(VARIABLE, "").partition(" ")
    if pid:
        try:
            watched.append(psutil.Process(int(pid)))
            orphaned |= _birth(int(pid)) != born
        except psutil.NoSuchProcess:
            orphaned = True
        except psutil.Error:  # another's process may be hidden from us
            pass
    if orphaned:
        _say()
        sys.exit(os.EX_TEMPFAIL)
    if watched:
        ended = threading.Event()
        thread = threading.Thread(target=_watch, args=(watched, ended), daemon=True)
        thread.start()
        atexit.register(_stop_watching, thread, ended)


def child_environment() -> dict[str, str]:
    """Return variables for the environment of a process that is to end with this one."""
    return {VARIABLE: f"{os.getpid()} {_birth(os.getpid())}"}


def starters(ancestors: Sequence["psutil.Process"]) -> list["psutil.Process"]:
    """Return the ancestors (parent first) that have to be alive: up to the last that is DVC, make or ours.

    A shell in between counts too. The shell or the scheduler's script of a person does not: a process
    that was started by hand may outlive its terminal.
    """
    last = max((i for i, process in enumerate(ancestors) if _is_starter(process)), default=-1)
    return list(ancestors[: last + 1])


def _is_starter(process: "psutil.Process") -> bool:
    import psutil

    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    module = next((after for word, after in pairwise(words) if word == "-m"), "")
    named = {Path(word).name for word in words[:2]}
    return bool(named & STARTERS) or module.partition(".")[0] in MODULES


def _is_experiment(process: "psutil.Process") -> bool:
    """Return true if this is DVC in a folder of its own, which a worker or another DVC starts, not a user."""
    import psutil

    try:
        return "exec-run" in process.cmdline()
    except psutil.Error:
        return False


def _watch(processes: Sequence["psutil.Process"], ended: threading.Event) -> None:
    while all(_is_alive(process) for process in processes):
        if ended.wait(POLL_S):
            return
    signal.setitimer(
        signal.ITIMER_REAL, LAST_WORDS_S
    )  # SIGALRM, which ends a process that does not handle it
    os.kill(os.getpid(), signal.SIGTERM)  # before a message: the reader of stderr may have ended, too
    _say()


def _stop_watching(thread: threading.Thread, ended: threading.Event) -> None:
    """End the thread before Python frees its modules: if it wakes meanwhile, the process may hang."""
    if thread.is_alive():  # not so in a fork of this process
        ended.set()
        thread.join()


def _say() -> None:
    with suppress(OSError):
        print("the process that started this one has ended", file=sys.stderr, flush=True)


def is_orphaned(ancestors: Sequence["psutil.Process"]) -> bool:
    """Return true if a process (ancestors: parent first) has the parent that the system gives to orphans.

    The shell in which DVC runs a stage may be in between: bash becomes the command, dash stays and waits.
    """
    nearest = next((p for p in ancestors if p.pid == 1 or p.name() not in SHELLS), None)
    return nearest is not None and (nearest.pid == 1 or nearest.name() in ADOPTIVE)


def _birth(pid: int) -> str:
    """Return the start of a process, independent of changes of the clock."""
    import psutil

    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # ticks since the boot
    except (OSError, IndexError):
        return f"{psutil.Process(pid).create_time()}"


def _is_alive(process: "psutil.Process") -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
