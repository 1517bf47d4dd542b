"""What several test files need."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import scan_studies
from browser import chromium
from filelock import FileLock
from known_code import KnownCode, parse_once
from playwright.sync_api import Browser
from result_repository import Repository
from slurm_cluster import MISSING, WHY_NOT, Cluster, cluster
from small_disk import small_disk
from small_results import CELLS
from web_server import Server, serve
from workspace import ROOT, TINY, Workspace

from context_fbr.config.document import Document
from context_fbr.metrics import columns
from context_fbr.runtime import git

for _name in git.OF_ONE_REPOSITORY:  # of the hook that may run the tests: they work on other repositories
    os.environ.pop(_name, None)

# A shell ignores Ctrl-C for what it starts in the background: a test that interrupts itself would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

parse_once()
KnownCode().use()

if TYPE_CHECKING:
    from benchmarks.request import Request

BENCHMARK = (
    ("edge: 48", "edge: 20"),
    ("{volumes: 20, radius: [12, 17]}", "{volumes: 6, radius: [4, 7]}"),
    ("{volumes: null, radius: [2, 23], each: true}", "{volumes: 5, radius: [4, 9]}"),
    ("{train: 16, validation: 4, test: imagesTs}", "{train: 4, validation: 2, test: imagesTs}"),
    ("patch_sizes: [16, 32, 48]", "patch_sizes: [16]"),
    ("epochs: 24", "epochs: 3"),
    ("windows: [patch, 16, 32, 48]", "windows: [patch]"),
    ("validate_every_epochs: 4", "validate_every_epochs: 2"),
)
"""What makes the study small enough to be measured in a test."""
LONGEST = (
    "test_slurm_faults.py",
    "test_wandb_faults.py",
    "test_pipeline.py",
    "test_loop.py",  # these need no study, which the other worker builds meanwhile
    "test_reported_gate.py",
    "test_doctor.py",
    "test_resume.py",
    "test_experiments.py",
    "test_commands_fuzz.py",
    "test_tasks.py",
    "test_workflows.py",
    "test_wandb.py",
    "test_stage_inputs.py",
    "test_hooks.py",
    "test_slurm.py",
    "test_plots_page.py",
)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that pytest's workers end together; a long test is slow, too."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))


def pytest_collection_finish() -> None:
    """Keep the libraries and the collected tests out of each garbage collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # 6 % less processor time in the tests of `diff`; freeze: 22 %


@pytest.fixture(scope="session", autouse=True)
def _without_wandb_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove the settings of a W&B account: trainings of tests are never uploaded to it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_CONFIG_DIR", str(tmp_path_factory.mktemp("wandb")))
        patch.setenv("NETRC", os.devnull)
        yield


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A params.yaml to change."""
    return Path(shutil.copy(ROOT / "tests" / "support" / "study.yaml", tmp_path / "params.yaml"))


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    """A Slurm cluster on this machine; where CI_SLURM_REQUIRED is set, its absence is a failure."""
    if MISSING and os.environ.get("CI_SLURM_REQUIRED"):
        pytest.fail(WHY_NOT)
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    folder = Path(tempfile.mkdtemp(prefix="fbr-slurm-"))  # a short path, for its sockets
    with pytest.MonkeyPatch.context() as patch, cluster(folder / "c") as own:
        patch.setenv("SLURM_CONF", own.environment["SLURM_CONF"])
        yield own
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium of this machine."""
    with chromium() as started:
        yield started


@pytest.fixture
def disk_256k(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with small_disk(tmp_path / "disk", "256k") as path:
        yield path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server to download from, with faults on request."""
    monkeypatch.setenv("no_proxy", "*")
    with serve() as told:
        yield told


@pytest.fixture
def change(params: Path) -> Callable[[str, str], Document]:
    """Replace a text that occurs once in params.yaml, and read the result."""

    def replace(before: str, after: str) -> Document:
        text = params.read_text()
        assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in params.yaml"
        params.write_text(text.replace(before, after))
        return Document.read(params)

    return replace


@pytest.fixture
def request_(
    params: Path, change: Callable[[str, str], Document], monkeypatch: pytest.MonkeyPatch
) -> Iterator["Request"]:
    """To measure a tiny study, in a folder of its own, with one thread."""
    import torch

    from benchmarks.request import Request

    for before, after in BENCHMARK:
        document = change(before, after)
    monkeypatch.chdir(params.parent)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the benchmarks compute; two would wait for each other on a busy machine
    cpu = torch.device("cpu")
    yield Request(document, "spheres", cpu, "float32", repeats=2, patch_sizes=(16,), networks=("unet",))
    torch.set_num_threads(threads)


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of eight cells: Dice 0.1 x seed + patch size / 100 for case a; case b is predicted empty."""
    monkeypatch.chdir(tmp_path)
    for folder in ("train/spheres", "test/spheres", "foreground_ratios/spheres", "baselines"):
        (tmp_path / "metrics" / folder).mkdir(parents=True)
    for cell in CELLS:
        change = 0.05 if cell.seed == 2 and cell.model == "unetr" else 0.001
        cell.history.write_text(
            "epoch,learning_rate,loss,validation_dice\n"
            f"1,0.1,0.9,\n2,0.1,0.5,0.7\n3,0.1,0.5,\n4,0.1,0.4,{0.7 + change}\n"
        )
        cell.foreground_ratios.write_text(
            "epoch,case,foreground_ratio\n1,c,0.0\n1,c,0.5\n2,c,0.25\n2,c,0.25\n"
        )
        dice = 0.1 * cell.seed + cell.patch_size / 100
        physical = [f"{2 * cell.seed},{cell.seed},{dice},0.25", ",,0.0,-0.5"]  # of cases a and b
        cell.scores.write_text(
            f"{','.join(columns.CELL_SCORES)}\n"
            f"a,{dice},{cell.seed},0.5,0.1,0.75,9,0.01,100,{physical[0]},{dice},{physical[0]},,,,,1,16\n"
            f"b,0.0,,1.0,0.01,0.0,0,0.0,10,{physical[1]},0.0,{physical[1]},,,,,0,16\n"
        )
    rows = [
        ("everything,0.99,a,0.2,9,9,0.1,1,900,1,100", 0.2),
        ("everything,0.99,b,0.1,9,9,0.01,1,990,1,10", 0.1),
        ("threshold,0.99,a,0.9,1,0.1,0.1,0.9,9,0.01,100", 0.9),
        ("threshold,0.99,b,1.0,0,0,0.01,1,0,0,10", 1.0),
    ]
    Path("metrics/baselines/spheres.csv").write_text(
        f"baseline,threshold,{','.join(columns.CASE_SCORES)}\n"
        + "".join(f"{row},18,9,{dice},1.5,{dice},18,9,{dice},1.5,,,,\n" for row, dice in rows)
    )
    return tmp_path


def once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], Workspace]) -> Workspace:
    """A workspace that one of pytest's workers builds for all; each gets a copy of its own."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{shared}.lock"):
        if not (shared / "whole").exists():  # or the build failed
            shutil.rmtree(shared, ignore_errors=True)
            build(shared / "study")
            (shared / "whole").touch()
    return Workspace(shared / "study").copy(factory.mktemp(name) / "study")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny study (two cells) after a plain serial `dvc repro`; not to be changed: take a `copy`."""

    def build(path: Path) -> Workspace:
        workspace = Workspace.make(path, TINY)
        workspace.repro()
        workspace.run("git", "gc", "-q", "--prune=now")  # one file in place of hundreds, in each copy
        return workspace

    return once(tmp_path_factory, "finished", build)


@pytest.fixture(scope="session")
def committed(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished study with its results committed; not to be changed: take a `copy` or a `clone`."""
    workspace = finished.copy(tmp_path_factory.mktemp("committed") / "study")
    workspace.commit("Results")
    return workspace


@pytest.fixture(scope="session")
def changed(committed: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """On top of the committed study a commit whose cells learn almost nothing; to be copied or cloned, too."""

    def build(path: Path) -> Workspace:
        workspace = committed.copy(path)
        workspace.edit("params.yaml", "  learning_rate: 0.005", "  learning_rate: 0.00001")
        workspace.repro()
        workspace.commit("A worse learning rate")
        workspace.run("git", "gc", "-q", "--prune=now")
        return workspace

    return once(tmp_path_factory, "changed", build)


@pytest.fixture(scope="session")
def structures_study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished study of MRI with three structures; not to be changed."""
    return once(tmp_path_factory, "structures", scan_studies.structures)


@pytest.fixture(scope="session")
def ct_study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished study of the real CT; not to be changed."""
    return once(tmp_path_factory, "ct", scan_studies.ct)


@pytest.fixture
def repository(params: Path) -> Repository:
    made = Repository(params.parent)
    made.git("init", "-q", "-b", "main")
    return made
