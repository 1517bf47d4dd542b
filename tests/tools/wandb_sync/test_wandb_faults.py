"""Whatever becomes of Weights & Biases, or of a training that it is told of: the results are the same bytes."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import wandb_files
from slurm_cluster import wait_for
from wandb_files import TRAIN, UNET
from wandb_server import WandbServer, Way, wandb_server
from workspace import Workspace

from context_fbr_tools.wandb_sync import journal, uploader_process

pytestmark = pytest.mark.slow

EPOCHS = 8
STEPS = EPOCHS * 2


@pytest.fixture(scope="module")
def plain(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of one cell of some epochs, which are saved after every step, computed without W&B."""
    made = finished.copy(tmp_path_factory.mktemp("plain") / "study")
    made.edit("params.yaml", "epochs: 2\n", f"epochs: {EPOCHS}\n")
    made.edit("params.yaml", "save_every_minutes: 1", "save_every_minutes: 0")
    made.edit("params.yaml", "models: [unet, attention_unet]", "models: [unet]")
    made.repro()
    return made


@pytest.fixture
def untrained(plain: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """The study without its training, which the test has to bring back to the byte."""
    made = plain.copy(tmp_path / "study")
    results = [f"metrics/{kind}/{UNET}.csv" for kind in ("train", "foreground_ratios")]
    shutil.rmtree(made.path / "models" / UNET)
    for name in results:
        (made.path / name).unlink()
    yield made
    for name in (*results, f"models/{UNET}/weights.pt", f"models/{UNET}/training.json"):
        assert (made.path / name).read_bytes() == (plain.path / name).read_bytes(), name


def use(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on W&B is there."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


def test_a_server_is_told_everything_once(untrained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with wandb_server("answers") as server:
        use(server, monkeypatch)
        said = untrained.run(*TRAIN).stderr
        assert [row["_step"] for row in server.rows] == list(range(1, STEPS + 1))
        for _ in range(2):
            untrained.context_fbr("wandb", "push", UNET)
            assert [row["_step"] for row in server.rows] == list(range(1, STEPS + 2))
        made = len(server.artifacts)
        monkeypatch.chdir(untrained.path)
        with journal.writing(server.run["name"]) as own:  # as after another computation of the same cell
            (trained,) = [message for message in journal.read(own.folder)[0] if message["kind"] == "trained"]
            own.append(
                {**trained, "digest": "train other", "summary": {**trained["summary"], "best_dice": 0.5}}
            )
        for _ in range(2):
            assert uploader_process.tell(own.folder, online=True).returncode == 0
            assert (server.summary["best_dice"], server.summary["results/trained"]) == (0.5, "train other")
            assert len(server.artifacts) == made + 3
    assert "warning" not in said
    assert f"{UNET}: W&B: {server.url}/entity/project/runs/{server.run['name']}" in said
    assert server.unknown == []
    kinds = [(each["artifactTypeName"], each["artifactCollectionName"]) for each in server.artifacts]
    assert kinds[:3] == [("model", UNET), ("dataset", "spheres-raw"), ("dataset", "spheres-prepared")]
    assert [kind for kind, _ in kinds[3:]] == ["run_table", "model", "dataset", "dataset"]
    weights = (untrained.path / f"models/{UNET}/weights.pt").read_bytes()
    assert server.files[f"{server.artifacts[0]['digest']}/weights.pt"] == weights


@pytest.mark.parametrize(
    "way", ["refuses", "401", "500", "hangs", "hangs later", "no room for rows", "no room for files"]
)
def test_a_server_that_fails_is_a_warning_that_costs_seconds_and_later_it_is_told_all(
    untrained: Workspace, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(wandb_server(way))
        use(server, monkeypatch)
        start = time.monotonic()
        said = untrained.run(*TRAIN).stderr
        assert time.monotonic() - start < 90  # no speed: that it does not wait for ever
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
    assert server.summary["results/trained"].startswith("train ")
    assert len([name for name in server.files if name.endswith("weights.pt")]) == 1
    assert any("test/worst_1" in name for name in server.files)


def test_a_server_that_refuses_the_key_is_told_of_while_the_training_goes_on(
    untrained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained.edit("params.yaml", f"epochs: {EPOCHS}", "epochs: 4000")
    with wandb_server("401") as server:
        use(server, monkeypatch)
        process = trained(untrained, tmp_path / "log")
        wait_for(lambda: "tries again" in (tmp_path / "log").read_text(), 60)
        assert process.poll() is None
        process.terminate()
        assert process.wait(60) == 75
    assert (tmp_path / "log").read_text().count("warning: ") == 1
    untrained.edit("params.yaml", "epochs: 4000", f"epochs: {EPOCHS}")
    untrained.run(*TRAIN)


def test_a_push_to_a_server_that_fails_is_an_error(
    plain: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain.copy(tmp_path / "study")
    with wandb_server("401") as server:
        use(server, monkeypatch)
        said = made.context_fbr("wandb", "push", expect=1).stderr
    assert f"error: {UNET}: W&B cannot be told" in said
    assert "Traceback" not in said


def trained(workspace: Workspace, log: Path) -> subprocess.Popen[str]:
    """A training that has begun."""
    with log.open("w") as file:
        return subprocess.Popen(
            TRAIN, cwd=workspace.path, env=workspace.environment(), stdout=file, stderr=file, text=True
        )


def test_a_service_that_is_killed_is_a_warning(
    untrained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    process = trained(untrained, tmp_path / "log")

    def service() -> list[psutil.Process]:
        return [p for p in psutil.Process(process.pid).children(recursive=True) if p.name() == "wandb-core"]

    wait_for(service, 60)
    for each in service():
        each.kill()
    assert process.wait(120) == 0
    assert f"warning: {UNET}: W&B: " in (tmp_path / "log").read_text()


def kill(workspace: Workspace, log: Path) -> None:
    """A training in the middle."""
    process = trained(workspace, log)
    wait_for(lambda: "epoch 2/" in log.read_text(), 60)
    process.kill()
    process.wait(60)


def go_on(workspace: Workspace) -> None:
    assert "resumes in epoch" in workspace.run(*TRAIN).stdout


def test_a_training_that_was_killed_goes_on_in_the_same_run(
    untrained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    kill(untrained, tmp_path / "log")
    wait_for(lambda: UNET in wandb_files.read(untrained.path), 60)  # what there was is told all the same
    wait_for(lambda: wandb_files.read(untrained.path)[UNET].exit_code is not None, 60)
    before = wandb_files.read(untrained.path)[UNET]
    assert before.exit_code == 1
    assert before.steps == list(range(1, len(before.steps) + 1))
    go_on(untrained)
    after = wandb_files.read(untrained.path)[UNET]
    assert after.run.run_id == before.run.run_id
    assert after.steps == list(range(1, STEPS + 1))
    assert after.rows[0]["train/loss"] == before.rows[0]["train/loss"]


def test_a_training_that_was_killed_goes_on_in_the_run_that_the_server_knows(
    untrained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server("answers") as server:
        use(server, monkeypatch)
        kill(untrained, tmp_path / "log")
        wait_for(lambda: server.ended, 60)
        before = [row["_step"] for row in server.rows]
        run = server.run["name"]
        go_on(untrained)
    assert before == list(range(1, len(before) + 1))
    assert 0 < len(before) < STEPS
    assert [row["_step"] for row in server.rows] == list(range(1, STEPS + 1))
    assert server.run["name"] == run
    assert server.runs == {run}
