"""Weights & Biases is told everything, once, and can change nothing: read back from its own files."""

import csv
import hashlib
import json
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import wandb_files
from conftest import TINY
from PIL import Image
from pipeline import Workspace
from slurm_cluster import wait_for
from wandb_files import Told
from wandb_server import Way, wandb_server

from context_fbr.score_columns import SCORES

UNET, ATTENTION = "spheres-unet-16-1", "spheres-attention_unet-16-1"
KEYS = (UNET, ATTENTION)
BATCH = 4  # patches a step


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny study, computed without W&B."""
    made = Workspace.make(tmp_path_factory.mktemp("plain") / "study", TINY)
    made.repro()
    return made


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny study, of which W&B was told offline."""
    made = Workspace.make(tmp_path_factory.mktemp("mirrored") / "study", TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        made.repro()
    return made


@pytest.fixture(scope="module")
def told(mirrored: Workspace) -> list[Told]:
    """What W&B's files hold of it."""
    return wandb_files.read(mirrored.path)


def runs(told: list[Told]) -> dict[str, str]:
    """The id of each cell's run."""
    found = defaultdict(set)
    for each in told:
        found[each.run.display_name].add(each.run.run_id)
    assert all(len(ids) == 1 for ids in found.values())  # one run a cell
    return {key: ids.pop() for key, ids in found.items()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same_results(workspace: Workspace, other: Workspace) -> bool:
    return (workspace.path / "dvc.lock").read_bytes() == (other.path / "dvc.lock").read_bytes()


def test_results_are_the_same_bytes_with_a_mirror_and_without(plain: Workspace, mirrored: Workspace) -> None:
    assert same_results(plain, mirrored)
    assert not (plain.path / "wandb").exists()


def test_each_cell_is_one_run_with_its_name_group_and_tags(mirrored: Workspace, told: list[Told]) -> None:
    assert set(runs(told)) == set(KEYS)
    assert len(told) == 4  # a training and an evaluation each
    assert {each.exit_code for each in told} == {0}
    groups = {each.run.display_name: each.run.run_group for each in told}
    assert groups[UNET].endswith("/unet")
    assert groups[ATTENTION].endswith("/attention_unet")
    assert {tuple(each.run.tags) for each in told} == {("spheres", "patch 16")}


def test_the_configuration_holds_parameters_and_provenance(mirrored: Workspace, told: list[Told]) -> None:
    lock = mirrored.lock()
    for each in told:
        config = each.config
        key = f"{config['task']}-{config['model']}-{config['patch_size']}-{config['seed']}"
        assert key == config["cell"] == each.run.display_name
        params = lock[f"train@{key}"]["params"]["params.yaml"]
        assert config["network"] == params[f"networks.{config['model']}"]
        assert config["train"] == params["train"]
        assert config["data"]["train"] == params["tasks.spheres.train"]
        provenance = config["provenance"]
        assert provenance["revision"] == mirrored.run("git", "rev-parse", "HEAD").stdout.strip()
        assert provenance["prepared_data"] == lock["prepare@spheres"]["outs"][0]["md5"]
        assert provenance["code"] == lock["code_train"]["outs"][0]["md5"]


@pytest.mark.parametrize("key", KEYS)
def test_curves_are_those_of_the_tables_on_one_axis_of_steps(
    mirrored: Workspace, told: list[Told], key: str
) -> None:
    run = runs(told)[key]
    patches = table(mirrored.path / f"metrics/foreground_ratios/{key}.csv")
    history = table(mirrored.path / f"metrics/train/{key}.csv")
    per_epoch = len(patches) // len(history)
    starts = [e * per_epoch + s for e in range(len(history)) for s in range(0, per_epoch, BATCH)]
    ends = [min(start + BATCH, (start // per_epoch + 1) * per_epoch) for start in starts]
    assert wandb_files.steps(told, run) == list(range(1, len(starts) + 2))  # and one for the test
    ratios = [float(row["foreground_ratio"]) for row in patches]
    expected = {i + 1: np.mean(ratios[a:b]) for i, (a, b) in enumerate(zip(starts, ends, strict=True))}
    assert wandb_files.values(told, run, "train/foreground_ratio") == pytest.approx(expected)
    losses = wandb_files.values(told, run, "train/loss")
    assert set(losses) == set(expected)
    last = [len(starts) // len(history) * (e + 1) for e in range(len(history))]
    for name, column in (
        ("train/epoch_loss", "loss"),
        ("train/learning_rate", "learning_rate"),
        ("validation/dice", "validation_dice"),
    ):
        found = wandb_files.values(told, run, name)
        assert found == {step: float(row[column]) for step, row in zip(last, history, strict=True)}
    of_epoch = np.array([losses[step] for step in sorted(losses)]).reshape(len(history), -1)
    assert of_epoch.mean(axis=1) == pytest.approx([float(row["loss"]) for row in history])
    training = json.loads((mirrored.path / f"models/{key}/training.json").read_text())
    best = wandb_files.values(told, run, "validation/best_dice")[last[-1]]
    assert best == training["best_validation_dice"]
    assert wandb_files.values(told, run, "validation/best_epoch")[last[-1]] == training["best_epoch"]


@pytest.mark.parametrize("key", KEYS)
def test_weights_and_gradients_are_told_after_each_validation(told: list[Told], key: str) -> None:
    rows = [row for each in told if each.run.display_name == key for row in each.rows]
    validated = [row for row in rows if "validation/dice" in row]
    assert validated
    for row in validated:
        kinds = {name.partition("/")[0] for name in row}
        assert {"parameters", "gradients"} <= kinds
        weights = {name[len("parameters/") :] for name in row if name.startswith("parameters/")}
        assert weights == {name[len("gradients/") :] for name in row if name.startswith("gradients/")}
        for name, value in row.items():
            if name.startswith(("parameters/", "gradients/")):
                assert value["_type"] == "histogram"
                assert sum(value["values"]) > 0


@pytest.mark.parametrize("key", KEYS)
def test_a_training_case_is_shown_with_label_and_prediction_over_it(
    mirrored: Workspace, told: list[Told], key: str
) -> None:
    each, entry = next(
        (each, row["train/example"])
        for each in reversed(told)
        if each.run.display_name == key
        for row in reversed(each.rows)
        if "train/example" in row
    )
    assert set(entry["masks"]) == {"label", "prediction"}
    case = json.loads((mirrored.path / "data/prepared/spheres/cases.json").read_text())["cases"][0]
    label = np.load(mirrored.path / f"data/prepared/spheres/labels/{case['name']}.npy")
    index = label.sum(axis=(0, 1)).argmax()
    shown = np.array(Image.open(each.file(entry["masks"]["label"])))
    assert np.array_equal(shown, label[:, :, index].T[::-1])
    assert np.array(Image.open(each.file(entry))).shape[:2] == shown.shape


@pytest.mark.parametrize("key", KEYS)
def test_the_model_is_an_artifact_and_the_data_are_one_by_their_hash(
    mirrored: Workspace, told: list[Told], key: str
) -> None:
    own = [each for each in told if each.run.display_name == key]
    models = [artifact for each in own for artifact in each.artifacts if artifact.type == "model"]
    assert len(models) == 1
    weights = (mirrored.path / f"models/{key}/weights.pt").read_bytes()
    metadata = json.loads(models[0].metadata)
    assert metadata["weights_md5"] == hashlib.md5(weights).hexdigest()
    training = json.loads((mirrored.path / f"models/{key}/training.json").read_text())
    assert metadata["network_parameters"] == training["network_parameters"]
    data = {a.name: a for each in own for a in each.artifacts if a.type == "dataset"}
    assert set(data) == {"spheres-raw", "spheres-prepared"}
    recorded = mirrored.lock()["raw@spheres"]["outs"][0]["md5"]
    assert json.loads(data["spheres-raw"].metadata)["md5"] == recorded
    entries = data["spheres-raw"].manifest.contents
    assert [entry.ref for entry in entries] == [f"dvc://files/md5/{recorded[:2]}/{recorded[2:]}"]


@pytest.mark.parametrize("key", KEYS)
def test_test_cases_are_a_table_with_the_published_columns_and_a_picture_a_row(
    mirrored: Workspace, told: list[Told], key: str
) -> None:
    each, row = next(
        (each, row)
        for each in told
        if each.run.display_name == key
        for row in each.rows
        if "test/cases" in row
    )
    content = json.loads(each.file(row["test/cases"]).read_text())
    assert content["columns"] == [*SCORES, "overlay"]
    scores = table(mirrored.path / f"metrics/test/{key}.csv")
    for told_row, own in zip(content["data"], scores, strict=True):
        assert told_row[0] == own["filename"]
        assert told_row[1:5] == [float(own[name]) if own[name] else None for name in SCORES[1:]]
        assert set(told_row[5]["masks"]) == {"label", "prediction"}
        assert each.file(told_row[5]).is_file()
    assert row["test/dsc_mean"] == pytest.approx(np.mean([float(own["dsc"]) for own in scores]))
    worst = row["test/worst_cases"]
    order = sorted(scores, key=lambda own: float(own["dsc"]))
    assert [caption.split(",")[0] for caption in worst["captions"]] == [own["filename"] for own in order]


def test_what_is_computed_again_is_told_only_once(
    mirrored: Workspace, told: list[Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = mirrored.copy(tmp_path / "study")
    monkeypatch.setenv("WANDB_MODE", "offline")
    again.dvc("repro", "-f", "-s", f"train@{UNET}", f"evaluate@{UNET}")
    new = wandb_files.read(again.path)[len(told) :]
    assert len(new) == 2
    assert {each.run.run_id for each in new} == {runs(told)[UNET]}
    assert [row for each in new for row in each.rows] == []
    assert [artifact for each in new for artifact in each.artifacts] == []


def test_finished_cells_are_told_from_their_files_alone_and_only_once(
    plain: Workspace, told: list[Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain.copy(tmp_path / "study")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "2 of 2 cells: W&B knows them" in made.context_fbr("wandb", "push").stdout
    pushed = wandb_files.read(made.path)
    for key in KEYS:
        run = runs(told)[key]
        assert runs(pushed)[key] == run  # the one that a live mirror would have had
        assert wandb_files.steps(pushed, run) == wandb_files.steps(told, run)
        for name in ("train/foreground_ratio", "train/epoch_loss", "validation/dice", "validation/best_dice"):
            assert wandb_files.values(pushed, run, name) == wandb_files.values(told, run, name)
        assert {a.digest for e in pushed if e.run.run_id == run for a in e.artifacts} == {
            a.digest for e in told if e.run.run_id == run for a in e.artifacts
        }
    made.context_fbr("wandb", "push", UNET)
    new = wandb_files.read(made.path)[len(pushed) :]
    assert [len(each.rows) + len(each.artifacts) for each in new] == [0]


def test_a_cell_that_is_not_finished_is_named_if_somebody_asked_for_it(
    plain: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain.copy(tmp_path / "study")
    (made.path / f"metrics/test/{UNET}.csv").unlink()
    monkeypatch.setenv("WANDB_MODE", "offline")
    said = made.context_fbr("wandb", "push", UNET, expect=1).stderr
    assert f"error: {UNET}: metrics/test/{UNET}.csv: not found; `dvc repro evaluate@{UNET}`" in said
    assert "1 of 2 cells: W&B knows them" in made.context_fbr("wandb", "push").stdout
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert "needs online" in made.context_fbr("wandb", "push", expect=1).stderr


def test_without_wandb_mode_nothing_of_it_is_imported(plain: Workspace) -> None:
    script = (
        "import sys; from context_fbr.train import main; main(['spheres', 'unet', '16', '1']);"
        "assert not [name for name in sys.modules if name.startswith(('wandb', 'context_fbr.mirror'))]"
    )
    plain.run(sys.executable, "-c", script)


def test_an_unknown_mode_is_told_and_the_cell_computed(
    plain: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain.copy(tmp_path / "study")
    monkeypatch.setenv("WANDB_MODE", "ofline")
    said = made.run(sys.executable, "-m", "context_fbr.train", "spheres", "unet", "16", "1").stderr
    assert "WANDB_MODE is 'ofline', expected online, offline or disabled" in said
    assert not (made.path / "wandb").exists()


@pytest.fixture
def untrained(plain: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """The study with one cell to compute again."""
    made = plain.copy(tmp_path / "study")
    for path in (f"models/{UNET}", f"metrics/train/{UNET}.csv", f"metrics/foreground_ratios/{UNET}.csv"):
        target = made.path / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    yield made
    assert (made.path / f"models/{UNET}/weights.pt").read_bytes() == (
        plain.path / f"models/{UNET}/weights.pt"
    ).read_bytes()
    for kind in ("train", "foreground_ratios"):
        name = f"metrics/{kind}/{UNET}.csv"
        assert (made.path / name).read_bytes() == (plain.path / name).read_bytes()


TRAIN = (sys.executable, "-m", "context_fbr.train", "spheres", "unet", "16", "1")


def test_a_server_that_answers_is_told_every_step(
    untrained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server("answers") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        assert "warning" not in untrained.run(*TRAIN).stderr
        told_steps = [row["_step"] for row in server.rows]
    assert told_steps == sorted(set(told_steps))
    patches = table(untrained.path / f"metrics/foreground_ratios/{UNET}.csv")
    epochs = len({row["epoch"] for row in patches})
    assert len(told_steps) == epochs * -(-len(patches) // epochs // BATCH)


@pytest.mark.parametrize(
    "way",
    [
        "refuses",
        "401",
        pytest.param("500", marks=pytest.mark.slow),
        pytest.param("hangs", marks=pytest.mark.slow),
        pytest.param("hangs later", marks=pytest.mark.slow),
    ],
)
def test_a_server_that_fails_is_a_warning_and_the_results_are_the_same(
    untrained: Workspace, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    with wandb_server(way) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        said = untrained.run(*TRAIN).stderr
    assert f"warning: {UNET}: W&B: " in said
    assert f"`context-fbr wandb push {UNET}` tells W&B later" in said
    assert "Traceback" not in said


def test_a_service_that_is_killed_is_a_warning_and_the_results_are_the_same(
    untrained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    script = (
        "import psutil, sys\n"
        "from context_fbr import cell_training, train\n"
        "usual = cell_training.write\n"
        "def write(*arguments):\n"
        "    for process in psutil.Process().children(recursive=True):\n"
        "        process.kill()\n"
        "    return usual(*arguments)\n"
        "cell_training.write = write\n"
        "train.main(['spheres', 'unet', '16', '1'])\n"
    )
    said = untrained.run(sys.executable, "-c", script).stderr
    assert f"warning: {UNET}: W&B: " in said


def test_a_training_that_was_killed_goes_on_in_the_same_run(
    plain: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plain.copy(tmp_path / "study")
    made.edit("params.yaml", "epochs: 2\n", "epochs: 12\n")
    made.edit("params.yaml", "save_every_minutes: 1", "save_every_minutes: 0")
    monkeypatch.setenv("WANDB_MODE", "offline")
    log = tmp_path / "log"
    import subprocess

    with log.open("w") as file:
        process = subprocess.Popen(
            TRAIN, cwd=made.path, env=made.environment(), stdout=file, stderr=subprocess.STDOUT
        )
    wait_for(lambda: "epoch 5/" in log.read_text(), 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "goes on in epoch" in made.run(*TRAIN).stdout
    told = wandb_files.read(made.path)
    assert len(told) == 2
    assert len({each.run.run_id for each in told}) == 1
    found = wandb_files.steps(told, told[0].run.run_id)
    assert set(found) == set(range(1, 12 * 2 + 1))
