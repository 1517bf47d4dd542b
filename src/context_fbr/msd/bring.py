"""Bring a data set in the layout of the Medical Segmentation Decathlon: from its archive, or from a folder.

Whatever comes is verified before it counts as the task's raw data.
"""

import shutil
import sys
from pathlib import Path

from context_fbr.errors import UserError
from context_fbr.msd import disk
from context_fbr.msd.archive import find_archive
from context_fbr.msd.description import NAME
from context_fbr.msd.layout import FOLDERS, nifti_files
from context_fbr.msd.problems import Problem, Severity
from context_fbr.msd.unpack import unpack
from context_fbr.msd.verify import verify
from context_fbr.progress import progress
from context_fbr.study.raw import ArchiveRaw, FolderRaw
from context_fbr.visible import visible

CHUNK = 1 << 20  # bytes


def bring(raw: ArchiveRaw | FolderRaw, task: str, target: Path) -> None:
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
