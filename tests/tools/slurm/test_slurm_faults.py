"""What goes wrong on a cluster, on a real one on this machine: every cell comes to its end once, with the same bytes."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from slurm_cluster import BROKEN_UNET, SITE, Cluster, wait_for
from workspace import TINY, Workspace

pytestmark = pytest.mark.long
UNET, ATTENTION = "spheres-unet-16-1", "spheres-attention_unet-16-1"
EPOCHS = 50

SLOW_TRAINING = """
whole_training = train
def train(*arguments):
    import os, time
    for epoch in whole_training(*arguments):
        time.sleep(4 * os.path.exists({0!r}))
        yield epoch
"""
HELD_EVALUATION = """
whole_evaluation = evaluate
def evaluate(*arguments):
    import os, time
    while os.path.exists({0!r}):
        time.sleep(0.1)
    whole_evaluation(*arguments)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of two cells whose trainings are saved after every step; its data are prepared, no cell was run.

    While a file `slow` is next to it, an epoch takes four seconds: there is time to disturb a training. While
    there is a file `hold`, no evaluation begins.
    """
    made = Workspace.make(tmp_path_factory.mktemp("slurm") / "base", TINY)
    made.edit("params.yaml", "epochs: 2\n", f"epochs: {EPOCHS}\n")
    made.edit("params.yaml", "save_every_minutes: 1", "save_every_minutes: 0")
    made.append("src/context_fbr/training/loop.py", SLOW_TRAINING.format(str(slow(made))))
    made.append("src/context_fbr/evaluation/cell.py", HELD_EVALUATION.format(str(hold(made))))
    made.repro("prepare@spheres", "baseline@spheres", "paper")
    made.commit("Long")
    (made.path / "slurm.yaml").write_text(SITE.replace("save_seconds: 20", "save_seconds: 40"))
    return made


@pytest.fixture(scope="module")
def serial(base: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same study after a plain `dvc repro` without any fault."""
    made = base.copy(tmp_path_factory.mktemp("serial") / "study")
    made.repro()
    return made


@pytest.fixture(autouse=True)
def restored(slurm: Cluster, base: Workspace) -> Iterator[None]:
    """The faults of a test that fails end with it."""
    yield
    release(base)
    slurm.restore()
    wait_for(lambda: not trainings(UNET) + trainings(ATTENTION), 60)


@pytest.fixture
def running(slurm: Cluster, base: Workspace, serial: Workspace, tmp_path: Path) -> Workspace:
    """The study on the cluster, both cells in the middle of their trainings, which are slow until `release`."""
    made = base.copy(tmp_path / "study")
    slow(base).touch()
    assert "2 cells to submit" in made.context_fbr("grid", "submit").stdout
    for key in (UNET, ATTENTION):
        wait_for(lambda key=key: epochs(made, key) > 1, 120)
    return made


def slow(base: Workspace) -> Path:
    """The file that makes trainings slow."""
    return base.path.with_name("slow")


def hold(base: Workspace) -> Path:
    """The file that evaluations wait for."""
    return base.path.with_name("hold")


def release(base: Workspace) -> None:
    """Remove both files."""
    slow(base).unlink(missing_ok=True)
    hold(base).unlink(missing_ok=True)


def log(workspace: Workspace, key: str) -> str:
    """The output of all jobs of a cell."""
    files = sorted(workspace.path.glob(f".dvc/tmp/grid/*/logs/{key}.log"))
    return "".join(file.read_text() for file in files)


def epochs(workspace: Workspace, key: str) -> int:
    """The last epoch in the cell's log."""
    return max(map(int, re.findall(r"epoch (\d+)/", log(workspace, key))), default=0)


def jobs(workspace: Workspace, key: str) -> int:
    """Number of jobs that started with the cell."""
    return log(workspace, key).count(f"{key}: job ")


def states(workspace: Workspace) -> dict[str, str]:
    """The state of each cell in `grid status`."""
    shown = workspace.context_fbr("grid", "status").stdout
    return dict(re.findall(rf"({UNET}|{ATTENTION}) +(\w+)", shown))


def trainings(key: str, stage: str = "train") -> list[psutil.Process]:
    """Processes that train a cell, or evaluate it, on this cluster: other tests have cells of the same names."""
    command = ["-m", f"context_fbr.{stage}", *key.split("-")]
    found = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[1:] == command]
    return [process for process in found if _is_a_job(process)]


def _is_a_job(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        environment = process.environ()
        return "SLURM_JOB_ID" in environment and environment.get("SLURM_CONF") == os.environ["SLURM_CONF"]
    return False


def worker(key: str, stage: str = "train") -> psutil.Process:
    """The process of submitit above the training of a cell."""
    return next(p for p in trainings(key, stage)[0].parents() if "submitit.core._submit" in p.cmdline())


def job_of(slurm: Cluster, key: str) -> str:
    """The running job of a cell."""
    index = worker(key).environ()["SLURM_ARRAY_TASK_ID"]
    lines = slurm.ask("squeue", "-h", "-r", "-t", "running", "-o", "%F_%K %j").split("\n")
    return next(line.split()[0] for line in lines if line.split()[0].endswith(f"_{index}"))


def check_end(workspace: Workspace, serial: Workspace, resumed: tuple[str, ...]) -> None:
    """Every cell was trained once, with a resume where it was interrupted; results are the bytes of a serial run.

    Once more only if Slurm ended the job between the end of the training and DVC's record of it.
    """
    for key in (UNET, ATTENTION):
        began, ended = (log(workspace, key).count(f"epoch {epoch}/{EPOCHS},") for epoch in (1, EPOCHS))
        assert began == ended >= 1, f"{key} began {began} times, and ended {ended} times"
        assert ("resumes in epoch" in log(workspace, key)) == (key in resumed)
    executed = re.findall(r"Running stage '([^']+)'", workspace.context_fbr("grid", "collect").stdout)
    assert not [name for name in executed if name.startswith(("train", "evaluate"))]
    for file in sorted(serial.path.glob("metrics/**/*")):
        if file.is_file() and "provenance" not in file.parts:
            other = workspace.path / file.relative_to(serial.path)
            assert other.read_bytes() == file.read_bytes(), file.relative_to(serial.path)
    assert workspace.lock() == serial.lock()  # entries in another order: the data of `base` came first


def test_a_killed_worker_is_submitted_again_and_a_cell_out_of_time_is_requeued(
    slurm: Cluster, base: Workspace, running: Workspace, serial: Workspace
) -> None:
    """One fault for each cell. A worker that is killed alone leaves no training behind."""
    job = job_of(slurm, ATTENTION)
    slurm.ask("scontrol", "update", f"jobid={job}", "timelimit=1")
    worker(UNET).kill()
    wait_for(lambda: not trainings(UNET), 30)
    wait_for(lambda: "stopped by SIGUSR1" in log(running, ATTENTION), 90)
    release(base)
    # As soon as the old job has ended, at the latest when Slurm kills it; the new one would have the short time, too.
    wait_for(lambda: slurm.ask("scontrol", "update", f"jobid={job}", "timelimit=10") == "", 240)
    wait_for(lambda: states(running).get(UNET) == "lost", 120)
    assert "1 cells to submit" in running.context_fbr("grid", "submit", "--watch").stdout
    assert jobs(running, UNET) == 2
    assert jobs(running, ATTENTION) >= 2
    check_end(running, serial, resumed=(UNET, ATTENTION))


def test_nothing_is_submitted_twice_while_the_controller_or_a_node_is_away(
    slurm: Cluster, base: Workspace, running: Workspace, serial: Workspace
) -> None:
    """One cell is cancelled, and submitted again later; the node of the other fails, and Slurm requeues it alone.

    Slurm repeats a message to a node that did not answer after a minute. If that one ends the job, which has the same
    number in its second run, the cell is lost, and submitted again when it is: `--watch` does both.
    """
    slurm.stop_controller()
    try:
        assert set(states(running).values()) == {"unknown"}
        refused = running.context_fbr("grid", "submit", expect=1).stderr
        assert "Slurm does not answer" in refused
        assert "error: " in running.context_fbr("grid", "cancel", UNET, expect=1).stderr
    finally:
        slurm.start_controller()
    assert "1 jobs cancelled" in running.context_fbr("grid", "cancel", UNET).stdout
    wait_for(lambda: not trainings(UNET), 60)
    node = worker(ATTENTION).environ()["SLURMD_NODENAME"]
    slurm.kill_node(node)
    assert not trainings(ATTENTION)
    release(base)
    # The cancelled job runs until Slurm kills it, and until then no other job may start.
    wait_for(lambda: states(running).get(UNET) == "cancelled", 120)
    assert "1 cells to submit" in running.context_fbr("grid", "submit").stdout  # not that of the failed node
    wait_for(lambda: "down" in slurm.state_of(node), 120)
    assert "0 cells to submit" in running.context_fbr("grid", "submit").stdout
    slurm.start_node(node)
    wait_for(lambda: jobs(running, ATTENTION) == 2, 60)
    running.context_fbr("grid", "submit", "--watch")
    assert jobs(running, UNET) == 2
    assert jobs(running, ATTENTION) <= 3
    check_end(running, serial, resumed=(UNET, ATTENTION))


def test_preempted_cells_are_saved_requeued_and_resumed(
    slurm: Cluster, base: Workspace, running: Workspace, serial: Workspace
) -> None:
    slurm.ask("sbatch", "-p", "urgent", "-N", "2", "-n", "2", "--wrap", "sleep 5", "-o", "/dev/null")
    for key in (UNET, ATTENTION):
        wait_for(lambda key=key: "Slurm will queue it again" in log(running, key), 60)
        assert re.search(rf"{key}: saved in epoch \d+ after step \d+, stopped by SIGTERM", log(running, key))
    release(base)
    early = running.context_fbr("grid", "collect", expect=1).stderr
    assert re.search(rf"error: {UNET}: (waiting|running)", early)
    assert "0 cells to submit" in running.context_fbr("grid", "submit").stdout
    running.context_fbr("grid", "status", "--watch")
    check_end(running, serial, resumed=(UNET, ATTENTION))


def test_with_a_remote_a_finished_training_is_not_repeated_and_a_torn_push_is(
    slurm: Cluster, base: Workspace, serial: Workspace, tmp_path: Path
) -> None:
    made = base.copy(tmp_path / "study")
    made.dvc("remote", "add", "--local", "storage", str(tmp_path / "storage"))
    (made.path / "slurm.yaml").write_text(
        (made.path / "slurm.yaml").read_text() + "remote: storage\nscratch: $SCRATCH_OF_TEST/clones\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRATCH_OF_TEST", str(tmp_path))
        hold(base).touch()
        made.context_fbr("grid", "submit")
        wait_for(lambda: trainings(UNET, "evaluate"), 120)
        worker(UNET, "evaluate").kill()
        release(base)
        wait_for(lambda: states(made).get(UNET) == "lost", 120)
        made.context_fbr("grid", "submit", "--watch")
        assert (jobs(made, UNET), jobs(made, ATTENTION)) == (2, 1)
        assert [log(made, key).count("epoch 1/") for key in (UNET, ATTENTION)] == [1, 1]
        left = [path.name for path in (tmp_path / "clones").iterdir()]
        assert [name.endswith(f"{UNET}.0") for name in left] == [True]  # that of the killed job only
        storage = tmp_path / "storage"
        weights = [path for path in storage.glob("files/md5/*/*.dir") if "weights.pt" in path.read_text()]
        for place in (storage, made.path / ".dvc/cache"):  # the second submission brought here what was done
            (place / weights[0].relative_to(storage)).unlink()
        torn = made.context_fbr("grid", "collect", expect=1).stderr
        assert "its job says done, but the remote storage does not hold its results" in torn
        assert "1 cells to submit" in made.context_fbr("grid", "submit", "--watch").stdout
    executed = re.findall(r"Running stage '([^']+)'", made.context_fbr("grid", "collect").stdout)
    assert not [name for name in executed if name.startswith(("train", "evaluate"))]
    assert made.lock() == serial.lock()


def test_a_cell_that_fails_by_itself_is_not_submitted_again_unless_named(
    slurm: Cluster, base: Workspace, tmp_path: Path
) -> None:
    made = base.copy(tmp_path / "study")
    made.edit("params.yaml", f"epochs: {EPOCHS}\n", "epochs: 2\n")
    made.append("src/context_fbr/training/cell.py", BROKEN_UNET)
    assert "commit or stash" in made.context_fbr("grid", "submit", expect=1).stderr
    made.commit("Broken")
    ended = made.context_fbr("grid", "submit", "--watch", expect=1)
    assert f"{UNET}: FAILED: broken by a test (log: " in ended.stderr
    assert "broken by a test" in made.context_fbr("grid", "logs", UNET).stdout
    again = made.context_fbr("grid", "submit").stdout
    assert "0 cells to submit; 1 are done" in again
    assert f"{UNET}: FAILED, not submitted again" in again
    assert f"{UNET}: FAILED" in made.context_fbr("grid", "collect", expect=1).stderr
    assert "1 cells to submit" in made.context_fbr("grid", "submit", UNET).stdout  # named, it is
    assert "1 jobs cancelled" in made.context_fbr("grid", "cancel").stdout
