"""`context-fbr doctor`: everything that it looks for is really made so, and what it advises is really done."""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from workspace import GIT_IDENTITY, ROOT, TINY, Workspace

from context_fbr.config.cell import Cell
from context_fbr.core.errors import UserError
from context_fbr.runtime import provenance, resume
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


@pytest.fixture(autouse=True)
def _leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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


# Packages


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what this project says of its packages, as the current one."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replace(path: Path, pattern: str, text: str) -> None:
    changed, count = re.subn(pattern, text, path.read_text())
    assert count == 1
    path.write_text(changed)


def test_the_versions_that_the_results_were_made_with_are_fine(project: Path) -> None:
    pins = [line for line in (project / "constraints.txt").read_text().splitlines() if "==" in line]
    assert len(packages._pinned(pins)) == len(pins)
    found = by_name(packages.check())
    assert [result.status for result in found.values()] == [Status.OK] * 3
    assert found["Python"].found.startswith(".".join(map(str, sys.version_info[:3])))


def test_another_version_of_what_computes_is_doubtful_and_another_version_of_a_tool_is_counted(
    project: Path,
) -> None:
    replace(project / "constraints.txt", r"(?m)^numpy==.*$", "numpy==2.0.0")
    replace(project / "constraints.txt", r"(?m)^pytest==.*$", "pytest==1.0")
    versions = by_name(packages.check())["versions"]
    assert versions.status is Status.DOUBTFUL
    assert re.fullmatch(
        r"numpy \S+, not 2\.0\.0; 1 tools beside them differ: results may differ in bits", versions.found
    )
    assert versions.to_do == "`pip install -c constraints.txt -e .`"


def test_a_package_that_is_missing_or_too_old_is_wrong_and_so_is_python(project: Path) -> None:
    replace(project / "pyproject.toml", r'"isal>=1.7"', '"isal>=99"')
    replace(project / "pyproject.toml", r'"tqdm>=4.66"', '"context-fbr-no-such-package"')
    replace(project / "pyproject.toml", r'requires-python = ">=3.11"', 'requires-python = "<3"')
    found = by_name(packages.check())
    assert (found["Python"].status, found["packages"].status) == (Status.WRONG, Status.WRONG)
    assert re.fullmatch(
        r"isal \S+: needed >=99; context-fbr-no-such-package: missing", found["packages"].found
    )


def test_a_suffix_of_the_build_is_no_other_version() -> None:
    pinned, needed = {"torch": "2.13.0"}, {"torch"}
    for version, status in {"2.13.0+cpu": Status.OK, "2.13.1+cpu": Status.DOUBTFUL}.items():
        assert packages.versions_result(pinned, {"torch": version}, needed).status is status


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
    layers = gradients.layers()
    shapes = {str(layer) for layer in layers}
    assert {f"3x3x3 on {e}x{e}x{e} maps" for e in (1, 2, 4, 8, 16, 32)} <= shapes
    assert "transposed 3x3x3 on 2x2x2 maps" in shapes
    assert "1x1x1 on 1x1x1 maps" in shapes


def test_float32_gradients_are_right_here_and_bf16_gradients_where_torch_s_own_reference_kernel_computes() -> (
    None
):
    found = by_name(gradients.check(CPU))
    assert found["float32 gradients"].status is Status.OK
    assert found["bf16 gradients"].status is not Status.WRONG
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        # Not by oneDNN, whose kernels depend on the CPU. (Setting its flags warns of flags of Intel's GPUs.)
        assert by_name(gradients.check(CPU))["bf16 gradients"].status is Status.OK


def test_a_wrong_convolution_in_bf16_is_doubtful_and_named_by_its_shape() -> None:
    for factor in (1.03, 0.0, -1.0, float("nan"), float("inf")):
        for of_input in (False, True):
            found = of_layers(nn.Conv3d(3, 4, 1), Faulty(factor, of_input))
            assert found["float32 gradients"].status is Status.OK
            bf16 = found["bf16 gradients"]
            assert bf16.status is Status.DOUBTFUL
            assert bf16.found.startswith("wrong at 3x3x3 on 5x5x5 maps with 3 to 4 channels (relative error")
            assert bf16.to_do.startswith("leave train.precision at float32")


def test_a_convolution_that_is_never_computed_in_bf16_is_not_tested_in_it() -> None:
    small = gradients.Layer(Faulty(2.0), (2, 3, 2, 2, 2))
    large = gradients.Layer(nn.Conv3d(3, 4, 3, padding=1), (2, 3, 3, 3, 3))
    found = by_name(gradients.check(CPU, [small, large]))["bf16 gradients"]
    assert found.status is Status.OK
    assert found.found.startswith("right in 1 convolutions")


def test_the_rounding_of_bf16_is_not_called_wrong() -> None:
    assert of_layers(Faulty(1.0))["bf16 gradients"].status is Status.OK
    assert of_layers(Faulty(1 + 2**-8))["bf16 gradients"].status is Status.OK


def test_a_wrong_convolution_in_float32_is_wrong() -> None:
    found = of_layers(Faulty(1.01, in_float32=True))["float32 gradients"]
    assert found.status is Status.WRONG
    assert "CONTEXT_FBR_DEVICE" in found.to_do


def test_the_cpu_repeats_a_training_and_is_left_with_the_settings_that_it_had() -> None:
    state = torch.get_rng_state()
    (found,) = determinism.check(CPU)
    assert found.status is Status.OK
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


def test_a_training_that_differs_or_may_differ_is_doubtful() -> None:
    (found,) = determinism.check(CPU, Restless)
    assert (found.status, "differ in 2 tensors on cpu" in found.found) == (Status.DOUBTFUL, True)
    (found,) = determinism.check(CPU, Unpromised)
    assert (found.status, "does not have a deterministic implementation" in found.found) == (
        Status.DOUBTFUL,
        True,
    )
    assert not torch.are_deterministic_algorithms_enabled()


# The machine


@pytest.mark.parametrize("name", ["warp", "cuda:77"])
def test_a_device_that_is_not_there_is_wrong_and_nothing_is_tested_on_another(
    params: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(params.parent)
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", name)
    found = by_name(machine.check())
    assert found["device"].status is Status.WRONG
    assert f"CONTEXT_FBR_DEVICE={name}" in found["device"].found
    assert found["self-tests"].status is Status.DOUBTFUL
    assert "bf16 gradients" not in found
    assert "memory" in found


def test_threads_that_do_not_fit_the_cores_are_doubtful_with_the_variable_to_unset() -> None:
    assert machine.threads_result(2, 2, {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": ""}).status is Status.OK
    found = machine.threads_result(4, 2, {"OMP_NUM_THREADS": "8", "OMP_THREAD_LIMIT": "1"})
    assert found.status is Status.DOUBTFUL
    assert "train.threads" in found.to_do
    assert "`unset OMP_NUM_THREADS`" in found.to_do
    assert "`unset OMP_THREAD_LIMIT`" in found.to_do


def test_memory_for_fewer_cells_than_would_run_is_doubtful_with_the_number_that_fits() -> None:
    assert machine.memory_result(8 * GIB, 8).status is Status.OK
    found = machine.memory_result(int(3.5 * GIB), 8)
    assert (found.status, found.to_do) == (Status.DOUBTFUL, "`make repro JOBS=3`")
    assert "JOBS" not in machine.memory_result(GIB // 2, 1).to_do


def test_a_build_of_pytorch_that_does_not_suit_the_gpus_is_doubtful() -> None:
    def status(cuda: str | None, gpus: list[str], driver: str | None, uncovered: list[str]) -> Status:
        return machine.build_result(cuda, gpus, driver, uncovered).status

    assert status(None, [], None, []) is Status.OK
    assert status("12.8", [], None, []) is Status.OK
    assert status("12.8", ["cuda:0 H100"], "570.1", []) is Status.OK
    assert status(None, [], "570.1", []) is Status.DOUBTFUL
    assert status("12.8", [], "570.1", []) is Status.DOUBTFUL
    assert status("12.8", ["cuda:0 K80"], "570.1", ["cuda:0"]) is Status.DOUBTFUL


def test_machine_code_runs_on_later_minor_versions_and_ptx_on_everything_later() -> None:
    build = ["sm_75", "sm_80", "sm_90a", "sm_100"]
    covered = [c for c in [(7, 0), (7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0)]
               if machine.has_code_for(c, build)]  # fmt: skip
    assert covered == [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0)]
    assert machine.has_code_for((12, 0), [*build, "compute_100"])


# Disks


def test_a_folder_that_can_be_used_is_fine_and_left_as_it_was(tmp_path: Path) -> None:
    place = disk.Place("disk", tmp_path / "a" / "b", 1000)
    result = disk.place_result(place, 1000)
    assert result.status is Status.OK
    assert "(not made yet)" in result.found
    assert list(tmp_path.iterdir()) == []


def test_less_room_than_a_new_run_needs_is_doubtful(tmp_path: Path) -> None:
    result = disk.place_result(disk.Place("disk", tmp_path, 0), 10**18)
    assert (result.status, "make room" in result.to_do) == (Status.DOUBTFUL, True)


def test_a_small_or_full_disk_is_wrong(disk_256k: Path) -> None:
    place = disk.Place("disk", disk_256k, 0)
    assert disk.place_result(place, 0).status is Status.WRONG
    with (disk_256k / "big").open("wb") as file, pytest.raises(OSError, match="No space left"):
        file.write(bytes(1_000_000))
        file.flush()
    result = disk.place_result(place, 0)
    assert result.status is Status.WRONG
    assert "No space left on device" in result.found
    assert [path.name for path in disk_256k.iterdir()] == ["big"]


def test_a_read_only_disk_is_wrong(disk_256k: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk_256k)], check=True)
    result = disk.place_result(disk.Place("disk", disk_256k, 0), 0)
    assert (result.status, "Read-only file system" in result.found) == (Status.WRONG, True)


def test_a_file_in_the_place_of_a_folder_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    result = disk.place_result(disk.Place("disk", tmp_path / "cache" / "files", 0), 0)
    assert (result.status, result.found) == (Status.WRONG, f"{tmp_path / 'cache'}: is no folder")


def test_a_disk_whose_locks_do_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: None)  # as some network folders have it
    result = disk.place_result(disk.Place("disk", tmp_path, 0), 0)
    assert (result.status, ": no locks;" in result.found) == (Status.WRONG, True)


def test_a_disk_whose_renames_are_copies_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "replace", shutil.copy)
    result = disk.place_result(disk.Place("disk", tmp_path, 0), 0)
    assert (result.status, ": no atomic rename;" in result.found) == (Status.WRONG, True)


def test_unfinished_work_is_counted_where_resume_says_that_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(resume.ROOT_VARIABLE, str(tmp_path / "resume"))
    assert disk.unfinished_result(resume.root()).found.startswith("none")
    for seed in (1, 2):
        inputs = resume.inputs_of({}, "data", CPU, "code")
        with (
            pytest.raises(UserError),
            resume.checkpoint_dir("train", Cell("spheres", "unet", 16, seed), inputs) as place,
        ):
            (place.folder / "state.pt").write_bytes(bytes(3_000_000))
            raise UserError("interrupted")
    found = disk.unfinished_result(resume.root())
    assert found.found == (
        f"2 in {tmp_path / 'resume'}, 0.006 GB: train@spheres-unet-16-1, train@spheres-unet-16-2"
    )


def test_the_need_for_room_is_that_of_the_results_once_in_the_repository_and_once_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = "    - {{path: {}, hash: md5, md5: {}, size: {}}}\n"
    outs = [("a", "x", 100), ("b", "x", 100), ("c", "y", 7)]  # a and b are the same file
    Path("dvc.lock").write_text("stages:\n  s:\n    outs:\n" + "".join(out.format(*o) for o in outs))
    assert disk.results_size() == 107
    places = [disk.Place("a", tmp_path, 107), disk.Place("b", tmp_path / "cache", 107)]
    assert disk._need_of_disk(places[0], places) == 214
    Path("dvc.lock").write_text("<<<<<<< HEAD\n")
    assert disk.results_size() == 0


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
    workspace.dvc("remote", "add", "-d", "shelf", "../shelf")  # beside the copies as well
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
    (found,) = [path for path in files if path.is_file() and content in path.read_bytes()]
    return found


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    path.chmod(0o444)  # as it was: DVC trusts it


def test_a_sound_dvc_repository_is_fine(workspace: Workspace) -> None:
    found = by_name(dvc_cache.check(full=False))
    assert {name: result.status for name, result in found.items()} == dict.fromkeys(
        ("DVC", "dvc.lock", "DVC remote", "cache: complete", "cache: undamaged"), Status.OK
    )
    assert found["dvc.lock"].found == "2 stages"
    assert found["cache: complete"].found == "4 objects of dvc.lock"  # table, b, c and the folder's list
    assert found["cache: undamaged"].found.startswith("4 of 4 objects read")
    assert sorted(path.name for path in workspace.path.parent.iterdir()) == ["shelf", "site", "study"]


@pytest.mark.parametrize("remedy", ["pull", "repro"])
@pytest.mark.parametrize("content", [b"a\n", b"b\n", b"relpath"])
def test_a_damaged_object_is_wrong_and_what_is_advised_brings_it_back(
    workspace: Workspace, content: bytes, remedy: str
) -> None:
    path = cached(workspace, content)
    sound = path.read_bytes()
    damage(path)
    for name in ("table.csv", "folder/b"):  # a link to the object, or a copy that was made since
        if (workspace.path / name).read_bytes() == sound:
            shutil.copy(path, workspace.path / name)
    owner = "table.csv" if content == b"a\n" else "folder"
    result = by_name(dvc_cache.check(full=False))["cache: undamaged"]
    assert (result.status, result.found.startswith(f"1 objects are damaged, of {owner};")) == (
        Status.WRONG,
        True,
    )
    advice = re.fullmatch(r"`(rm -f [^`]+)`, then `(dvc pull --force \S+)` or `(dvc repro)`", result.to_do)
    assert advice
    workspace.run("sh", "-c", advice[1])
    assert not path.exists()
    workspace.run("sh", "-c", advice[2 if remedy == "pull" else 3])
    assert path.read_bytes() == sound
    assert (workspace.path / "table.csv").read_bytes() == b"a\n"
    assert (workspace.path / "folder" / "b").read_bytes() == b"b\n"
    assert {result.status for result in dvc_cache.check(full=True)} == {Status.OK}


@pytest.mark.parametrize("remedy", ["pull", "repro"])
def test_a_missing_object_is_doubtful_and_what_is_advised_brings_it_back(
    workspace: Workspace, remedy: str
) -> None:
    path = cached(workspace, b"c\n")
    path.unlink()
    result = by_name(dvc_cache.check(full=False))["cache: complete"]
    assert (result.status, result.found) == (
        Status.DOUBTFUL,
        "1 of 4 objects of dvc.lock are missing, of folder",
    )
    assert result.to_do == "`dvc pull` or `dvc repro`"
    workspace.dvc(remedy)
    assert path.read_bytes() == b"c\n"


def test_results_that_were_never_made_are_no_missing_objects(workspace: Workspace) -> None:
    (workspace.path / "dvc.lock").unlink()
    found = by_name(dvc_cache.check(full=False))
    assert {result.status for result in found.values()} == {Status.OK}
    assert found["cache: complete"].found == "0 objects of dvc.lock; 2 results have not been made yet"


def test_a_quick_look_reads_the_newest_objects_and_says_how_many_and_a_full_one_reads_all(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_cache, "SAMPLE_BYTES", 3)  # the newest one, of 2 bytes
    old = cached(workspace, b"a\n")
    damage(old)
    os.utime(old, (0, 0))
    quick, full = (by_name(dvc_cache.check(full))["cache: undamaged"] for full in (False, True))
    assert (quick.status, quick.found) == (Status.OK, "1 of 4 objects read, the newest (--full: all)")
    assert (full.status, full.found) == (
        Status.WRONG,
        "1 objects are damaged, of table.csv; 4 of 4 objects read",
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_remote_whose_folder_is_gone_or_that_does_not_answer_is_doubtful(workspace: Workspace) -> None:
    def remote() -> Result:
        return by_name(dvc_cache.check(full=False))["DVC remote"]

    shutil.rmtree(workspace.path.parent / "shelf")
    assert (remote().status, "is not there" in remote().found) == (Status.DOUBTFUL, True)
    assert "dvc status --cloud" in remote().to_do
    workspace.dvc("push")  # as is said
    assert remote().status is Status.OK
    workspace.dvc("remote", "modify", "shelf", "url", "http://user:secret@127.0.0.1:9/shelf")
    assert (remote().status, "does not answer" in remote().found) == (Status.DOUBTFUL, True)
    assert "secret" not in str(remote())
    gc.collect()  # DVC's client of the web leaves its session open: told here, not in a later test
    workspace.dvc("remote", "modify", "shelf", "url", "gs://bucket/shelf")  # its package is not installed
    assert (remote().status, "dvc-gs" in remote().found) == (Status.DOUBTFUL, True)
    workspace.dvc("remote", "remove", "shelf")
    assert (remote().status, "dvc remote add" in remote().to_do) == (Status.OK, True)


def test_a_password_in_a_remote_s_url_is_not_told_by_its_errors_either(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://user:secret@127.0.0.1:9/shelf"
    workspace.dvc("remote", "modify", "shelf", "url", url)

    def refuse(*_: object) -> bool:
        raise OSError(f"{url}: refused")

    monkeypatch.setattr(dvc_cache, "_exists", refuse)
    found = by_name(dvc_cache.check(full=False))["DVC remote"].found
    expected = "http://user@127.0.0.1:9/shelf"
    assert found == f"shelf ({expected}): cannot be reached: {expected}: refused"


def test_a_remote_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc_cache, "ANSWER_S", 0.05)
    with pytest.raises(TimeoutError, match="no answer"):
        dvc_cache._in_time(lambda: bool(time.sleep(0.5)))


def test_a_dvc_lock_that_is_no_lock_is_wrong_and_the_rest_is_looked_at(workspace: Workspace) -> None:
    (workspace.path / "dvc.lock").write_text("<<<<<<< HEAD\nstages: {}\n")
    found = by_name(dvc_cache.check(full=False))
    assert found["dvc.lock"].status is Status.WRONG
    assert "git checkout dvc.lock" in found["dvc.lock"].found
    assert found["DVC remote"].status is Status.OK
    assert (found["DVC cache"].status, "could not be checked" in found["DVC cache"].found) == (
        Status.WRONG,
        True,
    )


def test_a_folder_below_the_repository_is_doubtful_and_one_outside_of_it_is_wrong(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.path / "folder")
    assert by_name(dvc_cache.check(full=False))["DVC"].status is Status.DOUBTFUL
    monkeypatch.chdir(tmp_path)
    (found,) = dvc_cache.check(full=False)
    assert (found.status, "is a DVC repository" in found.found) == (Status.WRONG, True)


# git and params.yaml


def test_uncommitted_code_or_parameters_are_doubtful(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(params.parent)
    environment = {**os.environ, **GIT_IDENTITY}
    for words in ("init -q", "add params.yaml", "commit -qm one"):
        subprocess.run(["git", *words.split()], env=environment, check=True)
    found = by_name(checkout.check())
    assert [result.status for result in found.values()] == [Status.OK, Status.OK]
    with params.open("a") as file:
        file.write("# a remark\n")
    found = by_name(checkout.check())
    assert (found["git"].status, "params.yaml" in found["git"].found) == (Status.DOUBTFUL, True)


def test_outside_of_git_is_doubtful() -> None:
    assert checkout.git_result(provenance.Origin(None, (), "now", 0.0)).status is Status.DOUBTFUL


def test_wrong_parameters_are_wrong_with_every_line(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(params.parent)
    replace(params, r"  threads: \d+", "  threads: -1")
    replace(params, r"  confidence: \S+", "  confidence: 95")
    found = by_name(checkout.check())["params.yaml"]
    assert found.status is Status.WRONG
    assert len(re.findall(r"params\.yaml:\d+: ", found.found)) == 2
    params.unlink()
    assert by_name(checkout.check())["params.yaml"].status is Status.WRONG


# The command


def test_a_check_that_fails_is_wrong_and_keeps_what_it_had_found() -> None:
    def check() -> Iterator[Result]:
        yield Result("first", Status.OK, "fine")
        raise OSError("the disk\nis gone")

    first, second = guarded("second", check)
    assert first.status is Status.OK
    assert (second.name, second.status) == ("second", Status.WRONG)
    assert second.found == "could not be checked (OSError: the disk)"


def test_only_what_is_wrong_makes_the_command_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def finds(*statuses: Status) -> Callable[[bool], list[Result]]:
        return lambda _: [
            Result(f"check {s}", s, f"found {s}", "" if s is Status.OK else "do") for s in statuses
        ]

    for statuses, code in [
        ((Status.OK, Status.DOUBTFUL), 0),
        ((Status.WRONG, Status.OK, Status.DOUBTFUL), 1),
    ]:
        monkeypatch.setattr(command, "examine", finds(*statuses))
        assert command.run(tmp_path / "facts.json", full=False) == code
    assert json.loads((tmp_path / "facts.json").read_text())["status"] == "wrong"
    assert capsys.readouterr().out.endswith(
        "[!!] check wrong     found wrong\n"
        "                     -> do\n"
        "[ok] check ok        found ok\n"
        "[??] check doubtful  found doubtful\n"
        "                     -> do\n\n"
        "1 fine, 1 doubtful, 1 wrong\n"
    )


def test_on_a_terminal_lines_are_wrapped_below_their_column_and_nothing_that_is_copied_is_broken() -> None:
    path = "/a/" + "very-long-path/" * 5
    text = command.render(
        [Result("disk", Status.WRONG, f"{path} is full", f"`rm -f {path}`, then again")], 60
    )
    lines = text.splitlines()[:-2]
    assert lines == [f"[!!] disk  {path}", f"{' ' * 11}is full", f"{' ' * 11}-> `rm -f {path}`, then again"]


@pytest.mark.slow
def test_in_a_copy_of_the_project_nothing_is_wrong_and_the_output_is_json(tmp_path: Path) -> None:
    project = Workspace.make(tmp_path / "study", TINY)
    done = project.context_fbr("doctor", "--json")
    report = json.loads(done.stdout)
    assert report["status"] in ("ok", "doubtful")
    assert {check["name"] for check in report["checks"]} >= {
        "Python", "packages", "versions", "params.yaml", "git", "PyTorch", "device", "float32 gradients",
        "bf16 gradients", "repeatability", "threads", "memory", "disk: repository", "disk: DVC cache",
        "disk: temporary files", "disk: unfinished work", "unfinished work", "DVC", "dvc.lock", "DVC remote",
        "cache: complete", "cache: undamaged",
    }  # fmt: skip
    assert all(set(check) == {"name", "status", "found", "to_do"} for check in report["checks"])
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_outside_of_a_repository_and_without_pytorch_monai_and_dvc_it_says_so_in_clear_lines(
    tmp_path: Path,
) -> None:
    hide = "import sys; sys.modules.update(torch=None, monai=None, dvc=None); "
    start = "from context_fbr_tools.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", hide + start, "doctor"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for start in (
        "[!!] machine could not be checked (ModuleNotFoundError: import of torch halted",
        "[!!] DVC could not be checked",
        "[!!] params.yaml params.yaml: not found in this folder",
    ):
        assert any(line.startswith(start) for line in lines), done.stdout
    assert list(tmp_path.iterdir()) == []
