"""`context-fbr doctor`: each fault is created, and each fix is run."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from workspace import GIT_IDENTITY, ROOT, TINY, Workspace

from context_fbr_tools.doctor import (
    checkout,
    command,
    determinism,
    disk,
    dvc_cache,
    gradients,
    machine,
    packages,
)
from context_fbr_tools.doctor.check_result import Result, Status, guarded

CPU = torch.device("cpu")
GIB = 2**30
OK, WARNING, ERROR = Status


@pytest.fixture(autouse=True)
def _restore_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The device is prepared as for a cell, for the whole process."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


def by_name(results: Iterable[Result]) -> dict[str, Result]:
    listed = list(results)
    named = {result.name: result for result in listed}
    assert len(named) == len(listed)
    return named


def results_of(module: ModuleType) -> dict[str, Result]:
    return by_name(result for name, check in module.CHECKS.items() for result in guarded(name, check))


def statuses(results: dict[str, Result]) -> dict[str, Status]:
    return {name: result.status for name, result in results.items()}


# Packages


def test_the_packages_fit_each_other_and_constraints_txt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert statuses(results_of(packages)) == {"packages": OK, "versions": OK}


@pytest.mark.slow
def test_an_unmet_requirement_is_an_error_if_it_is_ours_and_else_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, status in (("stranger", WARNING), ("context-fbr", ERROR)):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: no-such-package\n"
        )
        (result,) = packages._pip_check()
        assert result.status is status
        assert f"{name} 1.0 requires no-such-package" in result.found
    assert packages.pip_result(1, "").status is WARNING  # an environment without pip


def test_another_version_is_a_warning_and_the_suffix_of_a_build_is_not() -> None:
    pinned = {"torch": "2.13.0", "numpy": "2.0.0"}
    for version, status in {"2.13.0": OK, "2.13.0+cpu": OK, "2.13.1+cpu": WARNING, None: OK}.items():
        result = packages.versions_result(pinned, {"torch": version, "numpy": "2.0.0"})
        assert (result.status, "numpy 2" in result.found) == (status, False)


# What the device computes


class Scaled(torch.autograd.Function):
    """The identity, whose gradient is wrong by a factor."""

    @staticmethod
    def forward(context, tensor: torch.Tensor, factor: float) -> torch.Tensor:
        context.factor = factor
        return tensor.clone()

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * context.factor, None


class Faulty(nn.Conv3d):
    """A convolution whose weight gradient (or input gradient) is wrong in some precisions."""

    def __init__(self, factor: float, of_input: bool = False, in_float32: bool = False) -> None:
        super().__init__(3, 4, 3, padding=1)
        self.factor, self.of_input, self.in_float32 = factor, of_input, in_float32

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        low = torch.is_autocast_enabled(inputs.device.type)
        single = not low and inputs.dtype == torch.float32
        factor = self.factor if low or (single and self.in_float32) else 1.0
        weight = Scaled.apply(self.weight, 1.0 if self.of_input else factor)
        inputs = Scaled.apply(inputs, factor if self.of_input else 1.0)
        return nn.functional.conv3d(inputs, weight, self.bias, padding=1)


def of_layers(*layers: nn.Module) -> dict[str, Result]:
    shape = (2, 3, 5, 5, 5)
    return by_name(gradients.check(CPU, [gradients.Layer(layer, shape) for layer in layers]))


def test_all_convolutions_of_a_small_unet_are_tested_down_to_a_single_voxel() -> None:
    shapes = {str(layer) for layer in gradients.layers()}
    assert {f"3x3x3 on {e}x{e}x{e} maps" for e in (1, 2, 4, 8, 16, 32)} <= shapes
    assert {"transposed 3x3x3 on 2x2x2 maps", "1x1x1 on 1x1x1 maps"} <= shapes


def test_float32_gradients_are_right_here_and_bf16_ones_by_torch_s_own_reference_kernel() -> None:
    results = by_name(gradients.check(CPU))
    assert results["float32 gradients"].status is OK
    assert results["bf16 gradients"].status is not ERROR
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        # Without oneDNN, whose kernels depend on the CPU. (Setting its flags warns about Intel's GPUs.)
        assert by_name(gradients.check(CPU))["bf16 gradients"].status is OK


@pytest.mark.parametrize("of_input", [False, True])
@pytest.mark.parametrize("factor", [1.03, 0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_gradient_in_bf16_is_a_warning_with_the_convolution(factor: float, of_input: bool) -> None:
    results = of_layers(nn.Conv3d(3, 4, 1), Faulty(factor, of_input))
    assert statuses(results) == {"float32 gradients": OK, "bf16 gradients": WARNING}
    assert re.findall(r"\S+ on \S+ maps", results["bf16 gradients"].found) == ["3x3x3 on 5x5x5 maps"]
    assert "train.precision: float32" in results["bf16 gradients"].fix


def test_a_wrong_gradient_in_float32_is_an_error() -> None:
    result = of_layers(Faulty(1.01, in_float32=True))["float32 gradients"]
    assert (result.status, "CONTEXT_FBR_DEVICE" in result.fix) == (ERROR, True)


def test_the_rounding_of_bf16_is_not_an_error() -> None:
    for factor in (1.0, 1 + 2**-8):
        assert of_layers(Faulty(factor))["bf16 gradients"].status is OK


def test_a_convolution_that_is_never_computed_in_bf16_is_not_tested_in_it() -> None:
    small = gradients.Layer(Faulty(2.0), (2, 3, 2, 2, 2))
    large = gradients.Layer(nn.Conv3d(3, 4, 3, padding=1), (2, 3, 3, 3, 3))
    assert by_name(gradients.check(CPU, [small, large]))["bf16 gradients"].status is OK


def test_the_cpu_repeats_a_training_and_keeps_its_settings() -> None:
    state = torch.get_rng_state()
    (result,) = determinism.check(CPU)
    assert result.status is OK
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


class Restless(nn.Module):
    """A network with a random state of its own."""

    generator = torch.Generator()

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images + torch.rand(images.shape, generator=self.generator))


class Unpromised(nn.Module):
    """A network with a function that PyTorch has no deterministic implementation of."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images.clone().put_(torch.tensor([0]), torch.tensor([1.0])))


@pytest.mark.parametrize(
    ("network", "problem"),
    [(Restless, "2 tensors differ"), (Unpromised, "does not have a deterministic implementation")],
)
def test_a_training_that_differs_or_may_differ_is_a_warning(network: type[nn.Module], problem: str) -> None:
    (result,) = determinism.check(CPU, network)
    assert (result.status, problem in result.found) == (WARNING, True)
    assert not torch.are_deterministic_algorithms_enabled()


# The machine


@pytest.mark.parametrize("name", ["warp", "cuda:77"])
def test_a_missing_device_is_an_error_and_no_other_device_is_tested(
    params: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(params.parent)
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", name)
    results = results_of(machine)
    assert set(results) == {"PyTorch", "device", "memory"}
    assert results["device"].status is ERROR
    assert f"CONTEXT_FBR_DEVICE={name}" in results["device"].found


def test_memory_for_fewer_cells_than_would_run_is_a_warning_with_the_number_that_fits() -> None:
    assert machine.memory_result(8 * GIB, 8).status is OK
    result = machine.memory_result(int(3.5 * GIB), 8)
    assert (result.status, result.fix) == (WARNING, "`make repro JOBS=3`")
    assert "JOBS" not in machine.memory_result(GIB // 2, 1).fix


@pytest.mark.parametrize(
    ("cuda", "gpus", "driver", "status"),
    [
        (None, [], None, OK),
        ("12.8", [], None, OK),
        ("12.8", ["H100"], "570.1", OK),
        (None, [], "570.1", WARNING),
        ("12.8", [], "570.1", WARNING),
    ],
)
def test_a_build_of_pytorch_that_finds_no_gpu_next_to_a_driver_is_a_warning(
    cuda: str | None, gpus: list[str], driver: str | None, status: Status
) -> None:
    assert machine.build_result(cuda, gpus, driver).status is status


# Disks


def test_a_folder_is_checked_where_it_will_be_created_and_left_as_it_was(tmp_path: Path) -> None:
    assert disk.place_result("disk", tmp_path / "a" / "b", 1000).status is OK
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_for_a_new_run_is_a_warning_and_for_any_stage_an_error(
    tmp_path: Path, disk_256k: Path
) -> None:
    assert disk.place_result("disk", tmp_path, 10**18).status is WARNING
    result = disk.place_result("disk", disk_256k, 0)
    assert (result.status, "dvc gc" in result.fix) == (ERROR, True)


def test_a_read_only_disk_is_an_error(disk_256k: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk_256k)], check=True)
    result = disk.place_result("disk", disk_256k, 0)
    assert (result.status, result.found) == (ERROR, f"{disk_256k}: not writable")


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    result = disk.place_result("disk", tmp_path / "cache" / "files", 0)
    assert (result.status, result.found) == (ERROR, f"{tmp_path / 'cache'}: not a folder")


def test_the_needed_space_is_twice_that_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = "    - {{path: {}, hash: md5, md5: {}, size: {}}}\n"
    outs = [("a", "x", 100), ("b", "x", 100), ("c", "y", 7)]  # a and b are the same file
    Path("dvc.lock").write_text("stages:\n  s:\n    outs:\n" + "".join(out.format(*o) for o in outs))
    assert disk.needed_bytes() == 2 * 107
    Path("dvc.lock").write_text("<<<<<<< HEAD\n")
    assert disk.needed_bytes() == 0


# DVC

DVC_YAML = """
stages:
  table: {cmd: echo a > table.csv, outs: [table.csv]}
  folder: {cmd: mkdir -p folder && echo b > folder/b && echo c > folder/c, outs: [folder]}
"""


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A DVC repository with a file, a folder, and a remote that has them; to be copied."""
    workspace = Workspace(tmp_path_factory.mktemp("small") / "study")
    workspace.path.mkdir()
    workspace.run("git", "init", "-q")
    workspace.dvc("init", "-q")
    (workspace.path / "dvc.yaml").write_text(DVC_YAML)
    workspace.repro()
    workspace.dvc("remote", "add", "-d", "shelf", "../shelf")  # next to the copies as well
    workspace.dvc("push")
    return workspace


@pytest.fixture
def workspace(small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it with a remote of its own, as the current folder."""
    shutil.copytree(small.path.parent / "shelf", tmp_path / "shelf")
    copy = small.copy(tmp_path / "study")
    monkeypatch.chdir(copy.path)
    return copy


def cached(workspace: Workspace, content: bytes) -> Path:
    """The object with this content."""
    files = (workspace.path / ".dvc/cache/files/md5").rglob("*")
    (path,) = [path for path in files if path.is_file() and content in path.read_bytes()]
    return path


def cache_results() -> dict[str, Result]:
    results = by_name(dvc_cache._cache())
    del results["disk: DVC cache"]
    return results


def remote() -> Result:
    (result,) = dvc_cache._remote()
    return result


@pytest.mark.slow
def test_a_sound_dvc_repository_is_fine_and_left_as_it_was(workspace: Workspace) -> None:
    before = workspace.run("git", "status", "--porcelain", "--ignored").stdout
    results = results_of(dvc_cache)
    names = ("DVC", "dvc.lock", "DVC remote", "disk: DVC cache", "cache")
    assert statuses(results) == dict.fromkeys(names, OK)
    assert results["dvc.lock"].found.startswith("2 stages")
    assert results["cache"].found.startswith("4 objects")  # table, b, c and the folder's list
    assert "Cache types: " in results["DVC"].found
    assert workspace.run("git", "status", "--porcelain", "--ignored").stdout == before


@pytest.mark.slow
@pytest.mark.parametrize("remedy", ["pull", "repro"])
@pytest.mark.parametrize("content", [b"a\n", b"b\n", b"relpath"])
def test_a_damaged_object_is_an_error_and_its_fix_brings_it_back(
    workspace: Workspace, content: bytes, remedy: str
) -> None:
    path = cached(workspace, content)
    sound = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(sound[:-1] + b"x")
    path.chmod(0o444)  # as it was: DVC trusts it
    for name in ("table.csv", "folder/b"):  # a link to the object, or a copy that was made since
        if (workspace.path / name).read_bytes() == sound:
            shutil.copy(path, workspace.path / name)
    (result,) = cache_results().values()
    assert (result.name, result.status) == ("cache: undamaged", ERROR)
    assert result.found.endswith(" of table.csv" if content == b"a\n" else " of folder")
    advice = re.fullmatch(r"`(rm -f [^`]+)`, then `(dvc pull --force \S+)` or `(dvc repro)`", result.fix)
    assert advice
    workspace.run("sh", "-c", advice[1])
    assert not path.exists()
    workspace.run("sh", "-c", advice[2 if remedy == "pull" else 3])
    assert path.read_bytes() == sound
    assert (workspace.path / "table.csv").read_bytes() == b"a\n"
    assert (workspace.path / "folder" / "b").read_bytes() == b"b\n"
    assert statuses(cache_results()) == {"cache": OK}


@pytest.mark.parametrize("remedy", ["pull", "repro"])
@pytest.mark.parametrize("content", [b"c\n", b"relpath"])
def test_a_missing_object_is_a_warning_and_its_fix_brings_it_back(
    workspace: Workspace, content: bytes, remedy: str
) -> None:
    path = cached(workspace, content)
    path.unlink()
    (result,) = cache_results().values()
    assert (result.name, result.status, result.fix) == (
        "cache: complete",
        WARNING,
        "`dvc pull` or `dvc repro`",
    )
    assert result.found.endswith(" of folder")
    workspace.dvc(remedy)
    assert content in path.read_bytes()


def test_results_that_were_never_made_are_not_missing(workspace: Workspace) -> None:
    (workspace.path / "dvc.lock").unlink()
    assert set(statuses(results_of(dvc_cache)).values()) == {OK}


@pytest.mark.slow
def test_a_remote_whose_folder_is_missing_is_a_warning_and_its_fix_creates_it(workspace: Workspace) -> None:
    shutil.rmtree(workspace.path.parent / "shelf")
    assert (remote().status, "dvc push" in remote().fix) == (WARNING, True)
    workspace.dvc("push")
    assert remote().status is OK
    workspace.dvc("remote", "remove", "shelf")
    assert (remote().status, "dvc remote add" in remote().found) == (OK, True)


@pytest.mark.slow
def test_a_remote_that_refuses_is_a_warning_without_its_password(workspace: Workspace) -> None:
    for url, word in (
        ("http://user:secret@127.0.0.1:9/shelf", "127.0.0.1:9"),
        ("gs://bucket/shelf", "dvc-gs"),  # its package is not installed
    ):
        workspace.dvc("remote", "modify", "shelf", "url", url)
        result = remote()
        assert (result.status, word in result.found) == (WARNING, True)
        assert "secret" not in str(result)


def test_a_remote_that_never_answers_is_a_warning_after_a_timeout(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_cache, "ANSWER_S", 0.05)
    assert (remote().status, "no answer" in remote().found) == (WARNING, True)


def test_an_invalid_dvc_lock_is_an_error_and_the_rest_is_checked(workspace: Workspace) -> None:
    (workspace.path / "dvc.lock").write_text("<<<<<<< HEAD\nstages: {}\n")
    results = results_of(dvc_cache)
    assert {name for name, status in statuses(results).items() if status is ERROR} == {
        "dvc.lock",
        "DVC cache",
    }
    assert "git checkout dvc.lock" in results["dvc.lock"].found
    assert results["DVC remote"].status is OK


# git and params.yaml


def test_uncommitted_code_or_parameters_are_a_warning(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(params.parent)
    assert results_of(checkout)["git"].status is WARNING  # no repository
    environment = {**os.environ, **GIT_IDENTITY}
    for words in ("init -q", "add params.yaml", "commit -qm one"):
        subprocess.run(["git", *words.split()], env=environment, check=True)
    assert statuses(results_of(checkout)) == {"params.yaml": OK, "git": OK}
    with params.open("a") as file:
        file.write("# a remark\n")
    result = results_of(checkout)["git"]
    assert (result.status, "params.yaml" in result.found) == (WARNING, True)


def test_invalid_parameters_are_an_error_with_every_line(
    params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(params.parent)
    text = params.read_text()
    for pattern, value in ((r"  threads: \d+", "  threads: -1"), (r"  confidence: \S+", "  confidence: 95")):
        text, count = re.subn(pattern, value, text)
        assert count == 1
    params.write_text(text)
    result = results_of(checkout)["params.yaml"]
    assert (result.status, len(re.findall(r"params\.yaml:\d+: ", result.found))) == (ERROR, 2)
    params.unlink()
    assert results_of(checkout)["params.yaml"].status is ERROR


# The command


def test_a_check_that_raises_is_an_error_and_keeps_its_results() -> None:
    def check() -> Iterator[Result]:
        yield Result("first", OK, "fine")
        raise OSError("the disk\nis gone")

    first, second = guarded("second", check)
    assert (first.status, second.name, second.status) == (OK, "second", ERROR)
    assert "OSError: the disk" in second.found


@pytest.mark.parametrize(("found", "code"), [((OK, WARNING), 0), ((ERROR, OK, WARNING), 1), ((), 0)])
def test_only_an_error_makes_the_command_fail(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    found: tuple[Status, ...],
    code: int,
) -> None:
    results = [Result(f"check {s}", s, f"found {s}", "" if s is OK else "`do it`") for s in found]
    monkeypatch.setattr(command, "examine", partial(iter, results))
    assert command.run(tmp_path / "facts.json") == code
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row[:1] in ([s] for s in found)] == [
        [s, "check", s, "found", s] for s in found
    ]
    assert rows.count(["->", "`do", "it`"]) == sum(s is not OK for s in found)
    report = json.loads((tmp_path / "facts.json").read_text())
    assert report["status"] == max(found, key=list(Status).index, default=OK)
    assert [Result(**check) for check in report["checks"]] == results


@pytest.mark.slow
def test_in_a_copy_of_the_project_there_is_no_error_and_the_output_is_json(tmp_path: Path) -> None:
    project = Workspace.make(tmp_path / "study", TINY)
    report = json.loads(project.context_fbr("doctor", "--json").stdout)
    assert report["status"] in ("ok", "warning")
    assert {check["name"] for check in report["checks"]} >= {
        "packages", "versions", "params.yaml", "git", "PyTorch", "device", "float32 gradients",
        "bf16 gradients", "repeatability", "memory", "disk: repository", "disk: checkpoints",
        "disk: temporary files", "disk: DVC cache", "DVC", "dvc.lock", "DVC remote",
    }  # fmt: skip
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_without_a_repository_pytorch_monai_and_dvc_each_is_one_error(tmp_path: Path) -> None:
    hide = "import sys; sys.modules.update(torch=None, monai=None, dvc=None); "
    start = "from context_fbr_tools.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", hide + start, "doctor", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {name for name, check in checks.items() if check["status"] == "error"} == {
        "versions", "params.yaml", "git", "machine", "disk", "dvc_cache",
    }  # fmt: skip
    assert "import of torch halted" in checks["machine"]["found"]
    assert list(tmp_path.iterdir()) == []
