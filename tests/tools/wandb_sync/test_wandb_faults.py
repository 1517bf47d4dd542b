"""Faults of Weights & Biases, and a killed training that uploads to it: the results are the same bytes."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import wandb_files
from slurm_cluster import wait_for
from wandb_files import CELL, TRAIN, UNET
from wandb_server import WandbServer, Way, wandb_server
from workspace import Workspace

pytestmark = pytest.mark.slow

EPOCHS = 8
STEPS = EPOCHS * 2
OTHER_WAYS = ("refuses", "401", "hangs", "hangs later", "no room for rows", "no room for files")
UPLOAD = f"""
from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr_tools.wandb_sync.push import upload
assert not upload(Cell.from_key("{UNET}"), Document.read(), online=True)
"""
"""Upload a cell without a comparison with dvc.lock."""


@pytest.fixture(scope="module")
def plain(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of one cell of some epochs, which are saved after every step, computed without W&B."""
    made = finished.copy(tmp_path_factory.mktemp("plain") / "study")
    made.edit("params.yaml", "epochs: 2\n", f"epochs: {EPOCHS}\n")
    made.edit("params.yaml", "save_every_minutes: 1", "save_every_minutes: 0")
    made.edit("params.yaml", "models: [unet, attention_unet]", "models: [unet]")
    made.repro(f"evaluate@{UNET}")
    return made


@pytest.fixture
def untrained(plain: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """The study without its training, of which the test has to compute the same bytes."""
    made = plain.copy(tmp_path / "study")
    results = [f"metrics/{kind}/spheres/{UNET}.csv" for kind in ("train", "foreground_ratios")]
    shutil.rmtree(made.path / "models" / UNET)
    for name in results:
        (made.path / name).unlink()
    yield made
    for name in (*results, f"models/{UNET}/weights.pt", f"models/{UNET}/training.json"):
        assert (made.path / name).read_bytes() == (plain.path / name).read_bytes(), name


def wait_less(workspace: Workspace) -> None:
    """Shorten the wait at the end of a stage for uploads that do not end."""
    workspace.edit("src/context_fbr_tools/wandb_sync/live.py", "LIMIT_S = 30, 3", "LIMIT_S = 10, 3")


def use(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that lead W&B's client to a server."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


def test_a_server_gets_everything_once(
    untrained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server("answers") as server:
        use(server, monkeypatch)
        said = untrained.stage("train", *CELL).stderr
        assert [row["_step"] for row in server.rows] == list(range(1, STEPS + 1))
        for _ in range(2):
            untrained.context_fbr("wandb", "push", UNET)
            assert [row["_step"] for row in server.rows] == list(range(1, STEPS + 2))
        made = len(server.artifacts)
        training = json.loads((untrained.path / f"models/{UNET}/training.json").read_text())
        training["best_validation_dice"] = 0.5  # as after another computation of the same cell
        study = untrained.copy(tmp_path / "other")
        (study.path / f"models/{UNET}/training.json").write_text(json.dumps(training))
        with (study.path / f"models/{UNET}/weights.pt").open("ab") as file:
            file.write(b"other")
        for _ in range(2):
            assert study.run(sys.executable, "-c", UPLOAD).stdout.startswith(f"{UNET}: W&B: ")
            assert server.summary["best_dice"] == 0.5
            assert len(server.artifacts) == made + 3
    assert "warning" not in said
    assert f"{UNET}: W&B: {server.url}/entity/project/runs/{server.run['name']}" in said
    assert server.unknown == []
    kinds = [(each["artifactTypeName"], each["artifactCollectionName"]) for each in server.artifacts]
    data = [("dataset", "spheres-prepared"), ("dataset", "spheres-raw")]
    assert sorted(kinds[:3]) == [*data, ("model", UNET)]
    assert sorted(kinds[3:])[:3] == [*data, ("model", UNET)]
    assert [kind for kind, _ in kinds].count("run_table") == 1
    weights = (untrained.path / f"models/{UNET}/weights.pt").read_bytes()
    assert weights in [content for name, content in server.files.items() if name.endswith("/weights.pt")]


@pytest.mark.parametrize("way", ["500", *(pytest.param(way, marks=pytest.mark.long) for way in OTHER_WAYS)])
def test_a_server_that_fails_is_a_warning_after_a_limited_wait_and_gets_all_by_a_push(
    untrained: Workspace, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(wandb_server(way))
        use(server, monkeypatch)
        if way.startswith("hangs"):
            wait_less(untrained)
        start = time.monotonic()
        said = untrained.stage("train", *CELL).stderr
        assert time.monotonic() - start < 90  # no speed: that the wait has a limit
        assert said.count(f"warning: {UNET}: W&B: ") == 1
        assert f"`context-fbr wandb push {UNET}` tries again" in said
        assert "Traceback" not in said
        assert "Broken pipe" not in said
        if way == "no room for files":
            untrained.context_fbr("wandb", "push", UNET, expect=1)
        server.recover()
        if way == "refuses":
            server = stack.enter_context(wandb_server("answers"))
            use(server, monkeypatch)
        untrained.context_fbr("wandb", "push", UNET)
    assert [row["_step"] for row in server.rows] == list(range(1, STEPS + 2))
    weights = (untrained.path / f"models/{UNET}/weights.pt").read_bytes()
    assert server.summary["results/trained"] == hashlib.md5(weights).hexdigest()
    assert len([name for name in server.files if name.endswith("weights.pt")]) == 1
    assert any("test/worst_1" in name for name in server.files)


@pytest.mark.long
def test_a_server_that_refuses_the_key_is_a_warning_during_the_training(
    plain: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain.copy(tmp_path / "study")
    made.edit("params.yaml", f"epochs: {EPOCHS}", "epochs: 4000")
    with wandb_server("401") as server:
        use(server, monkeypatch)
        process = trained(made, tmp_path / "log")
        wait_for(lambda: "tries again" in (tmp_path / "log").read_text(), 60)
        assert process.poll() is None
        process.terminate()
        assert process.wait(60) == 75
    assert (tmp_path / "log").read_text().count("warning: ") == 1


def test_a_push_to_a_server_that_fails_is_an_error(
    plain: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain.copy(tmp_path / "study")
    with wandb_server("401") as server:
        use(server, monkeypatch)
        said = made.context_fbr("wandb", "push", expect=1).stderr
    assert f"error: {UNET}: " in said
    assert "Traceback" not in said


def trained(workspace: Workspace, log: Path) -> subprocess.Popen[str]:
    """A training that has begun."""
    with log.open("w") as file:
        return subprocess.Popen(
            TRAIN, cwd=workspace.path, env=workspace.environment(), stdout=file, stderr=file, text=True
        )


@pytest.mark.parametrize("act", [psutil.Process.kill, psutil.Process.suspend])
def test_a_service_that_is_killed_or_hangs_is_a_warning(
    untrained: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[psutil.Process], None],
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    wait_less(untrained)
    process = trained(untrained, tmp_path / "log")

    def service() -> list[psutil.Process]:
        return [p for p in psutil.Process(process.pid).children(recursive=True) if p.name() == "wandb-core"]

    wait_for(service, 60)
    for each in service():
        act(each)
    assert process.wait(120) == 0
    said = (tmp_path / "log").read_text()
    assert said.count(f"warning: {UNET}: W&B: ") == 1
    assert "Traceback" not in said


def kill(workspace: Workspace, log: Path, ready: Callable[[], bool] = lambda: True) -> None:
    """Kill a training in the middle."""
    process = trained(workspace, log)
    wait_for(lambda: "epoch 2/" in log.read_text() and ready(), 60)
    process.kill()
    process.wait(60)


def resume(workspace: Workspace) -> None:
    assert "resumes in epoch" in workspace.stage("train", *CELL).stdout


def test_a_killed_training_resumes_in_the_same_run(
    untrained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    kill(untrained, tmp_path / "log")
    resume(untrained)
    after = wandb_files.read(untrained.path)[UNET]
    assert after.exit_code == 0
    assert after.steps == list(range(1, STEPS + 1))
    assert set(after.values("train/loss")) == set(after.steps)
    for name in ("gradients/", "parameters/", "train/example"):  # of the killed attempt, too
        assert any(key.startswith(name) for key in after.rows[3])


@pytest.mark.long
def test_a_killed_training_resumes_in_the_run_of_the_server(
    plain: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, steps = plain.copy(tmp_path / "study"), 160
    made.edit(
        "params.yaml", f"epochs: {EPOCHS}\n", f"epochs: {steps // 2}\n"
    )  # longer than W&B takes to begin
    with wandb_server("answers") as server:
        use(server, monkeypatch)
        kill(made, tmp_path / "log", lambda: bool(server.rows))
        before = [row["_step"] for row in server.rows]
        run = server.run["name"]
        resume(made)
    assert before == list(range(1, len(before) + 1))
    assert 0 < len(before) < steps
    assert [row["_step"] for row in server.rows] == list(range(1, steps + 1))
    assert server.run["name"] == run
    assert server.runs == {run}
