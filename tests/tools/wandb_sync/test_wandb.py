"""Everything is reported to Weights & Biases once: its offline files, read back by its own reader."""

import csv
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import wandb_files
from PIL import Image
from wandb_files import CELL, UNET, Told
from workspace import Workspace

from context_fbr.metrics.columns import SCORES

ATTENTION = "spheres-attention_unet-16-1"
KEYS = (UNET, ATTENTION)
BATCH = 4  # patches a step


@pytest.fixture(scope="module")
def mirrored(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny study with a cell that was computed again and reported to W&B offline."""
    made = finished.copy(tmp_path_factory.mktemp("mirrored") / "study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        made.dvc("repro", "-f", "-s", f"train@{UNET}", f"evaluate@{UNET}")
    return made


@pytest.fixture(scope="module")
def told(mirrored: Workspace) -> dict[str, Told]:
    """What W&B's files hold of it, by cell."""
    return wandb_files.read(mirrored.path)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reports are offline files."""
    monkeypatch.setenv("WANDB_MODE", "offline")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_results_are_the_same_bytes_with_a_mirror_and_without(
    finished: Workspace, mirrored: Workspace
) -> None:
    assert (finished.path / "dvc.lock").read_bytes() == (mirrored.path / "dvc.lock").read_bytes()
    assert not (finished.path / "wandb").exists()
    assert mirrored.run("git", "status", "--porcelain", "--", "wandb").stdout == ""


def test_a_cell_is_one_run_with_its_name_group_and_tags(told: dict[str, Told]) -> None:
    assert set(told) == {UNET}
    assert told[UNET].exit_code == 0
    assert re.fullmatch(r"spheres-[0-9a-f]{6}/unet-[0-9a-f]{4}", told[UNET].run.run_group)
    assert tuple(told[UNET].run.tags) == ("spheres", "patch 16")


def test_the_configuration_holds_parameters_and_provenance(
    mirrored: Workspace, told: dict[str, Told]
) -> None:
    lock, config = mirrored.lock(), told[UNET].config
    assert f"{config['task']}-{config['model']}-{config['patch_size']}-{config['seed']}" == UNET
    params = lock[f"train@{UNET}"]["params"]["params.yaml"]  # type: ignore[index]
    assert config["network"] == params[f"models.{config['model']}"]
    assert config["train"] == params["train"]
    assert config["sliding_window"] == params["sliding_window"]
    assert config["data"]["train"] == params["tasks.spheres.train"]
    for name, stage in (("raw", "raw@spheres"), ("prepared", "prepare@spheres")):
        assert config["hashes"][name] == lock[stage]["outs"][0]["md5"]  # type: ignore[index]
    (code,) = (dep for dep in lock[f"train@{UNET}"]["deps"] if dep["path"] == "data/code/train.json")  # type: ignore[index]
    assert config["hashes"]["code"] == code["md5"]
    revision = mirrored.run("git", "rev-parse", "HEAD").stdout.strip()
    for stage in ("train", "evaluate"):
        assert config[f"provenance_{stage}"]["revision"] == revision


def test_curves_are_those_of_the_tables_on_one_axis_of_steps(
    mirrored: Workspace, told: dict[str, Told]
) -> None:
    own = told[UNET]
    patches = table(mirrored.path / f"metrics/foreground_ratios/spheres/{UNET}.csv")
    history = table(mirrored.path / f"metrics/train/spheres/{UNET}.csv")
    per_epoch = len(patches) // len(history)
    starts = [e * per_epoch + s for e in range(len(history)) for s in range(0, per_epoch, BATCH)]
    ends = [min(start + BATCH, (start // per_epoch + 1) * per_epoch) for start in starts]
    assert own.steps == list(range(1, len(starts) + 2))  # and one for the test
    ratios = [float(row["foreground_ratio"]) for row in patches]
    expected = {i + 1: np.mean(ratios[a:b]) for i, (a, b) in enumerate(zip(starts, ends, strict=True))}
    assert own.values("train/foreground_ratio") == pytest.approx(expected)
    last = [len(starts) // len(history) * (e + 1) for e in range(len(history))]
    for name, column in (
        ("epoch", "epoch"),
        ("train/epoch_loss", "loss"),
        ("train/learning_rate", "learning_rate"),
        ("validation/dice", "validation_dice"),
    ):
        found = {step: value for step, value in own.values(name).items() if step in last}
        assert found == {step: float(row[column]) for step, row in zip(last, history, strict=True)}
    losses = own.values("train/loss")
    assert set(losses) == set(expected)
    of_epoch = np.array([losses[step] for step in sorted(losses)]).reshape(len(history), -1)
    assert of_epoch.mean(axis=1) == pytest.approx([float(row["loss"]) for row in history])
    training = json.loads((mirrored.path / f"models/{UNET}/training.json").read_text())
    best = training["best_validation_dice"], training["best_epoch"]
    at_end = (own.values(f"validation/{name}")[last[-1]] for name in ("best_dice", "best_epoch"))
    assert tuple(at_end) == best
    assert (own.summary["best_dice"], own.summary["best_epoch"]) == best


def test_weights_and_gradients_are_reported_after_each_validation(told: dict[str, Told]) -> None:
    validated = [row for row in told[UNET].rows if "validation/dice" in row]
    assert len(validated) == 2
    for row in validated:
        names = {kind: {n for n in row if n.startswith(kind)} for kind in ("parameters/", "gradients/")}
        assert {n.partition("/")[2] for n in names["parameters/"]} == {
            n.partition("/")[2] for n in names["gradients/"]
        }
        for name in names["parameters/"] | names["gradients/"]:
            assert row[name]["_type"] == "histogram"
            assert len(row[name]["bins"]) == len(row[name]["values"]) + 1
    counted = sum(sum(row[name]["values"]) for name in names["parameters/"])
    config = next(a for a in told[UNET].artifacts if a.type == "model")
    assert counted == json.loads(config.metadata)["network_parameters"]


def test_a_training_case_is_shown_with_label_and_prediction_over_it(
    mirrored: Workspace, told: dict[str, Told]
) -> None:
    entry = [*told[UNET].values("train/example").values()][-1]
    assert set(entry["masks"]) == {"label", "prediction"}
    case = json.loads((mirrored.path / "data/prepared/spheres/cases.json").read_text())["cases"][0]
    label = np.load(mirrored.path / f"data/prepared/spheres/labels/{case['name']}.npy")
    index = label.sum(axis=(0, 1)).argmax()
    with Image.open(told[UNET].file(entry["masks"]["label"])) as shown:
        assert np.array_equal(np.array(shown), label[:, :, index].T[::-1])
    with Image.open(told[UNET].file(entry)) as image:
        assert image.size == label.shape[:2]


def test_the_model_is_an_artifact_and_the_data_are_some_by_their_hash(
    mirrored: Workspace, told: dict[str, Told]
) -> None:
    models = [artifact for artifact in told[UNET].artifacts if artifact.type == "model"]
    assert len(models) == 1
    weights = (mirrored.path / f"models/{UNET}/weights.pt").read_bytes()
    metadata = json.loads(models[0].metadata)
    assert metadata["weights_md5"] == hashlib.md5(weights).hexdigest()
    assert metadata["network"] == told[UNET].config["network"]
    assert [Path(entry.local_path).read_bytes() for entry in models[0].manifest.contents] == [weights]
    data = {a.name: a for a in told[UNET].artifacts if a.type == "dataset"}
    assert set(data) == {"spheres-raw", "spheres-prepared"}
    for kind, stage in (("raw", "raw@spheres"), ("prepared", "prepare@spheres")):
        md5 = mirrored.lock()[stage]["outs"][0]["md5"]  # type: ignore[index]
        assert json.loads(data[f"spheres-{kind}"].metadata)["md5"] == md5
        entries = data[f"spheres-{kind}"].manifest.contents
        assert [entry.ref for entry in entries] == [f"dvc://files/md5/{md5[:2]}/{md5[2:]}"]


def test_test_cases_are_a_table_with_the_published_columns_and_a_picture_a_row(
    mirrored: Workspace, told: dict[str, Told]
) -> None:
    content = told[UNET].table("test/cases")
    assert content["columns"] == [*SCORES, "overlay"]
    scores = table(mirrored.path / f"metrics/test/spheres/{UNET}.csv")
    for row, own in zip(content["data"], scores, strict=True):
        assert row[0] == own["filename"]
        assert row[1:5] == [float(own[name]) if own[name] else None for name in SCORES[1:]]
        assert set(row[5]["masks"]) == {"label", "prediction"}
    last = told[UNET].rows[-1]
    assert last["test/dsc_mean"] == pytest.approx(np.mean([float(own["dsc"]) for own in scores]))
    worst = sorted(scores, key=lambda own: float(own["dsc"]))
    for rank, own in enumerate(worst, start=1):
        assert last[f"test/worst_{rank}"]["caption"].startswith(
            f"{own['filename']}, Dice {float(own['dsc']):.3f}"
        )
        assert told[UNET].file(last[f"test/worst_{rank}"]).is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_what_is_computed_again_is_reported_only_once(
    mirrored: Workspace, told: dict[str, Told], tmp_path: Path
) -> None:
    again = mirrored.copy(tmp_path / "study")
    again.dvc("repro", "-f", "-s", f"train@{UNET}", f"evaluate@{UNET}")
    found = wandb_files.read(again.path)[UNET]
    assert found.folder.name != told[UNET].folder.name  # it was reported in the place of the one before
    assert found.run.run_id == told[UNET].run.run_id
    assert found.steps == told[UNET].steps
    assert [a.type for a in found.artifacts] == [a.type for a in told[UNET].artifacts]


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_finished_cells_are_reported_from_their_files_alone_as_the_live_mirror_would_have(
    finished: Workspace, told: dict[str, Told], tmp_path: Path
) -> None:
    made = finished.copy(tmp_path / "study")
    assert "2 of 2 cells" in made.context_fbr("wandb", "push").stdout
    folders: set[str] = set()
    for _ in range(2):  # pushed once, and again
        pushed = wandb_files.read(made.path)
        assert set(pushed) == set(KEYS)
        assert folders.isdisjoint(each.folder.name for each in pushed.values())
        folders |= {each.folder.name for each in pushed.values()}
        groups = [pushed[key].run.run_group.partition("/") for key in KEYS]
        assert groups[0][0] == groups[1][0]
        assert [group[2].rpartition("-")[0] for group in groups] == ["unet", "attention_unet"]
        for key in KEYS:
            own, live = pushed[key], told.get(key, pushed[key])
            assert own.run.run_id == live.run.run_id
            assert own.run.run_group == live.run.run_group
            assert own.steps == live.steps
            for name in ("train/foreground_ratio", "train/epoch_loss", "validation/dice", "test/dsc_mean"):
                assert own.values(name) == live.values(name)
            assert {(a.type, a.digest) for a in own.artifacts} == {(a.type, a.digest) for a in live.artifacts}
            assert own.table("test/cases")["data"] == live.table("test/cases")["data"]
        made.context_fbr("wandb", "push")


@pytest.mark.usefixtures("offline")
@pytest.mark.slow
def test_an_evaluation_reports_a_training_that_was_not_reported(
    finished: Workspace, told: dict[str, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = finished.copy(tmp_path / "study")
    monkeypatch.setenv("DVC_EXP_NAME", "bold-name")
    made.stage("evaluate", *CELL)
    own = wandb_files.read(made.path)[UNET]
    made_by = json.loads((made.path / f"metrics/provenance/train/{UNET}.json").read_text())
    assert own.config["provenance_train"]["started"] == made_by["started"]
    assert own.config["experiment"] == "bold-name"
    assert own.steps == told[UNET].steps
    assert {a.type for a in own.artifacts} == {"model", "dataset", "run_table"}


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_cells_that_cannot_be_pushed_are_named_together(finished: Workspace, tmp_path: Path) -> None:
    made = finished.copy(tmp_path / "study")
    (made.path / f"metrics/test/spheres/{UNET}.csv").unlink()
    assert refused(made, UNET) == [f"{UNET}: metrics/test/spheres/{UNET}.csv"]
    assert "1 of 2 cells" in made.context_fbr("wandb", "push").stdout
    made.edit("params.yaml", "  learning_rate: 0.005", "  learning_rate: 0.006")
    missing, changed = refused(made, "*")
    assert missing.startswith(f"{UNET}: metrics/test")
    assert re.match(rf"{ATTENTION}: .* dvc.lock .*\btrain\b", changed)


def refused(workspace: Workspace, cells: str) -> list[str]:
    """Return what `wandb push` names: the cell, and what is missing or differs."""
    lines = workspace.context_fbr("wandb", "push", cells, expect=1).stderr.splitlines()
    errors = [
        line.removeprefix("error: ") for line in lines if f"{UNET}: " in line or f"{ATTENTION}: " in line
    ]
    return [error.partition(": not found")[0].partition("; ")[0] for error in errors]


@pytest.mark.slow
def test_results_of_another_commit_or_half_of_a_cell_are_not_pushed(
    finished: Workspace, tmp_path: Path
) -> None:
    made = finished.copy(tmp_path / "study")
    for name in ("weights.pt", "training.json"):
        (made.path / f"models/{UNET}/{name}").unlink()
        shutil.copy(made.path / f"models/{ATTENTION}/{name}", made.path / f"models/{UNET}/{name}")
    assert re.match(rf"{UNET}: .*models/{UNET}$", refused(made, UNET)[0])
    made.edit("params.yaml", "  learning_rate: 0.005", "  learning_rate: 0.006")
    with (made.path / "src/context_fbr/training/steps.py").open("a") as file:
        file.write("ANOTHER = 1\n")
    (differs,) = refused(made, UNET)
    for name in ("params.yaml: train", f"models/{UNET}", "src/context_fbr/training/steps.py"):
        assert name in differs
    made.run("git", "checkout", "src")
    made.dvc("repro", "-s", f"train@{UNET}")
    assert f"models/{UNET}" in refused(made, UNET)[0]  # the evaluation is of the training before
    assert not (made.path / "wandb").exists()


@pytest.mark.slow
def test_an_invalid_mode_or_folder_is_a_warning(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = finished.copy(tmp_path / "study")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert "WANDB_MODE is 'disabled'" in made.context_fbr("wandb", "push", expect=1).stderr
    monkeypatch.setenv("WANDB_MODE", "ofline")
    said = made.stage("train", *CELL).stderr
    assert "WANDB_MODE is 'ofline'" in said
    assert not (made.path / "wandb").exists()
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", "params.yaml")
    assert f"warning: {UNET}: W&B: NotADirectoryError" in made.stage("train", *CELL).stderr


@pytest.mark.slow
def test_without_wandb_mode_nothing_of_it_is_imported(finished: Workspace, tmp_path: Path) -> None:
    made = finished.copy(tmp_path / "study")
    script = (
        "import sys; from context_fbr.train import main; main(['spheres', 'unet', '16', '1']);"
        "assert not [name for name in sys.modules if name.startswith(('wandb', 'context_fbr_tools'))]"
    )
    made.run(sys.executable, "-c", script)


PARSES = """
import ast, sys, threading
found = []
def hook(event, arguments):
    if event == "compile" and threading.current_thread() is not threading.main_thread():
        if sys._getframe(1).f_code.co_filename == ast.__file__:
            found.append(sys._getframe(3).f_code.co_filename)
sys.addaudithook(hook)
from context_fbr.train import main
main(["spheres", "unet", "16", "1"])
assert not found, set(found)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_the_thread_of_the_mirror_parses_no_python(finished: Workspace, tmp_path: Path) -> None:
    """The training parses its own code, and two threads in `ast.parse` fail in Python 3.11."""
    made = finished.copy(tmp_path / "study")
    made.run(sys.executable, "-c", PARSES)
    assert list((made.path / "wandb").glob("context-fbr/*/*.npz"))
