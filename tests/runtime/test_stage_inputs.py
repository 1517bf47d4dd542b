"""No result is recorded for inputs that it was not computed from: a stage compares them at start and end."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from workspace import ROOT, Workspace

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError
from context_fbr.networks import device
from context_fbr.runtime import code_digest, provenance, resume, stage_inputs
from context_fbr.runtime.stage_inputs import StageInputs

CELL = Cell("spheres", "unet", 16, 1)
TRAINER = Path("src/context_fbr/training/loop.py")
PARAMETERS = (ROOT / "tests" / "support" / "study.yaml").read_text()


def at(start: str) -> str:
    """The place in params.yaml of the line that starts with a text."""
    (number,) = [n for n, line in enumerate(PARAMETERS.splitlines(), 1) if line.startswith(start)]
    return f"params.yaml:{number}: "


RATE = at("  learning_rate: 0.005") + "train.learning_rate: "


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1, (path, before)
    path.write_text(text.replace(before, after))


def rate(value: str) -> None:
    edit(Path("params.yaml"), "  learning_rate: 0.005", f"  learning_rate: {value}")


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageInputs:
    """What `train` of a cell read in a folder with code, parameters and data, in which the test stands."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests" / "support" / "study.yaml", "params.yaml")
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    shutil.copytree(ROOT / "src", "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    Path("data/code").mkdir(parents=True)
    Path("data/code/train.json").write_text(code_digest.text_of("train"))
    Path("data/prepared/spheres").mkdir(parents=True)
    Path("data/prepared/spheres/cases.json").write_text("{}")
    return stage_inputs.read("train", CELL.item)


def append(path: str, text: str) -> Callable[[], None]:
    def change() -> None:
        with Path(path).open("a") as file:
            file.write(text)

    return change


CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "A1 a parameter": (lambda: rate("0.5"), RATE),
    "A1 an argument of the network": (lambda: edit(Path("params.yaml"), "    num_res_units: 2", "    num_res_units: 1"), at("    num_res_units: 2") + "models.unet.num_res_units: "),
    "A1 a parameter is gone": (lambda: edit(Path("params.yaml"), "  precision: float32                   # of the networks", "  # of the networks"), at("train:") + "train.precision: "),
    "A1 half a file of parameters": (lambda: Path("params.yaml").write_text("train: [1, 2"), "params.yaml:"),
    "A1 no file of parameters": (lambda: Path("params.yaml").unlink(), "params.yaml: "),
    "A2 a module": (append("src/context_fbr/training/loop.py", "A_CHANGE = 1\n"), "data/code/train.json: "),
    "A2 a module that it does not parse": (append("src/context_fbr/training/loop.py", "def (\n"), "src/context_fbr/training/loop.py:"),
    "A2 the file that describes the code": (append("data/code/train.json", " "), "data/code/train.json: "),
    "A1 prepared data": (append("data/prepared/spheres/cases.json", " "), "data/prepared/spheres: "),
    "A1 prepared data is gone": (lambda: shutil.rmtree("data/prepared"), "data/prepared/spheres: "),
    "A1 the stage in dvc.yaml": (lambda: edit(Path("dvc.yaml"), "-m context_fbr.train ", "-B -m context_fbr.train "), "dvc.yaml: "),
    "A1 no such stage any more": (lambda: edit(Path("dvc.yaml"), "\n  train: &train\n", "\n  trane: &train\n"), "dvc.yaml: "),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_changes_while_a_stage_runs_is_named(inputs: StageInputs, change: str) -> None:
    make, place = CHANGES[change]
    inputs.check()  # unchanged so far
    make()
    with pytest.raises(UserError) as raised:
        inputs.check()
    *problems, remedy = raised.value.problems
    assert [problem.startswith(place) for problem in problems] == [True], problems
    assert remedy.startswith(f"train@{CELL.key}: ")


SAME: dict[str, Callable[[], object]] = {
    "another network's argument": lambda: edit(Path("params.yaml"), "    feature_size: 8", "    feature_size: 16"),
    "another grid": lambda: edit(Path("params.yaml"), "seeds: [1, 2, 3]", "seeds: [1, 2]"),
    "a comment": lambda: append("params.yaml", "# a comment\n")(),
    "the same number": lambda: rate("5.0e-3"),
    "a module of another stage": lambda: append("src/context_fbr/figures/style.py", "A_CHANGE = 1\n")(),
    "a comment in the code": lambda: append("src/context_fbr/training/loop.py", "# a comment\n")(),
    "a docstring": lambda: edit(TRAINER, TRAINER.read_text().splitlines()[0], '"""Other words."""'),
    "another stage in dvc.yaml": lambda: edit(Path("dvc.yaml"), "-m context_fbr.paper", "-B -m context_fbr.paper"),
    "a change that was undone": lambda: (rate("0.5"), edit(Path("params.yaml"), "  learning_rate: 0.5", "  learning_rate: 0.005")),
}  # fmt: skip


@pytest.mark.parametrize("change", SAME)
def test_what_the_stage_does_not_read_may_change(inputs: StageInputs, change: str) -> None:
    SAME[change]()
    inputs.check()


def test_a_long_stage_warns_once_of_each_state_and_not_of_what_was_undone(
    inputs: StageInputs, capsys: pytest.CaptureFixture[str]
) -> None:
    warnings = stage_inputs.ChangeWarnings(inputs, every_s=0)
    found = []
    for change in (None, ("0.005", "0.5"), None, ("0.5", "0.005"), ("0.005", "0.7")):
        if change:
            edit(Path("params.yaml"), f"  learning_rate: {change[0]}\n", f"  learning_rate: {change[1]}\n")
        warnings.look()
        found.append(capsys.readouterr().err.count(f"warning: {RATE}"))
    assert found == [0, 1, 0, 0, 1]
    stage_inputs.ChangeWarnings(inputs, every_s=60).look()  # too early
    assert capsys.readouterr().err == ""


def test_a_change_after_the_results_are_written_fails_the_stage_too(inputs: StageInputs) -> None:
    with (
        pytest.raises(UserError, match=re.escape(RATE)),
        stage_inputs.unchanged("train", **CELL.item),
    ):
        rate("0.5")


def stamps(workspace: Workspace) -> dict[str, tuple[int, int]]:
    """Inode and time of everything that stages write."""
    paths = (
        path for name in ("data", "models", "metrics", "plots") for path in (workspace.path / name).rglob("*")
    )
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths if path.is_file()}


@pytest.mark.parametrize(
    ("stage", "arguments", "call"),
    [
        ("raw", ["spheres"], 1),
        ("prepare", ["spheres"], 1),
        ("train", list(CELL.item.values()), 2),  # the first is after its imports
        ("evaluate", list(CELL.item.values()), 2),
        ("baseline", ["spheres"], 1),
        ("analyze", ["spheres"], 1),
        ("overlay", ["spheres"], 1),
        ("paper", [], 1),
    ],
)
def test_a_stage_compares_its_inputs_before_it_writes_anything(
    whole: Workspace, monkeypatch: pytest.MonkeyPatch, stage: str, arguments: list[str], call: int
) -> None:
    monkeypatch.chdir(whole.path)
    before, calls = stamps(whole), []

    def check(_: StageInputs) -> None:
        calls.append(stage)
        if len(calls) == call:
            raise UserError("changed")

    monkeypatch.setattr(StageInputs, "check", check)
    with pytest.raises(UserError, match="changed"):
        importlib.import_module(f"context_fbr.{stage}").main(arguments)
    assert stamps(whole) == before


@pytest.fixture(scope="module")
def whole(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished study, which no stage that fails changes."""
    return finished.copy(tmp_path_factory.mktemp("whole") / "study")


def test_a_stage_does_not_start_with_code_that_dvc_does_not_know(inputs: StageInputs) -> None:
    append(str(TRAINER), "A_CHANGE = 1\n")()
    with pytest.raises(UserError, match=r"data/code/train\.json: .*src/context_fbr/training/loop\.py"):
        stage_inputs.read("train", CELL.item)


def test_a_stage_reads_exactly_the_parameters_that_dvc_yaml_lists(inputs: StageInputs) -> None:
    assert set(inputs.parameters) == {"models.unet", "sliding_window", "tasks.spheres.train", "train"}
    assert set(inputs.files) == {"data/code/train.json", "data/prepared/spheres"}
    assert inputs.parameters["train"]["learning_rate"] == 0.005
    assert inputs.definition is not None
    assert inputs.definition["outs"][0] == f"models/{CELL.key}"


def watch_and_edit(
    workspace: Workspace, command: list[str], mark: str, change: Callable[[], object]
) -> tuple[int, str]:
    """Run a command, make a change when its output first holds `mark`; exit status and output."""
    said, done = "", False
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=workspace.path,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if mark in line and not done:
                change()
                done = True
    assert done, said
    return process.returncode, said


@pytest.fixture(scope="module")
def longer(committed: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The committed study of one cell with more epochs, which has not run yet; and a branch with other code."""
    workspace = committed.copy(tmp_path_factory.mktemp("longer") / "study")
    workspace.edit("params.yaml", "      epochs: 2", "      epochs: 200")
    workspace.edit("params.yaml", "models: [unet, attention_unet]", "models: [unet]")
    workspace.edit("params.yaml", "  validate_every_epochs: 1", "  validate_every_epochs: 20")
    workspace.commit("Longer")
    workspace.run("git", "checkout", "-qb", "other")
    workspace.edit("params.yaml", "  learning_rate: 0.005", "  learning_rate: 0.5")
    (workspace.path / TRAINER).write_text((workspace.path / TRAINER).read_text() + "# another branch\n")
    workspace.commit("Other")
    workspace.run("git", "checkout", "-q", "-")
    workspace.dvc("repro", f"prepare@{CELL.task}", "code")
    return workspace


def records(workspace: Workspace) -> dict[str, bytes]:
    """dvc.lock, the run-cache and the tables that git keeps: everything that could hold a wrong result."""
    files = [workspace.path / "dvc.lock", *(workspace.path / ".dvc/cache/runs").rglob("*")]
    files += [path for name in ("metrics", "plots") for path in (workspace.path / name).rglob("*")]
    kept = workspace.run("git", "ls-files", "metrics", "plots").stdout.splitlines()
    return {
        str(path.relative_to(workspace.path)): path.read_bytes()
        for path in files
        if path.is_file()
        and ("runs" in path.parts or str(path.relative_to(workspace.path)) in [*kept, "dvc.lock"])
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "change"),
    [("dvc repro", "params.yaml"), ("grid run", "a module"), ("grid run", "git checkout")],
)
def test_a_change_during_a_run_records_nothing(
    longer: Workspace, tmp_path: Path, way: str, change: str
) -> None:
    """Afterwards the same command computes what params.yaml now holds."""
    workspace = longer.copy(tmp_path / "study")
    train = f"train@{CELL.key}"
    commands = {
        "dvc repro": ["-m", "dvc", "repro", train],
        "grid run": ["-c", "from context_fbr_tools.cli import main; main()", "grid", "run", CELL.key],
    }
    before = records(workspace)

    def make() -> None:
        if change == "params.yaml":
            workspace.edit("params.yaml", "  learning_rate: 0.005", "  learning_rate: 0.5")
        elif change == "a module":
            workspace.edit(str(TRAINER), "import math\n", "import math as math\n")
        else:
            workspace.run("git", "checkout", "-q", "other")

    log = workspace.path / f".dvc/tmp/context-fbr/logs/{CELL.key}.log"
    log.unlink(missing_ok=True)
    status, said = watch_and_edit(
        workspace, commands[way], "epoch 20/200" if way == "dvc repro" else CELL.key, make
    )
    said += log.read_text() if log.exists() else ""
    assert status != 0, said
    assert f"error: {train}: " in said
    after = records(workspace)
    if change != "git checkout":  # that has another dvc.lock
        assert after == before
    assert {path for path in after if "runs" in path} == {path for path in before if "runs" in path}
    if change == "git checkout":
        workspace.run("git", "checkout", "-q", "-")
        assert records(workspace) == before
    if change == "params.yaml":
        workspace.dvc("repro", train)
        entry = workspace.lock()[train]
        assert entry["params"]["params.yaml"]["train"]["learning_rate"] == 0.5  # type: ignore[index]
        made = json.loads((workspace.path / CELL.provenance("train")).read_text())
        assert made["parameters"]["train"]["learning_rate"] == 0.5


@pytest.mark.parametrize(("name", "value", "differs"), [("DNNL_MAX_CPU_ISA", "SSE41", True), ("MKL_CBWR", "COMPATIBLE", True), ("LANG", "C", False)])  # fmt: skip
def test_a_variable_that_chooses_kernels_is_part_of_the_device_s_identity(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, differs: bool
) -> None:
    """A9: an interrupted training does not resume with other kernels."""
    monkeypatch.delenv(name, raising=False)
    before = resume.inputs_of({}, "data", torch.device("cpu"), "code")
    monkeypatch.setenv(name, value)
    after = resume.inputs_of({}, "data", torch.device("cpu"), "code")
    assert (before.digest != after.digest) is differs


def test_cpus_of_one_name_with_other_instructions_or_caches_are_distinguished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = {
        "model name": "AMD EPYC",
        "cpu family": "26",
        "model": "2",
        "flags": "fpu avx avx512f",
        "cache size": "512 KB",
    }
    changes = [
        {},
        {"model": "17"},
        {"flags": "fpu avx"},
        {"cache size": "1024 KB"},
        {"flags": "fpu tsc avx512f avx"},
    ]
    found = []
    for change in changes:
        monkeypatch.setattr(device, "_cpu_facts", lambda change=change: {**facts, **change})
        found.append(device.identify(torch.device("cpu")))
    assert len(set(found[:4])) == 4
    assert found[4] == found[0]  # another kernel of the system names other flags, in another order


@pytest.mark.slow
def test_provenance_stays_when_the_same_inputs_give_the_same_results(
    finished: Workspace, tmp_path: Path
) -> None:
    """P1: a study that is reproduced leaves git's copy as it was; other results are recorded."""
    workspace = finished.copy(tmp_path / "study")
    records = {
        stage: (workspace.path / CELL.provenance(stage)).read_bytes() for stage in ("train", "evaluate")
    }
    workspace.dvc("repro", "-f", "-s", "--no-run-cache", f"train@{CELL.key}", f"evaluate@{CELL.key}")
    assert {stage: (workspace.path / CELL.provenance(stage)).read_bytes() for stage in records} == records
    record = workspace.path / CELL.provenance("train")
    content = json.loads(record.read_text())
    content["parameters"]["train"]["learning_rate"] = 0.5
    record.write_text(json.dumps(content))
    workspace.dvc("repro", "-f", "-s", "--no-run-cache", f"train@{CELL.key}")
    assert provenance.read(record)["parameters"]["train"]["learning_rate"] == 0.005
