"""DVC as another process: what an interrupt ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from slurm_cluster import wait_for
from workspace import ROOT

from context_fbr_tools.dvc import process as dvc

NAMES = ("a", "b", "c")
PIPELINE = "stages:\n" + "".join(
    f"  {name}:\n    cmd: touch {name}.began && sleep 60 && touch {name}\n    outs: [{name}]\n"
    for name in NAMES
)
REPRO = "from context_fbr_tools.dvc import process; process.repro('-k')"


def test_an_interrupt_ends_all_stages_of_a_repro_that_keeps_going(tmp_path: Path) -> None:
    """DVC starts the next stage after the one that was interrupted."""
    subprocess.run([*dvc.COMMAND, "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    environment = {**dvc.environment(), "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [sys.executable, "-c", REPRO],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as running:  # fmt: skip
        wait_for(lambda: any((tmp_path / f"{name}.began").exists() for name in NAMES), 60)
        os.killpg(running.pid, signal.SIGINT)  # as Ctrl-C in a terminal
        said, _ = running.communicate(timeout=40)
    assert dvc.STOPPING in said
    assert "KeyboardInterrupt" in said
    assert not any((tmp_path / name).exists() for name in NAMES)
