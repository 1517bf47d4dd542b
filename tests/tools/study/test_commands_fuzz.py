"""The command line with anything in the files that it reads: no traceback, no hang, no flood, nothing else touched.

Each example is the real command line in a process of its own (command_server.py), in a project with results and
with neighbours (fuzz_world.py). Examples are drawn with fixed seeds, so a failure comes back; all of a kind are
tried, and all failures reported together.
"""

import io
import os
import re
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import fuzz_world
import pytest
from command_server import CommandServer, Ended, serve
from damaged_nifti import IMAGE, LABEL, mutants
from fuzz_world import CT, PLAIN, STALE, entry
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msd_dataset import Dataset
from mutations import efforts, mutated_bytes, mutated_json, mutated_table
from odd_params import ARGUMENTS, ENDLESS, SIZES, texts
from packed import HOSTILE, member

MOST_CPU_S = 5.0
MOST_BYTES = 10**9
STATUSES = (0, 1, 2, 75)
CRASHES = ("Traceback (most recent call last)", "Segmentation fault", "Fatal Python error", "Exception in thread", "Exception ignored")  # fmt: skip
RESULTS = ("data/raw", "data/prepared", "data/predictions", "data/code", "models", "metrics", "plots", "dvc.lock", ".dvc/tmp")  # fmt: skip
OF_DVC = (".dvc/tmp", ".dvc/cache", ".dvc/.gitignore")
CHUNK = 100  # examples of one seed
SERVERS = 2
Example = TypeVar("Example")


@dataclass(frozen=True)
class Command:
    """A command line, or a stage, and the paths that it may write."""

    arguments: tuple[str, ...]
    writes: tuple[str, ...] = ()
    stage: str | None = None

    def __str__(self) -> str:
        return " ".join(
            (f"python -m context_fbr.{self.stage}" if self.stage else "context-fbr", *self.arguments)
        )


@dataclass
class Bench:
    """A server, and a world for its commands that is made again for each example."""

    server: CommandServer
    pristine: Path
    path: Path
    statuses: dict[str, dict[int, int]] = field(default_factory=dict)
    slowest_s: float = 0.0
    total_s: float = 0.0
    largest_bytes: int = 0

    def renew(self) -> Path:
        """A new world; its project."""
        if self.path.exists():
            shutil.rmtree(self.path)
        shutil.copytree(self.pristine, self.path, symlinks=True)
        return self.path / "project"

    def problems(self, command: Command) -> list[str]:
        """Run a command; what is wrong with its end, in words."""
        before = fuzz_world.snapshot(self.path)
        log = self.path.with_name(f"{self.path.name}.log")
        ended = self.server.run(self.path / "project", log, *command.arguments, stage=command.stage)
        counts = self.statuses.setdefault(command.stage or command.arguments[0], {})
        counts[ended.status] = counts.get(ended.status, 0) + 1
        self.slowest_s = max(self.slowest_s, ended.cpu_s)
        self.total_s += ended.cpu_s
        self.largest_bytes = max(self.largest_bytes, ended.peak_bytes)
        writes = tuple(f"project/{name}" for name in (*command.writes, ".git/index"))
        touched = fuzz_world.changes(before, fuzz_world.snapshot(self.path), ("site", *writes))
        return [f"{command}: {problem}" for problem in [*judge(ended), *touched]]


def judge(ended: Ended) -> list[str]:
    """What is wrong with the end of a command."""
    problems = []
    if ended.status not in STATUSES:
        problems.append(f"status {ended.status}")
    problems += [f"{crash}: {ended.output[-1500:]}" for crash in CRASHES if crash in ended.output]
    if ended.status == 0 and re.search(r"^error: ", ended.output, re.MULTILINE):
        problems.append(f"an error and status 0: {ended.output[-500:]}")
    if ended.status and not ended.output.strip():
        problems.append(f"status {ended.status} without a word")
    if ended.cpu_s >= MOST_CPU_S:
        problems.append(f"{ended.cpu_s:.1f} s of CPU time")
    if ended.peak_bytes >= MOST_BYTES:
        problems.append(f"{ended.peak_bytes:,} bytes of memory")
    return problems


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "pristine"
    fuzz_world.make(path)
    return path


@pytest.fixture(scope="module")
def environment(pristine: Path) -> dict[str, str]:
    """Of the commands: one thread, no GPU, nothing of the user's."""
    own = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        **own,
        "CONTEXT_FBR_DEVICE": "cpu",
        "MPLCONFIGDIR": str(pristine.parent),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


@pytest.fixture(scope="module")
def first(pristine: Path, environment: dict[str, str]) -> Iterator[Bench]:
    with serve(**environment) as server:
        yield Bench(server, pristine, pristine.with_name("world 1"))


@pytest.fixture(scope="module")
def second(pristine: Path, environment: dict[str, str]) -> Iterator[Bench]:
    """A second server and world, where no other worker needs the second core."""
    with serve(**environment) as server:
        yield Bench(server, pristine, pristine.with_name("world 2"))


@pytest.fixture
def benches(first: Bench, request: pytest.FixtureRequest) -> list[Bench]:
    benches = (
        [first, request.getfixturevalue("second")] if not os.environ.get("PYTEST_XDIST_WORKER") else [first]
    )
    for bench in benches:
        bench.statuses, bench.slowest_s, bench.largest_bytes, bench.total_s = {}, 0.0, 0, 0.0
    return benches


def drawn(strategy: SearchStrategy[Example], number: int) -> list[Example]:
    """Draw examples; the same ones each time."""
    found: list[Example] = []

    def keep(example: Example) -> None:
        found.append(example)

    for chunk, start in enumerate(range(0, number, CHUNK)):
        draw = settings(
            max_examples=min(CHUNK, number - start), database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        seed(chunk)(draw(given(strategy)(keep)))()
    return found


def attack(
    benches: list[Bench], examples: list[Example], prepare: Callable[[Path, Example], list[Command]]
) -> dict[str, dict[int, int]]:
    """Run the commands that `prepare` gives for each example; the counts of their statuses.

    Args:
        benches: work side by side.
        examples: to try.
        prepare: writes an example into a new project.
    """
    idle: SimpleQueue[Bench] = SimpleQueue()
    for bench in benches:
        idle.put(bench)

    def one(number: int) -> list[str]:
        bench = idle.get()
        try:
            project = bench.renew()
            commands = prepare(project, examples[number])
            found = [problem for command in commands for problem in bench.problems(command)]
            for problem in found:
                print(f"example {number}: {problem}", flush=True)
            return [f"example {number}, {repr(examples[number])[:300]}: {problem}" for problem in found]
        finally:
            idle.put(bench)

    with ThreadPoolExecutor(len(benches)) as pool:
        failures = [problem for found in pool.map(one, range(len(examples))) for problem in found]
    counts: dict[str, dict[int, int]] = {}
    for bench in benches:
        for name, statuses in bench.statuses.items():
            for status, count in statuses.items():
                own = counts.setdefault(name, {})
                own[status] = own.get(status, 0) + count
    slowest, largest = max(b.slowest_s for b in benches), max(b.largest_bytes for b in benches)
    print(
        f"{len(examples)} examples, {counts}, {sum(b.total_s for b in benches):.1f} s of CPU time, slowest {slowest:.2f} s, largest {largest:,} bytes"
    )
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures[:40])
    return counts


@pytest.mark.long
def test_the_commands_work_on_the_project_as_it_is(first: Bench) -> None:
    """Or the examples below would be refused for another reason than theirs."""
    expected = {
        Command(("check",)): 0,
        Command(("show",)): 0,
        Command(("diff", "HEAD")): 0,
        Command(("published", "published", "--out", "out"), ("out",)): 0,
        Command(("verify", "zoo")): 0,
        Command(("task", "init", "zoo", "--name", "own")): 0,
        Command(("predict", CT.key, "zoo/imagesTr", "--out", "masks"), ("masks",)): 0,
        Command(("check-lock",), OF_DVC): 1,  # src has no such hashes
        Command(("prune",), RESULTS): 0,
    }
    for command, status in expected.items():
        project = first.renew()
        first.statuses = {}
        assert first.problems(command) == []
        assert first.statuses == {command.arguments[0]: {status: 1}}, project.parent / "world 1.log"
    assert not (project / STALE.weights).exists()
    assert (project / PLAIN.weights).exists()


# Images.

PACKED = mutants(IMAGE).filter(lambda mutant: mutant[0] == ".nii.gz").map(lambda mutant: mutant[1])
PACKED_LABEL = mutants(LABEL).filter(lambda mutant: mutant[0] == ".nii.gz").map(lambda mutant: mutant[1])
FIVE_HEADERS = st.tuples(PACKED, PACKED, PACKED, PACKED_LABEL, PACKED_LABEL)


@efforts(None, 15)
def test_five_images_with_any_header_are_verified_and_segmented(benches: list[Bench], examples: int) -> None:
    def prepare(project: Path, contents: tuple[bytes, ...]) -> list[Command]:
        dataset = Dataset(project / "zoo")
        (project / "scans").mkdir()
        places = [
            ("imagesTr", "a"),
            ("imagesTr", "b"),
            ("imagesTs", "t"),
            ("labelsTr", "a"),
            ("labelsTr", "c"),
        ]
        for (folder, case), content in zip(places, contents, strict=True):
            dataset.file(folder, case).write_bytes(content)
            (project / "scans" / f"{folder}_{case}.nii.gz").write_bytes(content)
        cell = (PLAIN, CT)[len(contents[0]) % 2]
        return [
            Command(("verify", "zoo", "--json", "report.json"), ("report.json",)),
            Command(("predict", cell.key, "scans", "--out", "masks"), ("masks",)),
        ]

    counts = attack(benches, drawn(FIVE_HEADERS, examples), prepare)
    assert set(counts) == {"verify", "predict"}


# params.yaml.


@st.composite
def network_arguments(draw: st.DrawFn) -> bytes:
    """A small study whose network has any arguments."""
    text = (fuzz_world.ROOT / "tests" / "support" / "study.yaml").read_text()
    changes = draw(
        st.dictionaries(st.sampled_from(ARGUMENTS), st.sampled_from(SIZES), min_size=1, max_size=2)
    )
    arguments = {"channels": "[8, 16, 32, 64]", "strides": "[2, 2, 2]"} | changes
    block = "".join(f"    {key}: {value}\n" for key, value in arguments.items())
    text = text.replace("[unet, attention_unet, unetr]", "[net]").replace("[16, 32, 48]", "[16]")
    return text.replace("models:", f"models:\n  net:\n    network: UNet\n{block}", 1).encode()


PARAMS = (
    texts
    | texts
    | texts
    | network_arguments()
    | st.sampled_from([text.encode() for text in ENDLESS.values()])
)


@efforts(None, 30)
def test_check_accepts_or_refuses_any_params_yaml(benches: list[Bench], examples: int) -> None:
    def prepare(project: Path, content: bytes) -> list[Command]:
        (project / "params.yaml").write_bytes(content)
        return [Command(("check",))]

    attack(benches, drawn(PARAMS, examples), prepare)


# dataset.json.

DESCRIPTION = '{"name": "Zoo", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen"}, "numTraining": 3, "numTest": 1, "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, {"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"}, {"image": "./imagesTr/c.nii.gz", "label": "./labelsTr/c.nii.gz"}], "test": ["./imagesTs/t.nii.gz"]}'


@efforts(None, 20)
def test_any_dataset_json_is_verified_and_proposed_or_refused(benches: list[Bench], examples: int) -> None:
    def prepare(project: Path, content: bytes) -> list[Command]:
        (project / "zoo" / "dataset.json").write_bytes(content)
        return [
            Command(("verify", "zoo")),
            Command(("task", "init", "zoo", "--name", "own", "--write"), ("params.yaml",)),
        ]

    attack(benches, drawn(mutated_json(DESCRIPTION), examples), prepare)


# Archives.

NAMES = ("imagesTr/d.nii.gz", "../x", "a/../../x", "/tmp/context-fbr-x", "..\\x", "dataset.json", "labelsTr", "x" * 300, "a/" * 300 + "b",
         "\x1b[2J", "a\nerror: b", "é", "._a", "__MACOSX/a", "", ".", "C:\\x", "imagesTr/a.nii.gz/b", "~/x", "con", "a\x00b", "README.md")  # fmt: skip
LINKS = ("/etc/passwd", "../../../src", "../../neighbour", "dataset.json", ".", "loop")
KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"Z")  # fmt: skip
ENDINGS = ("zoo.tar", "zoo.tar.gz", "zoo.tgz", "zoo.zip")
added = st.builds(
    lambda name, kind, link, content: member(name, kind, link, content if kind == tarfile.REGTYPE else b""),
    st.sampled_from(NAMES), st.sampled_from(KINDS), st.sampled_from(LINKS), st.binary(max_size=20),
) | st.sampled_from([hostile for hostile, _ in HOSTILE.values()])  # fmt: skip
SPARSE = ({"GNU.sparse.map": "", "GNU.sparse.size": "9"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, {"GNU.sparse.map": "0,1,x"},
          {"size": "-1"}, {"size": "9" * 30}, {"path": "../x"}, {"mtime": "nan"}, {"uid": "x"}, {"linkpath": "/etc"})  # fmt: skip


def sound_members() -> list[tuple[str, bytes]]:
    """Of an archive that is a data set."""
    files = [("dataset.json", DESCRIPTION.encode())]
    files += [(f"imagesTr/{case}.nii.gz", _packed(IMAGE)) for case in "abc"]
    return files + [(f"labelsTr/{case}.nii.gz", _packed(LABEL)) for case in "abc"]


def _packed(content: bytes) -> bytes:
    import gzip

    return gzip.compress(content, mtime=0)


def packed(
    ending: str, top: str, extra: list[tuple[tarfile.TarInfo, bytes]], pax: dict[str, str] | None
) -> bytes:
    """An archive of a data set with further members."""
    to = io.BytesIO()
    if ending == "zoo.zip":
        with warnings.catch_warnings(), zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in sound_members():
                file.writestr(f"{top}{name}", content)
            warnings.simplefilter("ignore")  # of names that are there twice
            for info, content in extra:
                link = zipfile.ZipInfo(info.name or "x")
                link.create_system = 3
                link.external_attr = (0o120777 if info.issym() else 0o100644) << 16
                file.writestr(link, content)
        return to.getvalue()
    members = [member(f"{top}{name}", content=content) for name, content in sound_members()] + extra
    if pax:
        info, content = member(f"{top}imagesTr/sparse.nii.gz", content=b"x" * 512)
        info.pax_headers = pax
        members.append((info, content))
    with tarfile.open(
        fileobj=to, mode="w:gz" if ending != "zoo.tar" else "w", format=tarfile.PAX_FORMAT
    ) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return to.getvalue()


@st.composite
def archives(draw: st.DrawFn) -> tuple[str, bytes]:
    """Name and content of an archive: a data set with members that must not be there, damaged or misnamed."""
    ending = draw(st.sampled_from(ENDINGS))
    top = draw(st.sampled_from(("Task99_Zoo/", "", "a/b/", "../", "/")))
    extra = draw(st.lists(added, max_size=3))
    content = packed(ending, top, extra, draw(st.none() | st.sampled_from(SPARSE)))
    content = draw(st.just(content) | mutated_bytes(content) | st.sampled_from([content]))
    return draw(st.just(ending) | st.just(ending) | st.sampled_from(ENDINGS)), content


@efforts(None, 20)
def test_any_archive_becomes_the_data_of_its_task_or_is_refused(benches: list[Bench], examples: int) -> None:
    def prepare(project: Path, drawn: tuple[str, bytes]) -> list[Command]:
        name, content = drawn
        params = project / "params.yaml"
        params.write_text(params.read_text().replace("archive: zoo.tar", f"archive: {name}"))
        (project / "data" / "incoming" / name).write_bytes(content)
        (project / "dvc.yaml").unlink()  # names dependencies of another stage
        return [Command(("zoo",), ("data/raw",), stage="raw")]

    attack(benches, drawn(archives(), examples), prepare)
    assert not Path("/tmp/context-fbr-x").exists()


# dvc.lock.

STAGES = ("train@zz-y-1-1", "evaluate@zz-y-1-1", "raw@zz", "raw@incoming", "raw@../incoming", "raw@.", "raw@", "prepare@zz", "baseline@zz", "train@zz",
          "train@..-..-1-1", "train@zz-y-01-1", f"train@{STALE.key}", f"evaluate@{STALE.key}", "raw@liver", "analyze@spheres", "~", "1", "[a]", "'raw@a\nb'")  # fmt: skip
PATHS = (".git", "src", "data", "data/incoming", "../neighbour", "../linked/deep", "elsewhere", "elsewhere/deep", "data/mine/deep", "models", "models/../src",
         "README.md", "''", ".", "./src", f"models/{STALE.key}", f"models/{PLAIN.key}", "metrics", "params.yaml", "dvc.lock", ".dvc", "zoo", "/etc/passwd", "[a]",
         "{a: 1}", "~", "1", '"a\\0b"', '"a\\nb"', "x" * 5000, "models/" + "a/" * 500, "'*'", "~/.ssh", "data/raw/liver", "data/raw/liver/../../incoming")  # fmt: skip
BOMBS = (
    "[" * 120_000, "{a: " * 40_000, "stages: " + "[" * 120_000 + "]" * 120_000, "schema: '2.0'\nstages:\n" + "\n".join(f"{' ' * i}a:" for i in range(2, 3000)),
    f"s: &s {'x' * 20_000}\na: &a [{', '.join(['*s'] * 100)}]\nb: &b [{', '.join(['*a'] * 100)}]\nstages: {{c: *b}}\n", "stages: &s\n  <<: *s\n",
    "schema: '2.0'\nstages:\n" + "".join(entry(f"train@zz-y-{n}-1", f"models/zz-y-{n}-1") for n in range(2_000)), "9" * 200_000, "stages: 1", "- 1", "",
    "schema: '2.0'\nstages: {" + ", ".join(f"raw@a{n}: {{}}" for n in range(100)) + "}", "? " * 50_000, "- " * 60_000, "&a " * 1000, "\x00" * 1000, "!!python/object:os.system ls",
)  # fmt: skip
ODD_FILES = ("fifo", "/dev/zero", "/dev/full", "folder", "itself", "dangling", "/etc/passwd")


def put(path: Path, what: bytes | str) -> None:
    """Put content in the place of a file, or a thing that is no file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    match what:
        case bytes():
            path.write_bytes(what)
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "itself":
            path.symlink_to(path.name)
        case "dangling":
            path.symlink_to("nothing")
        case _:
            path.symlink_to(what)


LOCK = fuzz_world.lock()
hostile_entries = st.lists(
    st.builds(lambda stage, paths: entry(stage, *paths), st.sampled_from(STAGES), st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)),
    min_size=1, max_size=3,
).map(lambda entries: (LOCK + "".join(entries)).encode())  # fmt: skip
swapped = st.tuples(
    st.sampled_from(["b" * 32, "data/raw/liver", "path", "outs", "deps", "stages", "md5", f"train@{STALE.key}", "cmd: x", "size: 1", "'2.0'"]),
    st.sampled_from(["", "1", "../..", "/", ".", "[]", "{}", "~", "a: 1", "&a", "*a", "é", "x" * 5000, ".git", "src", "!!binary x"]),
).map(lambda pair: LOCK.replace(*pair).encode())  # fmt: skip
LOCKS: SearchStrategy[bytes | str] = (
    hostile_entries | hostile_entries | swapped | mutated_bytes(LOCK.encode()) | st.sampled_from([bomb.encode() for bomb in BOMBS]) | st.sampled_from(ODD_FILES)
)  # fmt: skip
MOVED = (
    None,
    None,
    None,
    "models",
    "metrics",
    "data",
    "data/raw",
    "metrics/train",
    "data/predictions",
)
"""What of the project is a link to a folder outside of it, in which the same files lie."""


@efforts(None, 20)
def test_no_dvc_lock_makes_a_command_touch_what_is_no_result(benches: list[Bench], examples: int) -> None:
    def prepare(project: Path, drawn: tuple[bytes | str, str | None]) -> list[Command]:
        content, moved = drawn
        put(project / "dvc.lock", content)
        if moved:
            target = project.parent / "linked" / "moved"
            (project / moved).rename(target)
            (project / moved).symlink_to(target)
        diff = Command(("diff", "HEAD", "--json", "diff.json"), ("diff.json",))
        prune = Command(("prune",), RESULTS)
        asks_dvc = [] if len(content) % 4 else [Command(("check-lock",), OF_DVC)]  # most of the time
        return [diff, *asks_dvc, prune]

    attack(benches, drawn(st.tuples(LOCKS, st.sampled_from(MOVED)), examples), prepare)


# Folders of metrics.

TABLES = ("metrics/spheres/summary.json", "metrics/spheres/findings.json", "metrics/paper_means.csv", "metrics/spheres/cases.csv", "metrics/spheres/cells.csv",
          "published/synthetic-unet/synthetic-unet-32-1.csv", "published/synthetic-unet/foreground_ratios-32.csv", "published/synthetic-atunet")  # fmt: skip
EXTRAS = ("metrics/x.csv", "metrics/deep/er/x.json", "metrics/headline/spheres.json", "published/x-y/z.csv", "published/synthetic-unetr/synthetic-unetr-32-1.csv", "published/.ipynb_checkpoints/a.csv",
          "published/synthetic-unet/synthetic-unet-99999999999999999999-1.csv", "published/synthetic-unet/foreground_ratios-0.csv", "published/__MACOSX/a", "published/synthetic-unet/\x1b[2J.csv",
          "published/synthetic-unet/error: a\n.csv")  # fmt: skip
HUGE = (b"[" * 3_000_000, b"9" * 5_000_000, b"a,b\n" * 1_000_000, b"0.5\n" * 500_000, b"a" * 20_000_000, b'{"a": ' * 1_000_000, b"\x00" * 1_000_000, b"\xff\xfe" * 1000)  # fmt: skip


@st.composite
def metrics(draw: st.DrawFn, texts: dict[str, str]) -> tuple[tuple[str, bytes | str], ...]:
    """Files in metrics and published, with what is put in their places."""

    def content(name: str) -> bytes | str:
        text = texts.get(name, "a,b\n1,2\n")
        mutated = mutated_json(text) if name.endswith(".json") and name in texts else mutated_table(text)
        kinds = [mutated] * 6 + [st.sampled_from(HUGE), st.sampled_from(ODD_FILES), st.just("missing")]
        return draw(draw(st.sampled_from(kinds)))

    names = draw(
        st.lists(st.sampled_from(TABLES) | st.sampled_from(EXTRAS), min_size=1, max_size=2, unique=True)
    )
    return tuple((name, content(name)) for name in names)


@efforts(None, 20)
def test_any_folder_of_metrics_is_shown_and_compared_or_refused(
    benches: list[Bench], pristine: Path, examples: int
) -> None:
    def prepare(project: Path, changes: tuple[tuple[str, bytes | str], ...]) -> list[Command]:
        for name, content in changes:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            put(project / name, content)
        published = any(name.startswith("published") for name, _ in changes)
        commands = [
            Command(("show",)),
            Command(("show", "--markdown")),
            Command(("diff", "HEAD", "--markdown", "diff.md", "--fail-on-regression"), ("diff.md",)),
        ]
        own = Command(("published", "published", "--out", "out", "--keep-going"), ("out",))
        return [own] if published else commands

    texts = {name: path.read_text() for name in TABLES if (path := pristine / "project" / name).is_file()}
    attack(benches, drawn(metrics(texts), examples), prepare)
