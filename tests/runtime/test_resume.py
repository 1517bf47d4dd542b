"""Killed and started again, a cell ends with the same bytes; a torn or foreign state is never resumed."""

import hashlib
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from small_disk import fill, small_disk
from stage_server import Ended, StageServer, serve
from workspace import ROOT, TINY

from context_fbr.config import profiles
from context_fbr.config.cell import Cell
from context_fbr.core.errors import StoppedError
from context_fbr.runtime import resume
from context_fbr.runtime.resume import CheckpointDir
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training import checkpoint
from context_fbr.training.loop import TrainingState
from context_fbr.training.steps import Step

MODELS = ["unet", "attention_unet", "unetr"]
EPOCHS = 8
SMALLER = {
    "hidden_size: 192": "hidden_size: 48",
    "mlp_dim: 768": "mlp_dim: 96",
    "num_heads: 6": "num_heads: 3",
}
OFTEN, SELDOM = "save_every_minutes: 0 ", "save_every_minutes: 1 "


def cell_of(model: str) -> Cell:
    return Cell("spheres", model, 16, 1)


def arguments_of(cell: Cell) -> list[str]:
    return [cell.task, cell.model, str(cell.patch_size), str(cell.seed)]


@dataclass(frozen=True)
class Study:
    """A prepared tiny study, and what its cells come to when no one interrupts them."""

    server: StageServer
    known: dict[str, dict[str, str]]
    """Hash of every result of a model's cell, of those that were asked for."""
    seconds: dict[tuple[str, str], float]
    """Of a stage and a model, saving after every step."""

    def truth(self, model: str) -> dict[str, str]:
        """Hash of every result of a model's cell that no one interrupted, with and without saving."""
        if model not in self.known:
            for setting in (SELDOM, OFTEN):
                self.forget()
                self.edit(OFTEN, setting)
                for stage in ("train", "evaluate"):
                    ended = self.run(stage, model)
                    assert ended.status == 0, ended.said
                    self.seconds[stage, model] = ended.seconds
                found = self.results(model)
                assert self.known.setdefault(model, found) == found  # saving decides no bit
                assert self.states() == []  # a finished cell leaves no state behind
            self.forget()
        return self.known[model]

    def run(self, stage: str, model: str, **options: object) -> Ended:
        return self.server.run(stage, *arguments_of(cell_of(model)), **options)  # type: ignore[arg-type]

    @property
    def resume(self) -> Path:
        return self.server.folder / ".dvc" / "tmp" / "resume"

    def results(self, model: str, stages: tuple[str, ...] = ("train", "evaluate")) -> dict[str, str]:
        """Hashes of what the stages of a cell left; what made them (provenance) is new every time."""
        cell, found = cell_of(model), {}
        paths = {
            "train": (cell.weights.parent, cell.history, cell.foreground_ratios),
            "evaluate": (cell.scores, cell.predictions),
        }
        for path in (path for stage in stages for path in paths[stage]):
            whole = self.server.folder / path
            for file in sorted(whole.rglob("*")) if whole.is_dir() else [whole]:
                name = file.relative_to(self.server.folder).as_posix()
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def forget(self) -> None:
        """Remove all results and all unfinished work, and save after every step."""
        for name in ("models", "metrics", "data/predictions", ".dvc"):
            shutil.rmtree(self.server.folder / name, ignore_errors=True)
        self.edit(SELDOM, OFTEN)

    def edit(self, before: str, after: str) -> None:
        path = self.server.folder / "params.yaml"
        path.write_text(path.read_text().replace(before, after))

    def states(self) -> list[Path]:
        return sorted(path for path in self.resume.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("resume")
    shutil.copy(ROOT / "tests" / "support" / "study.yaml", folder / "params.yaml")
    profiles.apply_overlay(TINY, folder / "params.yaml")
    text = (folder / "params.yaml").read_text().replace("      epochs: 2", f"      epochs: {EPOCHS}")
    for before, after in SMALLER.items():
        assert before in text
        text = text.replace(before, after)
    (folder / "params.yaml").write_text(text)
    code = folder / "src"  # a copy: someone who edits the code while tests run changes no digest
    shutil.copytree(ROOT / "src", code, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    with serve(folder, PYTHONPATH=str(code)) as server:
        for stage in ("raw", "prepare"):
            assert server.run(stage, "spheres").status == 0
        study = Study(server, {}, {})
        study.forget()
        yield study


@pytest.fixture
def study(whole: Study) -> Study:
    whole.truth("unet")
    whole.forget()
    return whole


def finish(study: Study, stage: str, model: str) -> str:
    ended = study.run(stage, model)
    assert ended.status == 0, ended.said
    return ended.said


def kill_at_random(study: Study, model: str, stages: tuple[str, ...], kills: int, seed: int) -> None:
    """Kill runs of a cell at uniformly random times and start them again.

    A cell that ends before it is killed is held against the truth and run again. By chance no training may
    resume, so there is one more kill, in a later save.
    """
    study.truth(model)
    chance, went_on, done = random.Random(seed), 0, 0
    while done < kills:
        for stage in stages:
            status = -1
            while status:
                after = chance.uniform(0, study.seconds[stage, model]) if done < kills else None
                ended = study.run(stage, model, kill_after_s=after)
                went_on += "resumes in epoch" in ended.said
                status = ended.status
                assert status in (0, -signal.SIGKILL), ended.said
                done += status != 0
        finish(study, "evaluate", model)
        assert study.results(model) == study.truth(model)
        assert study.states() == []
        study.forget()
    print(f"{model}: seed {seed}, {done} kills, {went_on} runs went on from a saved training")
    assert study.run("train", model, kill_at=("replace", 7)).status == -signal.SIGKILL
    assert "resumes in epoch" in finish(study, "train", model)
    finish(study, "evaluate", model)
    assert study.results(model) == study.truth(model)
    study.forget()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet", *(pytest.param(m, marks=pytest.mark.long) for m in MODELS[1:])])
def test_killed_many_times_a_cell_ends_with_the_same_bytes(study: Study, model: str) -> None:
    kill_at_random(study, model, ("train", "evaluate"), kills=3, seed=int(time.time()))


@pytest.mark.slow
def test_killed_inside_of_a_save_a_training_resumes_from_the_state_before(study: Study) -> None:
    """In the middle of a file, and before and between the renames that put it in its place."""
    model = "unet"
    for call, number in (("fsync", 5), ("replace", 5), ("replace", 4), ("fsync", 2), ("replace", 7)):
        ended = study.run("train", model, kill_at=(call, number))
        assert ended.status == -signal.SIGKILL, ended.said
        assert study.states()
    assert "resumes in epoch" in finish(study, "train", model)
    finish(study, "evaluate", model)
    assert study.results(model) == study.truth(model)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(2, 3), (4,)])
def test_killed_inside_of_a_save_an_evaluation_keeps_the_cases_before(
    study: Study, numbers: tuple[int, ...]
) -> None:
    finish(study, "train", "unet")
    for number in numbers:
        assert study.run("evaluate", "unet", kill_at=("fsync", number)).status == -signal.SIGKILL
        output = finish(study, "evaluate", "unet")
        assert ("2 of 3 cases were evaluated before" in output) == (number == 4)
        assert study.results("unet") == study.truth("unet")
        assert study.states() == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_exits_with_a_status_to_requeue_on(study: Study, number: signal.Signals) -> None:
    study.edit(OFTEN, SELDOM)
    ended = study.run("train", "unet", send=(number, "epoch 2/"))
    assert ended.status == 75, ended.said
    assert f"stopped by {number.name}; the same command resumes" in ended.said
    assert "resumes in epoch" in finish(study, "train", "unet")
    finish(study, "evaluate", "unet")
    assert study.results("unet") == study.truth("unet")


def interrupted(study: Study) -> tuple[Path, Path]:
    """A training that was killed in its fifth save: its newest and its previous state.

    The saves before: begin, after two steps, after the validated volume.
    """
    assert study.run("train", "unet", kill_at=("replace", 9)).status == -signal.SIGKILL
    found = (path for path in study.states() if path.name in ("newest", "previous"))
    previous, newest = sorted(found, key=lambda path: path.stat().st_mtime_ns)[-2:]
    return newest, previous


@pytest.mark.slow
def test_a_state_cut_at_any_length_is_reported_and_the_previous_one_is_used(study: Study) -> None:
    newest, _ = interrupted(study)
    kept = newest.parents[1]
    backup = shutil.copytree(kept, study.server.folder / "backup")
    size = newest.stat().st_size
    chance = random.Random(6)
    for length in (chance.randrange(size) for _ in range(4)):
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(backup, kept)
        with newest.open("r+b") as file:
            file.truncate(length)
        said = finish(study, "train", "unet")
        assert f"cannot resume from {newest.relative_to(study.server.folder)}: is torn" in said
        assert "resumes in epoch 1 after step 2" in said
        assert study.results("unet", ("train",)).items() <= study.truth("unet").items()
    shutil.rmtree(backup)


@pytest.mark.slow
def test_a_torn_state_does_not_replace_the_good_one(study: Study) -> None:
    """Killed again before anything new was saved, a training still resumes from the state that was used."""
    newest, _ = interrupted(study)
    newest.write_bytes(newest.read_bytes()[:-1])
    for number in (1, 2):
        ended = study.run("train", "unet", kill_at=("fsync", 2))  # 1 is inputs.json, 2 the first save
        assert ended.status == -signal.SIGKILL
        assert "resumes in epoch 1 after step 2" in ended.said, number
    assert "resumes in epoch 1 after step 2" in finish(study, "train", "unet")
    assert study.results("unet", ("train",)).items() <= study.truth("unet").items()


@pytest.mark.slow
def test_a_training_resumes_after_a_change_of_what_to_do_with_bad_numbers(study: Study) -> None:
    interrupted(study)
    study.edit("on_nonfinite: stop", "on_nonfinite: skip")
    try:
        assert "resumes in epoch 1 after step 2" in finish(study, "train", "unet")
    finally:
        study.edit("on_nonfinite: skip", "on_nonfinite: stop")


@pytest.mark.slow
def test_with_both_states_torn_a_training_starts_from_the_beginning(study: Study) -> None:
    for path in interrupted(study):
        path.write_bytes(path.read_bytes()[:-7] + b"garbage")
    said = finish(study, "train", "unet")
    assert said.count("is torn: it is not what was written") == 2
    assert "starts from the beginning" in said
    finish(study, "evaluate", "unet")
    assert study.results("unet") == study.truth("unet")


@pytest.mark.slow
def test_a_state_of_other_parameters_data_or_code_is_not_resumed(study: Study, tmp_path: Path) -> None:
    """The log names what differs; copied by hand into the place of ours, a state is refused, too."""
    folder = study.server.folder
    params, volume = folder / "params.yaml", folder / "data/prepared/spheres/images/spheres_000.npy"
    before = params.read_text(), volume.read_bytes()
    newest, _ = interrupted(study)
    foreign = newest.read_bytes()
    shutil.rmtree(study.resume)

    params.write_text(before[0].replace("learning_rate: 0.005", "learning_rate: 0.004"))
    interrupted(study)
    params.write_text(before[0])
    voxels = np.load(volume)
    np.save(volume, voxels[::-1])
    interrupted(study)
    volume.write_bytes(before[1])
    other_code = shutil.copytree(folder / "src", tmp_path / "src")
    with (other_code / "context_fbr" / "core" / "padding.py").open("a") as file:
        file.write("A_CHANGE = 1\n")
    with serve(folder, PYTHONPATH=str(other_code)) as server:
        assert server.run("train", *arguments_of(cell_of("unet")), kill_at=("replace", 9)).status < 0
    said = finish(study, "train", "unet")
    assert "goes on in" not in said
    for what in ("parameters", "data", "code"):
        assert f"is not used, it differs in {what}; `context-fbr prune` removes it" in said
    assert study.results("unet", ("train",)).items() <= study.truth("unet").items()

    ours, _ = (path for path in interrupted(study))
    ours.write_bytes(foreign.replace(f"training {checkpoint.FORMAT} ".encode(), b"training 9 ", 1))
    said = finish(study, "train", "unet")
    assert f"newest: has format 9, expected {checkpoint.FORMAT}" in said
    ours, _ = interrupted(study)
    words = foreign.split(b" ", 4)
    words[3] = b"0" * 64
    ours.write_bytes(b" ".join(words))
    assert "newest: is of other parameters, data, code or device" in finish(study, "train", "unet")
    assert study.results("unet", ("train",)).items() <= study.truth("unet").items()


@pytest.mark.slow
def test_an_evaluated_case_of_other_data_is_evaluated_again(study: Study) -> None:
    volume = study.server.folder / "data/prepared/spheres/labels/spheres_004.npy"
    before = volume.read_bytes()
    finish(study, "train", "unet")
    np.save(volume, np.load(volume)[::-1])
    assert study.run("evaluate", "unet", kill_at=("fsync", 4)).status == -signal.SIGKILL
    volume.write_bytes(before)
    said = finish(study, "evaluate", "unet")
    assert "evaluates spheres_004 again" in said
    assert "is of other data" in said
    assert "1 of 3 cases were evaluated before" in said
    assert study.results("unet") == study.truth("unet")


@pytest.mark.slow
def test_two_trainings_of_a_cell_cannot_run_at_once_and_the_lock_of_a_dead_one_is_taken_over(
    study: Study,
) -> None:
    folder = study.server.folder
    with serve(folder, PYTHONPATH=str(folder / "src")) as server:
        cell = cell_of("unet")
        first = Thread(target=lambda: server.run("train", *arguments_of(cell), log="first.log"))
        first.start()
        lock = folder / f".dvc/tmp/context-fbr/locks/train-{cell.key}.lock"
        while not lock.exists() or not lock.read_text():
            time.sleep(0.01)
        second = study.run("train", "unet")
        assert second.status == 1
        assert f"error: {cell.key}: train runs already in this workspace, by process " in second.said
        first.join()
    assert study.run("train", "unet", kill_at=("fsync", 5)).status == -signal.SIGKILL
    assert lock.exists()
    assert f"{lock.name}: taken over from process " in finish(study, "train", "unet")
    assert not lock.exists()
    assert study.results("unet", ("train",)).items() <= study.truth("unet").items()


@pytest.mark.slow
def test_a_full_disk_while_work_is_saved_is_one_error_and_the_old_state_is_resumed(
    study: Study, tmp_path: Path
) -> None:
    folder = study.server.folder
    with small_disk(tmp_path / "disk", "8m") as disk:

        def run(stage: str, **options: object) -> Ended:
            return study.run(stage, "unet", environment={"CONTEXT_FBR_RESUME": str(disk)}, **options)

        assert run("train", kill_at=("replace", 9), kill_in=str(disk)).status < 0
        kept = {path: path.read_bytes() for path in disk.rglob("*") if path.name in ("newest", "previous")}
        assert len(kept) == 2
        filler = fill(disk)
        full = run("train")
        assert full.status == 1
        assert "could not be written: No space left on device" in full.said
        assert "Traceback" not in full.said
        assert not (folder / cell_of("unet").weights).exists()
        assert next(iter(disk.rglob("previous"))).read_bytes() in kept.values()
        filler.unlink()
        assert "resumes in epoch 1 after step 2" in run("train").said
        filler = fill(disk)
        full = run("evaluate")
        assert (full.status, full.said.count("No space left on device")) == (1, 1)
        assert "Traceback" not in full.said
        assert not (folder / cell_of("unet").predictions).exists()
        filler.unlink()
        assert run("evaluate").status == 0
        assert [path for path in disk.rglob("*") if path.is_file()] == []
    assert study.results("unet") == study.truth("unet")


def test_the_digest_of_a_volume_is_another_for_whatever_a_training_sees_of_it() -> None:
    image, label = np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.zeros((2, 3, 4), np.uint8)
    other_image, other_label = image.copy(), label.copy()
    other_image[1, 2, 3] += 1e-6 * other_image[1, 2, 3]
    other_label[0, 0, 1] = 1
    variants = [
        ("a", image, label, 0.0),
        ("b", image, label, 0.0),
        ("a", other_image, label, 0.0),
        ("a", image, other_label, 0.0),
        ("a", image, label, -0.25),
        ("a", image, label, -0.2500001),
        ("a", image.reshape(3, 2, 4), label.reshape(3, 2, 4), 0.0),
        ("a", image.astype(np.float64), label, 0.0),
        ("a", image, label.astype(np.int8), 0.0),
    ]
    digests = [resume.volume_digest(*variant) for variant in variants]
    assert len(set(digests)) == len(variants)
    assert resume.volume_digest("a", np.asfortranarray(image), label, 0.0) == digests[0]


class Clock:
    """A clock that a test sets; to save takes a given time."""

    def __init__(self) -> None:
        self.now, self.cost, self.saved = 1000.0, 0.0, 0

    def monotonic(self) -> float:
        return self.now

    def save(self, *_: object) -> None:
        self.saved += 1
        self.now += self.cost


@pytest.mark.parametrize(
    ("every_s", "cost", "waits", "saved"),
    [
        # seconds between two calls, and whether each one saves
        (10.0, 0.1, (9.9, 0.1, 9.9, 0.1), (False, True, False, True)),  # 50 x 0.1 is less than 10
        (
            10.0,
            1.0,
            (10.0, 10.0, 39.9, 0.1, 49.9, 0.1),
            (True, False, False, True, False, True),
        ),  # 50 x 1 is more
        (0.0, 5.0, (0.0, 0.0, 0.0), (True, True, True)),  # 0 saves at every call, whatever it costs
    ],
    ids=["seldom", "costly", "always"],
)
def test_saving_waits_for_its_time_and_takes_no_more_than_its_share(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    every_s: float,
    cost: float,
    waits: tuple[float, ...],
    saved: tuple[bool, ...],
) -> None:
    clock = Clock()
    clock.cost = cost
    monkeypatch.setattr(checkpoint, "time", clock)
    monkeypatch.setattr(checkpoint, "save", clock.save)
    state = TrainingState(1, (), (), -1.0, {}, {})
    keeper = checkpoint.Checkpointer(CheckpointDir(tmp_path, "x"), "it", every_s, StopRequest(), [])
    found = []
    for wait in waits:
        clock.now += wait
        found.append(keeper.pause(lambda: state))
    assert tuple(found) == saved
    assert clock.saved == sum(saved)


def test_a_request_to_stop_saves_before_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock, request = Clock(), StopRequest()
    monkeypatch.setattr(checkpoint, "time", clock)
    monkeypatch.setattr(checkpoint, "save", clock.save)
    keeper = checkpoint.Checkpointer(CheckpointDir(tmp_path, "x"), "it", 1000, request, [])
    step = Step(("a",), (1,), 0.5, 0.5, False)
    assert not keeper.pause(lambda: TrainingState(3, (step,), (), -1.0, {}, {}))
    request.reason = "SIGTERM"
    with pytest.raises(StoppedError, match="it: saved in epoch 3 after step 1"):
        keeper.pause(lambda: TrainingState(3, (step,), (), -1.0, {}, {}))
    assert clock.saved == 1
