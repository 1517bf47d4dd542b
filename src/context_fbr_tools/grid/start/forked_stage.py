"""Stages of this project as forks of a DVC that has imported torch and monai already."""

import atexit
import importlib
import os
import re
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

COMMAND = re.compile(r"PYTHONPATH=src python -m (context_fbr(?:\.\w+)+)((?: [\w.+-]+)*)")
"""A command of dvc.yaml without anything that needs a shell."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
INTEGER = 4
"""Bytes of a number in the pipe of a process: its id, then its exit status."""


def install(inherited: Sequence[int] = ()) -> bool:
    """Replace DVC's function that runs a command; false if this DVC does not have it.

    Args:
        inherited: file descriptors that are not the stage's.
    """
    from dvc.stage import run as of_dvc
    from dvc.stage.exceptions import StageCmdFailedError

    original = getattr(of_dvc, "_run", None)
    if original is None:
        return False

    def run(executable: str, command: str, **options: Any) -> None:
        words = COMMAND.fullmatch(command.strip())
        if words is None or threading.active_count() > 1:
            original(executable, command, **options)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            for file in inherited:
                os.close(file)
            run_and_exit(lambda: _run_stage(words[1], words[2].split(), Path(options["cwd"]), options["env"]))
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        finally:
            signal.signal(signal.SIGINT, before)
        if status:
            raise StageCmdFailedError(command, status)

    of_dvc._run = run
    return True


def run_and_exit(main: Callable[[], int | None], status: int | None = None) -> NoReturn:
    """Run a function in a forked process and end it as Python ends, without what its parent left to do.

    Args:
        main: returns the exit status, or raises SystemExit.
        status: pipe for the exit status.
    """
    atexit._clear()
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, signal.SIG_DFL)
    code = 1
    try:
        code = _as_number(main())
    except SystemExit as end:
        code = _as_number(end.code)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        if status is not None:
            with suppress(OSError):
                os.write(status, code.to_bytes(INTEGER))
        os._exit(code)


def _as_number(code: object) -> int:
    if isinstance(code, int):
        return code & 0xFF
    if code is not None:
        print(code, file=sys.stderr)
    return int(code is not None)


def _run_stage(module: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment, PYTHONPATH="src")
    _forget(
        name for name in list(sys.modules) if name.partition(".")[0] in ("context_fbr", "context_fbr_tools")
    )
    sys.path[:0] = [str(folder), str(folder / "src")]
    sys.argv = [module, *arguments]
    importlib.invalidate_caches()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _forget(modules: Iterable[str]) -> None:
    """Remove modules, so that the stage imports those of its own folder."""
    for name in modules:
        del sys.modules[name]
