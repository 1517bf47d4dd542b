"""Signals: what is ignored stays so, and what a scheduler sees of them."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from context_fbr.core.errors import StoppedError
from context_fbr.runtime.stop_signals import signals_as_exceptions, stop_requests


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_asks_a_training_to_stop_unless_it_is_ignored(number: signal.Signals) -> None:
    with stop_requests() as request:
        os.kill(os.getpid(), number)
        assert request.reason == number.name
    with ignored(number), stop_requests() as request:
        os.kill(os.getpid(), number)
        assert request.reason is None
    assert signal.getsignal(number) is not signal.SIG_IGN


def test_a_closed_terminal_ends_the_grid_unless_nohup_has_it_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with pytest.raises(SystemExit) as left, signals_as_exceptions():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert left.value.code == 128 + signal.SIGHUP
    with ignored(signal.SIGHUP), signals_as_exceptions():
        os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.slow
def test_dvc_and_make_do_not_hand_on_the_status_to_requeue_on(tmp_path: Path) -> None:
    """Which is why docs/reference/faults.md says to run the grid without make in a scheduler's script."""
    dvc = f"{shutil.which(sys.executable)} -m dvc"
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  train:\n    cmd: exit {StoppedError.STATUS}\n")
    (tmp_path / "Makefile").write_text(f"repro:\n\t{dvc} repro\n")
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    found = [
        subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, check=False)
        for command in (f"{dvc} init --no-scm", f"{dvc} repro", "make repro")
    ]
    assert [done.returncode for done in found] == [0, 255, 2]
