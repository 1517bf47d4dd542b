"""`dvc exp`: queued by DVC's own workers, two at once, and applied without another training."""

import json
import re
import time
from pathlib import Path

import pytest
from workspace import Workspace, cells

pytestmark = pytest.mark.slow  # two minutes: two workers of DVC's queue train for real

RATES = ("0.0003", "0.001")


def trainings(output: str) -> list[str]:
    return re.findall(r"Running stage '(train@[^']+)'", output)


def wait_for_the_queue(workspace: Workspace, seconds: float) -> None:
    """Wait for both experiments' references in git, and then for DVC, each of whose answers takes seconds."""
    end = time.monotonic() + seconds
    while len(re.findall(r" refs/exps/\w\w/", workspace.run("git", "show-ref").stdout)) < len(RATES):
        assert time.monotonic() < end, workspace.dvc("queue", "status")
        time.sleep(0.5)
    while re.search(r"\b(Queued|Running)\b", workspace.dvc("queue", "status")):
        assert time.monotonic() < end, workspace.dvc("queue", "status")
        time.sleep(1)


def experiments(workspace: Workspace) -> dict[str, str]:
    """Learning rate to name of each finished experiment."""
    shown = json.loads(workspace.dvc("exp", "show", "--json"))
    found = {}
    for experiment in shown[1]["experiments"]:
        data = experiment["revs"][0]["data"]
        assert data is not None, experiment
        rate = data["params"]["params.yaml"]["data"]["train"]["learning_rate"]
        found[str(rate)] = experiment["name"]
    return found


@pytest.fixture(scope="module")
def queued(committed: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny study with two experiments that two workers ran side by side; not to be changed."""
    workspace = committed.copy(tmp_path_factory.mktemp("experiments") / "queued")
    workspace.dvc("exp", "run", "--queue", "-S", f"train.learning_rate={','.join(RATES)}")
    temporary = workspace.path.with_name("temporary")  # where processes agree on devices
    temporary.mkdir()
    start = ["env", "CONTEXT_FBR_DEVICE=cpu:0,cpu:1", f"TMPDIR={temporary}"]
    workspace.run(*start, "python", "-m", "dvc", "queue", "start", "-j", "2")
    try:
        wait_for_the_queue(workspace, 400)
    finally:
        workspace.dvc("queue", "stop", "--kill")
    return workspace


def test_each_experiment_trains_each_cell_once_on_the_device_of_its_worker(queued: Workspace) -> None:
    devices = []
    for name in experiments(queued).values():
        log = queued.dvc("queue", "logs", name)
        assert sorted(trainings(log)) == sorted(cells(queued, ("train",)))
        devices.append(set(re.findall(r"^device: (\S+)", log, flags=re.MULTILINE)))
    assert set().union(*devices) == {"cpu:0", "cpu:1"}  # both were used ...
    assert devices[0] != devices[1] or len(devices[0]) == 2  # ... and not both by one of the two


def test_the_table_of_experiments_shows_what_differs_and_nothing_else(queued: Workspace) -> None:
    head, *rows = queued.context_fbr("experiments", "--csv").stdout.splitlines()
    columns = set(head.split(","))
    assert {"train.learning_rate", "spheres.unet.dice_16", "spheres.attention_unet.dice_16"} <= columns
    assert len(columns) <= 12
    for rate in ("0.005", *RATES):
        assert any(f",{rate}" in row for row in rows), (rate, rows)


def test_an_applied_experiment_is_complete_and_a_retyped_one_is_restored_without_training(
    queued: Workspace, tmp_path: Path
) -> None:
    workspace = queued.copy(tmp_path / "applied")
    names = experiments(workspace)
    assert names.keys() == set(RATES)
    difference = workspace.dvc("exp", "diff", "main", names["0.001"])
    assert re.search(r"train\.learning_rate\s+0\.005\s+0\.001", difference)

    workspace.dvc("exp", "apply", names["0.001"])
    assert "learning_rate: 0.001" in (workspace.path / "params.yaml").read_text()
    assert trainings(workspace.dvc("repro")) == []
    assert "up to date" in workspace.dvc("status")
    applied = json.loads((workspace.path / "metrics/spheres/summary.json").read_text())

    # The same number written by hand, in a state that never saw the experiment: the run-cache has it.
    workspace.run("git", "checkout", "-q", "--", ".")
    workspace.edit("params.yaml", "  learning_rate: 0.005", "  learning_rate: 0.001")
    assert trainings(workspace.dvc("repro")) == []
    assert json.loads((workspace.path / "metrics/spheres/summary.json").read_text()) == applied

    workspace.run("git", "checkout", "-q", "--", ".")
    workspace.dvc("exp", "branch", names["0.0003"], "slower")
    workspace.run("git", "checkout", "-q", "slower")
    workspace.dvc("checkout")
    assert "up to date" in workspace.dvc("status")
    changed = workspace.context_fbr("diff", "main", "slower").stdout
    assert "| `train.learning_rate` | 0.005 | 0.0003 |" in changed
    assert "| spheres | UNet | 16 |" in changed
