"""The stage `raw` of a task that comes as an archive or a folder: what is wrong is said, and a retry works."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msd_dataset import Dataset
from web_server import NAME
from workspace import ROOT

from context_fbr import raw
from context_fbr.config.document import Document
from context_fbr.config.raw.source import ArchiveRaw, FolderRaw, folder_warnings, read_raw
from context_fbr.config.study import read_study
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.datasets.archive import acquire as bringing
from context_fbr_tools.commands.study import check
from context_fbr_tools.grid import local

RAW = Path("data/raw/zoo")
INCOMING = Path("data/incoming") / NAME


@pytest.fixture
def study(tmp_path: Path, params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml to work in; a sound data set is in zoo/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONTEXT_FBR_ARCHIVE_ZOO", raising=False)
    Dataset.make(tmp_path / "zoo")
    return tmp_path


def task(url: str | None = None, md5: str | None = None, folder: str | None = None) -> None:
    """Give params.yaml the task `zoo`, an archive or a folder."""
    if folder:
        source = f"{{source: folder, folder: {folder}}}"
    else:
        source = (
            f"{{source: archive, archive: {NAME}, url: {url or 'null'}, md5: {repr(md5) if md5 else 'null'}}}"
        )
    block = f"""
  zoo:
    raw: {source}
    prepare: {{split: {{train: 1, validation: 1, test: 1}}, window: [-57, 164]}}
    train: {{epochs: 10}}
    evaluate: {{surface_tolerance_mm: 2.0}}
"""
    params = Path("params.yaml")
    text = params.read_text().partition("\n  zoo:")[0]
    before, _, after = text.partition("\nmodels:")
    params.write_text(f"{before}{block}\nmodels:{after}")


def pack(to: Path) -> bytes:
    """Pack zoo/ into an archive; return its content."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(to, "w") as file:
        file.add("zoo", "Task99_Zoo")
    return to.read_bytes()


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused() -> tuple[str, ...]:
    """What the stage complains of; nothing of the task is left under data/raw."""
    with pytest.raises(UserError) as caught:
        raw.main(["zoo"])
    assert list(Path("data/raw").glob("*")) == []
    return caught.value.problems


def test_an_archive_becomes_the_raw_data_of_its_task(study: Path) -> None:
    task(md5=md5_of(pack(INCOMING)))
    raw.main(["zoo"])
    assert files(RAW) == files(Path("zoo"))
    assert INCOMING.exists()


DIGEST = "find * -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"


@pytest.mark.parametrize("source", ["archive", "unpacked", "variable", "folder"])
def test_every_source_of_a_data_set_gives_the_same_digest_as_the_shell(
    source: str, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task(md5=md5_of(pack(INCOMING)) if source == "archive" else "0" * 32)
    if source != "archive":
        INCOMING.unlink(missing_ok=True)
    if source == "unpacked":
        shutil.copytree("zoo", INCOMING.with_suffix(""))
    if source == "variable":
        monkeypatch.setenv("CONTEXT_FBR_ARCHIVE_ZOO", str(study / "zoo"))
    if source == "folder":
        task(folder="zoo")
    (study / "zoo/notes.txt").write_text("is not copied")

    raw.main(["zoo"])

    record = json.loads(Path("metrics/provenance/raw/zoo.json").read_text())
    by_shell = subprocess.run(DIGEST, shell=True, cwd=RAW, capture_output=True, text=True, check=True).stdout
    assert record["sha256"] == by_shell.split()[0]
    assert record["files"] == len(files(RAW)) == 8
    assert record["bytes"] == sum(map(len, files(RAW).values()))
    assert files(RAW) == {
        name: content for name, content in files(Path("zoo")).items() if name != "notes.txt"
    }
    is_archive = source == "archive"
    assert (record["kind"], record["md5"] is None) == ("archive" if is_archive else "folder", not is_archive)


def test_a_folder_becomes_the_raw_data_without_what_does_not_belong_to_it(study: Path) -> None:
    before = files(Path("zoo"))
    Path("zoo/notes.txt").write_text("not ours")
    Path("zoo/imagesTr/._a.nii.gz").write_bytes(b"of macOS")
    Path("zoo/imagesTr/a.nii.gz.bak").write_bytes(b"of an editor")
    linked = Path("zoo/imagesTr/a.nii.gz")
    linked.rename("elsewhere.nii.gz")
    linked.symlink_to(Path("elsewhere.nii.gz").resolve())
    task(folder="zoo")
    raw.main(["zoo"])
    assert files(RAW) == before
    assert not any(path.is_symlink() for path in RAW.rglob("*"))


def swap(dataset: Dataset) -> None:
    paths = [dataset.file("labelsTr", case) for case in "ab"]
    dataset.write("labelsTr", "a", dataset.voxels("labelsTr", "a")[:, :, :8])
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda d: d.cut("imagesTr", "b"), ["imagesTr/b.nii.gz: is a gzip file that is cut"]),
        (swap, ["labelsTr/b.nii.gz: shape 12 x 11 x 8, but its image has 12 x 11 x 10"]),
        (lambda d: d.image(lambda v: np.where(v > 600, np.nan, v)), ["imagesTr/b.nii.gz: 1 of 1320 voxels are NaN"]),
        (lambda d: d.label(lambda v: v * 7), ["labelsTr/b.nii.gz: 1 unknown label value: 7; expected 0, 1"]),
        (lambda d: (d.path / "dataset.json").unlink(), ["dataset.json: is missing"]),
        (
            lambda d: (d.cut("imagesTr", "a"), d.label(lambda v: v * 0), d.file("labelsTr", "c").unlink()),
            [
                "imagesTr/a.nii.gz: is a gzip file that is cut",
                "labelsTr/b.nii.gz: is empty: every voxel is 0",
                "imagesTr/c.nii.gz: image without label",
            ],
        ),
    ],
    ids=["cut", "swapped", "NaN", "label 7", "no dataset.json", "three at once"],
)  # fmt: skip
@pytest.mark.parametrize("source", ["archive", "folder"])
def test_everything_wrong_with_a_data_set_is_reported_at_once_and_the_repaired_one_works(
    study: Path, source: str, damage: Callable[[Dataset], object], expected: list[str]
) -> None:
    shutil.copytree("zoo", "sound")
    damage(Dataset(Path("zoo")))
    if source == "archive":
        pack(INCOMING)
    task(folder="zoo" if source == "folder" else None)
    problems = refused()
    name = INCOMING if source == "archive" else Path("zoo")
    for text in expected:
        assert any(problem.startswith(f"{name}: {text}") for problem in problems), (text, problems)
    assert len(problems) == len(expected)
    shutil.rmtree("zoo")
    shutil.copytree("sound", "zoo")
    if source == "archive":
        pack(INCOMING)
    raw.main(["zoo"])
    assert files(RAW) == files(Path("zoo"))


def test_what_was_there_before_a_failure_stays(study: Path) -> None:
    task(md5=md5_of(pack(INCOMING)))
    raw.main(["zoo"])
    before = files(RAW)
    INCOMING.write_bytes(INCOMING.read_bytes()[:-3000])
    with pytest.raises(UserError, match="its md5 is"):
        raw.main(["zoo"])
    assert files(RAW) == before
    assert [path.name for path in Path("data/raw").iterdir()] == ["zoo"]


def test_warnings_are_printed_and_do_not_stop(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("zoo/imagesTr/readme.txt").write_text("not an image")
    task(folder="zoo")
    raw.main(["zoo"])
    assert "warning: zoo: imagesTr/readme.txt: is no .nii or .nii.gz" in capsys.readouterr().err
    assert not (RAW / "imagesTr/readme.txt").exists()


def test_a_folder_that_is_not_there_is_named_with_the_key(study: Path) -> None:
    task(folder="/nowhere/Task99")
    (problem,) = refused()
    assert problem.startswith("tasks.zoo.raw.folder of params.yaml: /nowhere/Task99 is not a folder")


@pytest.mark.parametrize("folder", ["$PLACE/zoo", "~/zoo", "zoo"])
def test_a_folder_may_be_given_by_a_variable_by_the_home_or_below_the_project(
    study: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("PLACE", str(study))
    monkeypatch.setenv("HOME", str(study))
    task(folder=folder)
    raw.main(["zoo"])
    assert files(RAW) == files(Path("zoo"))


def test_a_variable_that_is_not_set_fails_its_own_stage_only_and_is_named(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACE", raising=False)
    task(folder="'${PLACE}/zoo'")
    (problem,) = refused()
    assert problem.startswith(
        "tasks.zoo.raw.folder of params.yaml: ${PLACE}/zoo: the environment variable PLACE "
    )
    found = read_study(Document.read())
    (warning,) = folder_warnings(found.document, "zoo", found.tasks["zoo"].raw)
    assert re.fullmatch(r"params\.yaml:\d+: tasks\.zoo\.raw\.folder: PLACE: .* not set here", warning)


@pytest.mark.parametrize(
    ("folder", "warns"), [("/data/zoo", True), ("data/zoo", False), ("$HOME/zoo", False)]
)
def test_check_warns_of_a_folder_that_other_machines_may_not_have(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str, warns: bool
) -> None:
    task(folder=folder)
    monkeypatch.setattr(check, "check_networks", lambda _: None)
    check.run(Namespace())
    printed = capsys.readouterr()
    assert printed.out.startswith("params.yaml: valid")
    assert ("warning: params.yaml:" in printed.err) == warns
    assert (": tasks.zoo.raw.folder: /data/zoo is absolute" in printed.err) == warns


@pytest.mark.parametrize(
    ("folder", "how"),
    [
        ("data/raw/zoo", "is"),
        ("$HERE/data/raw/zoo", "is"),
        ("./data/../data/raw/zoo/", "is"),
        ("HERE/data/raw/zoo", "is"),
        ("linked", "is"),
        ("data/raw/zoo/Task99_Zoo", "is inside"),
        ("data/raw", "holds"),
        (".", "holds"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_dvc_would_empty_before_it_is_copied_is_refused_with_its_line(
    study: Path, monkeypatch: pytest.MonkeyPatch, folder: str, how: str, is_there: bool
) -> None:
    if is_there:
        shutil.copytree("zoo", RAW)
    Path("linked").symlink_to(RAW)
    monkeypatch.setenv("HERE", str(study))
    named = folder if folder.startswith("$") else folder.replace("HERE", str(study))
    task(folder=named)
    lines = Path("params.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if f"folder: {named}" in text)
    with pytest.raises(UserError) as caught:
        raw.main(["zoo"])
    (problem,) = caught.value.problems
    assert problem.startswith(
        f"params.yaml:{line}: tasks.zoo.raw.folder: {named} {how} data/raw/zoo, which DVC empties"
    )
    assert not is_there or files(RAW) == files(Path("zoo"))


def test_a_folder_of_the_same_name_elsewhere_and_that_of_another_task_are_taken(study: Path) -> None:
    for folder in ("elsewhere/data/raw/zoo", "data/raw/zoo_2"):
        shutil.copytree("zoo", folder)
        task(folder=folder)
        raw.main(["zoo"])
        assert files(RAW) == files(Path("zoo"))


def test_a_folder_that_cannot_be_found_is_reported_with_its_line(study: Path) -> None:
    task(folder="~nobody_of_this_name/zoo")
    (problem,) = refused()
    assert "tasks.zoo.raw.folder: ~nobody_of_this_name/zoo cannot be found: " in problem


def test_a_file_that_cannot_be_read_while_it_is_copied_is_not_reported_as_a_write_error(study: Path) -> None:
    unreadable = Path("/proc/self/mem")  # a regular file whose first bytes give an input/output error
    if not unreadable.exists():
        pytest.skip("only Linux has /proc/self/mem")
    Path("zoo/labelsTr/b.nii.gz").unlink()
    Path("zoo/labelsTr/b.nii.gz").symlink_to(unreadable)
    with (
        pytest.raises(
            UserError, match=r"^zoo/labelsTr/b\.nii\.gz: cannot be read: Input/output error; correct"
        ),
        atomic.directory(RAW) as folder,  # as the stage does
    ):
        bringing._copy(Path("zoo"), folder)
    assert list(Path("data/raw").glob("*")) == []


def test_the_stage_reads_what_params_yaml_says(study: Path) -> None:
    task(url="https://example.org/a.tar", md5="0" * 32)
    found = read_raw(Document.read(), "zoo")
    assert found == ArchiveRaw(source="archive", archive=NAME, url="https://example.org/a.tar", md5="0" * 32)
    task(folder="zoo")
    assert read_raw(Document.read(), "zoo") == FolderRaw(source="folder", folder="zoo")


def test_the_stage_exits_with_1_and_one_line_an_error(study: Path) -> None:
    Dataset(Path("zoo")).cut("imagesTr", "a")
    Dataset(Path("zoo")).cut("labelsTr", "b")
    task(folder="zoo")
    done = subprocess.run([sys.executable, "-m", "context_fbr.raw", "zoo"], capture_output=True, text=True)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "Traceback" not in done.stderr


def test_a_data_set_that_was_put_into_data_raw_by_hand_is_not_emptied_by_a_run(study: Path) -> None:
    task(folder="zoo")
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("tasks: [spheres]", "tasks: [spheres, zoo]"))
    shutil.copy(ROOT / "dvc.yaml", study)
    whole = read_study(Document.read())
    local.refuse_to_lose_data(whole)  # nothing there
    shutil.copytree("zoo", RAW)
    Path("data/raw/spheres").mkdir()  # generated: it comes back
    with pytest.raises(UserError, match="data/raw/zoo: is there, but not from the stage raw@zoo") as caught:
        local.run(whole, 1)
    assert len(caught.value.problems) == 1
    assert files(RAW) == files(Path("zoo"))
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  raw@zoo:\n    cmd: x\n")
    local.refuse_to_lose_data(whole)  # DVC made it
