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
from context_fbr.msd.layout import FOLDERS
from context_fbr.msd.problems import Problem, Severity
from context_fbr.msd.unpack import unpack
from context_fbr.msd.verify import verify
from context_fbr.progress import progress
from context_fbr.study.raw import ArchiveRaw, FolderRaw


def bring(raw: ArchiveRaw | FolderRaw, task: str, target: Path) -> None:
    """Fill an empty folder with the task's data set; warnings go to stderr.

    Raises:
        UserError: if it is not there, or with everything that is wrong with it.
        OSError: if a file cannot be written.
    """
    if isinstance(raw, ArchiveRaw):
        archive = find_archive(task, raw.archive, raw.url, raw.md5, target)
        unpack(archive, target)
        _verify(target, archive)
    else:
        source = Path(raw.folder).expanduser()
        if not source.is_dir():
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
            print(f"warning: {say(problem)}", file=sys.stderr, flush=True)
    errors = [say(problem) for problem in report.problems if problem.severity is Severity.ERROR]
    if errors:
        raise UserError(*errors)


def _copy(source: Path, target: Path) -> None:
    """Copy what belongs to a data set and nothing else; links are followed."""
    files = [source / NAME]
    for name in FOLDERS:
        files += sorted(path for path in (source / name).glob("[!.]*.nii*") if path.is_file())
    disk.require([(target, sum(path.stat().st_size for path in files))], f"a copy of {source}")
    for path in progress(files, len(files), f"copy {source.name}", "file"):
        to = target / path.relative_to(source)
        to.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, to)
