"""Settings of cores, numbers of patches and overrides by task and model."""

from pathlib import Path

import pytest

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import read_study
from context_fbr.config.training import TrainConfig, location_of, read_training
from context_fbr.core.errors import UserError

SUPPORT = Path(__file__).parents[1] / "support" / "study.yaml"


def document(tmp_path: Path, *changes: tuple[str, str]) -> Document:
    text = SUPPORT.read_text()
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return Document.read(path)


def of_unet(overrides: str) -> tuple[str, str]:
    before = "    num_res_units: 2\n"
    return before, f"{before}    train: {overrides}\n"


def of_spheres(overrides: str) -> tuple[str, str]:
    before = "      epochs: 24\n"
    return before, f"{before}      train: {overrides}\n"


def test_a_model_overrides_its_task_which_overrides_train(tmp_path: Path) -> None:
    changed = document(
        tmp_path,
        of_unet("{learning_rate: 0.25}"),
        of_spheres("{learning_rate: 0.5, batch_volumes: 3}"),
    )
    training = read_training(changed, "spheres", "unet")
    assert (training.learning_rate, training.batch_volumes, training.loss) == (0.25, 3, "dice")
    assert read_training(changed, "spheres", "attention_unet").learning_rate == 0.5
    assert location_of(changed, "spheres", "unet", "learning_rate") == (
        "models",
        "unet",
        "train",
        "learning_rate",
    )
    assert location_of(changed, "spheres", "unet", "batch_volumes")[:2] == ("tasks", "spheres")
    assert location_of(changed, "spheres", "unet", "loss") == ("train", "loss")
    assert read_study(changed).training_of(Cell("spheres", "unet", 16, 1)) == training


def test_cores_and_numbers_of_patches_by_core(tmp_path: Path) -> None:
    changed = document(tmp_path, of_unet("{core: 16, patches_per_volume: {16: 12, 48: 1}}"))
    training = read_training(changed, "spheres", "unet")
    assert [training.core_size(size) for size in (16, 32, 48)] == [16, 16, 16]
    assert [training.inner_core(size) for size in (16, 32, 48)] == [None, 16, 16]
    assert training.patches_of(48) == 12
    plain = read_training(
        document(tmp_path, of_unet("{patches_per_volume: {16: 12, 48: 1}}")), "spheres", "unet"
    )
    assert [plain.patches_of(size) for size in (16, 48)] == [12, 1]
    assert (plain.core, plain.centres) == ("patch", None)


@pytest.mark.parametrize(
    ("overrides", "key", "text"),
    [
        ("{core: 17}", "models.unet.train.core", "17 is larger than the patch, 16"),
        ("{patches_per_volume: {16: 2, 32: 1}}", "models.unet.train.patches_per_volume", "48"),
        ("{core: 0}", "models.unet.train.core", "greater than or equal to 1"),
        ("{centres: []}", "models.unet.train.centres", "at least 1 item"),
        ("{centres: [foreground, rim]}", "models.unet.train.centres.1", "'background'"),
        ("{patches_per_volume: {16: 0}}", "models.unet.train.patches_per_volume", "greater than"),
        ("{threads: 2}", "models.unet.train.threads", "cannot be overridden"),
    ],
)
def test_settings_that_do_not_fit_are_named_with_their_line(
    tmp_path: Path, overrides: str, key: str, text: str
) -> None:
    changed = document(tmp_path, of_unet(overrides))
    lines = changed.path.read_text().splitlines()
    line = next(number for number, own in enumerate(lines, start=1) if overrides in own)
    with pytest.raises(UserError) as error:
        read_study(changed)
    own = [problem for problem in error.value.problems if f"params.yaml:{line}: {key}" in problem]
    assert own
    assert text in own[0]


def test_an_override_of_a_task_is_named_with_its_line(tmp_path: Path) -> None:
    changed = document(tmp_path, of_spheres("{epochs: 3}"))
    with pytest.raises(UserError, match=r"tasks\.spheres\.train\.train\.epochs"):
        read_study(changed)
    changed = document(tmp_path, of_spheres("{validate_every_epochs: 25}"))
    with pytest.raises(UserError, match=r"spheres\.train\.train\.validate_every_epochs: 25 is too many"):
        read_study(changed)


def test_the_stage_refuses_a_core_that_its_patch_does_not_hold(tmp_path: Path) -> None:
    changed = document(tmp_path, of_unet("{core: 32}"))
    assert TrainConfig.read(changed, Cell("spheres", "unet", 48, 1)).train.core_size(48) == 32
    with pytest.raises(UserError, match=r"models\.unet\.train\.core: spheres-unet-16-1: 32 is larger"):
        TrainConfig.read(changed, Cell("spheres", "unet", 16, 1))
