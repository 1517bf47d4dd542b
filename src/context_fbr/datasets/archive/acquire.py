"""Bring a data set in the layout of the Medical Segmentation Decathlon: from its archive, or from a folder.

Whatever comes is verified before it counts as the task's raw data.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from context_fbr.config.raw import ArchiveRaw, FolderRaw
from context_fbr.core.errors import UserError, visible
from context_fbr.core.progress import progress
from context_fbr.datasets.archive import disk
from context_fbr.datasets.archive.download import PAUSES_S, DownloadError, download, forget
from context_fbr.datasets.archive.unpack import unpack, wrong_kind
from context_fbr.datasets.dataset_json import NAME
from context_fbr.datasets.layout import FOLDERS, nifti_files
from context_fbr.datasets.problems import Problem, Severity
from context_fbr.datasets.verify import verify

CHUNK = 1 << 20  # bytes
INCOMING = Path("data/incoming")


def acquire(raw: ArchiveRaw | FolderRaw, task: str, target: Path) -> None:
    """Fill an empty folder with the task's data set; warnings go to stderr.

    Raises:
        UserError: if it is not there, or with everything that is wrong with it.
        OSError: if a file cannot be written; one that cannot be read is a UserError.
    """
    if isinstance(raw, ArchiveRaw):
        archive = find_archive(task, raw.archive, raw.url, raw.md5, target)
        unpack(archive, target)
        _verify(target, archive)
    else:
        if raw.unset_variables:
            raise UserError(
                f"tasks.{task}.raw.folder of params.yaml: {raw.folder}: the environment variable "
                f"{raw.unset_variables[0]} is not set; `export {raw.unset_variables[0]}=...`"
            )
        source = raw.path
        with disk.reading(source):
            is_folder = source.is_dir()
        if not is_folder:
            raise UserError(
                f"tasks.{task}.raw.folder of params.yaml: {source} is no folder; name one that holds {NAME}, "
                "imagesTr and labelsTr. Other tasks run without it: `make repro` or `dvc repro -k`"
            )
        _verify(source, source)
        _copy(source, target)


def _verify(folder: Path, name: Path) -> None:
    """Refuse a data set with errors, print the warnings; `name` is what the user knows it by."""
    report = verify(folder, name=name.name)

    def say(problem: Problem) -> str:
        return f"{name}: {problem.file}: {problem.text}; {problem.remedy}"

    for problem in report.problems:
        if problem.severity is Severity.WARNING:
            print(f"warning: {visible(say(problem))}", file=sys.stderr, flush=True)
    errors = [say(problem) for problem in report.problems if problem.severity is Severity.ERROR]
    if errors:
        raise UserError(*errors)


def _copy(source: Path, target: Path) -> None:
    """Copy what belongs to a data set and nothing else; links are followed."""
    files = [source / NAME]
    for name in FOLDERS:
        files += nifti_files(source / name)
    size = 0
    for path in files:
        with disk.reading(path):
            size += path.stat().st_size
    disk.require([(target, size)], f"a copy of {source}")
    for path in progress(files, len(files), f"copy {source.name}", "file"):
        to = target / path.relative_to(source)
        to.parent.mkdir(exist_ok=True)
        with disk.open_to_read(path) as file, to.open("wb") as copy:
            shutil.copyfileobj(file, copy, CHUNK)


def variable(task: str) -> str:
    """The environment variable that may hold the path of a task's archive."""
    return f"CONTEXT_FBR_ARCHIVE_{task.upper()}"


def find_archive(
    task: str,
    name: str,
    url: str | None,
    md5: str | None,
    unpack_in: Path,
    incoming: Path = INCOMING,
    pauses_s: Sequence[float] = PAUSES_S,
) -> Path:
    """Bring the archive of a task; the first of these that is there is taken, and its md5 checked.

    1. the path in the environment variable CONTEXT_FBR_ARCHIVE_<TASK>;
    2. `incoming`/`name`;
    3. the url, downloaded to 2.

    Args:
        task: its key in params.yaml.
        name: file name of the archive.
        url: where it can be had; None if nowhere.
        md5: of the archive, in hexadecimal; None if unknown.
        unpack_in: the folder that will take the files: room is checked before a download.
        incoming: folder of archives.
        pauses_s: between attempts to download.

    Raises:
        UserError: if it is nowhere, cannot be read, if its md5 is another, or if there is not enough room.
    """
    path = incoming / name
    if os.environ.get(variable(task)):
        path = Path(os.environ[variable(task)])
        if not _is_file(path):
            raise UserError(f"{variable(task)}={path}: is no file; expected the path of {name}")
    if _is_file(path):
        if problem := _problem(path, name, md5):
            raise UserError(f"{problem}; replace it by the right one, or correct md5 in params.yaml")
        return path
    if path.exists():
        raise UserError(
            f"{path}: is no file, expected the archive; move it away, "
            f"or name it as a data set that is unpacked: tasks.{task}.raw with `source: folder`"
        )
    partial = path.with_name(f"{name}.partial")
    try:
        if url is None:
            raise DownloadError("params.yaml gives no url")
        download(url, partial, unpack_in, pauses_s)
        _check_download(partial, name, md5, url)
        partial.replace(path)
        forget(partial)  # last: a run that is killed before needs it to go on
    except DownloadError as error:
        raise UserError(
            f"task {task}: its archive {name} is not here and cannot be downloaded: {error}. "
            f"Bring it in one of three ways: set the variable {variable(task)} to its path; "
            f"put it into {incoming}; or make {url or 'a url'} work (tasks.{task}.raw.url in params.yaml). "
            "If DVC holds the task's data, and only code was edited: "
            f"`dvc checkout raw@{task} && dvc commit -f raw@{task}`. "
            "The cells of other tasks run without it: `make repro` or `dvc repro -k`, "
            f"or take {task} out of grid.tasks"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: could not be written: {error.strerror}; make room or mend the permission, "
            "then run the same command again, which goes on with what is there"
        ) from error
    return path


def _is_file(path: Path) -> bool:
    with disk.reading(path):
        return path.is_file()


def _check_download(partial: Path, name: str, md5: str | None, url: str) -> None:
    if problem := _problem(partial, name, md5):
        forget(partial)
        raise UserError(
            f"{problem}; it is removed: run the same command again, or correct md5 in params.yaml "
            f"if {url} is new"
        )


def _problem(path: Path, name: str, md5: str | None) -> str | None:
    """What is wrong with an archive; one with the right md5 is right."""
    problems = []
    if md5:
        with disk.open_to_read(path) as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found == md5.lower():
            return None
        problems = [f"its md5 is {found}, expected {md5.lower()}"]
    if problem := wrong_kind(path, name):
        problems = [problem, *problems]
    return f"{path}: {'; '.join(problems)}" if problems else None
