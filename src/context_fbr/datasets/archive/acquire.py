"""Bring a data set in the layout of the Medical Segmentation Decathlon: from its archive, or from a folder.

It is verified before it counts as the task's raw data.
"""

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

from context_fbr.config.raw.source import ArchiveRaw, FolderRaw
from context_fbr.core.errors import UnavailableDataError, UserError, raise_problems, visible
from context_fbr.core.progress import progress
from context_fbr.datasets.archive import disk
from context_fbr.datasets.archive.download import DownloadError, download, forget
from context_fbr.datasets.archive.record import Origin
from context_fbr.datasets.archive.unpack import unpack, wrong_kind
from context_fbr.datasets.dataset_json import NAME
from context_fbr.datasets.layout import FOLDERS, nifti_files
from context_fbr.datasets.problems import Problem, Severity
from context_fbr.datasets.verify import verify

INCOMING = Path("data/incoming")


def acquire(raw: ArchiveRaw | FolderRaw, task: str, target: Path) -> Origin:
    """Fill an empty folder with the task's data set, and return its source; warnings go to stderr.

    Raises:
        UnavailableDataError: if it is missing.
        UserError: if it cannot be read, or with everything that is wrong with it.
        OSError: if a file cannot be written.
    """
    if isinstance(raw, ArchiveRaw):
        source = find_archive(task, raw, target)
        if source.is_dir():
            return _take(source, target)
        unpack(source, target)
        _verify(target, source)
        return Origin("archive", source.name, raw.md5 and raw.md5.lower())
    key = f"tasks.{task}.raw.folder of params.yaml"
    if raw.unset_variables:
        variable = raw.unset_variables[0]
        raise UnavailableDataError(
            f"{key}: {raw.folder}: the environment variable {variable} is not set; `export {variable}=...`"
        )
    if not _is_folder(raw.path):
        raise UnavailableDataError(
            f"{key}: {raw.path} is not a folder; name one that holds {NAME}, imagesTr and labelsTr. "
            "Other tasks run without it: `make repro` or `dvc repro -k`"
        )
    return _take(raw.path, target)


def _take(folder: Path, target: Path) -> Origin:
    """Verify a data set in a folder and copy it."""
    _verify(folder, folder)
    _copy(folder, target)
    return Origin("folder", folder.resolve().name, None)


def _verify(folder: Path, name: Path) -> None:
    """Refuse a data set with errors, print the warnings; `name` is the source in messages."""

    def text_of(problem: Problem) -> str:
        return f"{name}: {problem.file}: {problem.text}; {problem.remedy}"

    problems = verify(folder, name=name.name).problems
    for problem in problems:
        if problem.severity is Severity.WARNING:
            print(f"warning: {visible(text_of(problem))}", file=sys.stderr, flush=True)
    raise_problems([text_of(problem) for problem in problems if problem.severity is Severity.ERROR])


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a data set and no others; links are followed."""
    files = [source / NAME, *(path for name in FOLDERS for path in nifti_files(source / name))]
    size = 0
    for path in files:
        with disk.reading(path):
            size += path.stat().st_size
    disk.require([(target, size)], f"a copy of {source}")
    for path in progress(files, len(files), f"copy {source.name}", "file"):
        to = target / path.relative_to(source)
        to.parent.mkdir(exist_ok=True)
        with disk.open_to_read(path) as file, to.open("wb") as copy:
            shutil.copyfileobj(file, copy)


def find_archive(task: str, raw: ArchiveRaw, unpack_in: Path) -> Path:
    """Return the archive of a task, or the folder that it was unpacked to: the first of these that exists.

    1. the path in the environment variable CONTEXT_FBR_ARCHIVE_<TASK>, of an archive or a folder;
    2. its name in data/incoming, then a folder of this name without its ending;
    3. the url, downloaded to 2.

    The md5 of an archive is checked; a folder has none.

    Args:
        task: its key in params.yaml.
        raw: name, url and md5 of the archive.
        unpack_in: folder for its files: room is checked before a download.

    Raises:
        UnavailableDataError: if it is missing.
        UserError: if it cannot be read, has another md5, or if there is not enough room.
    """
    variable, path = f"CONTEXT_FBR_ARCHIVE_{task.upper()}", INCOMING / raw.archive
    unpacked = INCOMING / re.sub(r"\.(tar|tar\.gz|tgz|zip)$", "", raw.archive)
    if os.environ.get(variable):
        path = unpacked = Path(os.environ[variable])
        if not _is_file(path) and not _is_folder(path):
            raise UserError(
                f"{variable}={path}: not found; expected the path of {raw.archive}, or of the folder "
                f"that holds its {NAME}"
            )
    if _is_file(path):
        if problem := _problem(path, raw):
            raise UserError(f"{problem}; replace it by the right one, or correct md5 in params.yaml")
        return path
    if _is_folder(unpacked):
        return unpacked
    if path.exists():
        raise UserError(
            f"{path}: is not a file, expected the archive; move it away, "
            f"or name it as a data set that is unpacked: tasks.{task}.raw with `source: folder`"
        )
    partial = path.with_name(f"{raw.archive}.partial")
    try:
        if raw.url is None:
            raise DownloadError("params.yaml gives no url")
        download(raw.url, partial, unpack_in)
        if problem := _problem(partial, raw):
            forget(partial)
            raise UserError(
                f"{problem}; it is removed: run the same command again, or correct md5 in params.yaml "
                f"if {raw.url} is new"
            )
        partial.replace(path)
        forget(partial)  # last: a run that is killed before needs it to resume
    except DownloadError as error:
        raise UnavailableDataError(
            f"task {task}: its archive {raw.archive} is not here and cannot be downloaded: {error}. "
            f"Bring it in one of three ways: set the variable {variable} to its path, or to that of the "
            f"folder it was unpacked to; put either into {INCOMING}; or make {raw.url or 'a url'} work "
            f"(tasks.{task}.raw.url in params.yaml). If DVC holds the task's data, and only code was edited: "
            f"`dvc checkout raw@{task} && dvc commit -f raw@{task}`. "
            "The cells of other tasks run without it: `make repro` or `dvc repro -k`, "
            f"or take {task} out of study.tasks and grid.tasks"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: could not be written: {error.strerror}; make room or correct the permission, "
            "then run the same command again, which resumes the download"
        ) from error
    return path


def _is_file(path: Path) -> bool:
    with disk.reading(path):
        return path.is_file()


def _is_folder(path: Path) -> bool:
    with disk.reading(path):
        return path.is_dir()


def _problem(path: Path, raw: ArchiveRaw) -> str | None:
    """Return the problem of an archive, None if it has the right md5, or none is known and it may be one."""
    problems = []
    if raw.md5:
        with disk.open_to_read(path) as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 == raw.md5.lower():
            return None
        problems = [f"its md5 is {md5}, expected {raw.md5.lower()}"]
    if problem := wrong_kind(path, raw.archive):
        problems = [problem, *problems]
    return f"{path}: {'; '.join(problems)}" if problems else None
