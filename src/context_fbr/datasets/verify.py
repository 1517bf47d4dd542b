"""Verify a data set in the layout of the Medical Segmentation Decathlon: everything that is wrong, at once.

Files are read side by side by threads: unpacking, numpy and hashing do not hold Python's lock, so two threads
are 1.9 times as fast as one, and start without the second that processes need for their imports. Of a file
only its `Facts` stay in memory.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from context_fbr.core.errors import UserError
from context_fbr.core.progress import progress
from context_fbr.core.resources import usable_workers
from context_fbr.datasets import checks, dataset_json, layout
from context_fbr.datasets.dataset_json import NAME, Description, case_name
from context_fbr.datasets.layout import CaseFiles
from context_fbr.datasets.other_layouts import other_layout
from context_fbr.datasets.overlaps import Image, overlap_problems
from context_fbr.datasets.problems import Problem, Severity, error, ordered
from context_fbr.datasets.volume_facts import Damage, Facts, inspect, memory_to_read


@dataclass(frozen=True)
class Case:
    """A case and its files; one that is missing or cannot be read is None."""

    name: str
    image: Facts | None
    label: Facts | None


@dataclass(frozen=True)
class Report:
    """Result of `verify`."""

    folder: Path
    description: Description | None
    files: int
    """Cases that were read."""
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]
    """The worst first."""

    def count(self, severity: Severity) -> int:
        """Return the number of problems of this severity."""
        return sum(problem.severity == severity for problem in self.problems)


def verify(folder: Path, workers: int | None = None, name: str | None = None) -> Report:
    """Read every file of a data set to its last byte.

    Args:
        folder: holds dataset.json, imagesTr, labelsTr and, if there are any, imagesTs and labelsTs.
        workers: how many files at once; by default as many as this process's cores and the free memory allow.
        name: shown while it is read; None: the name of its folder.

    Raises:
        UserError: if there is no such folder, or one in it cannot be read. All other problems are in the
            report.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; name one that holds {NAME}, imagesTr and labelsTr")
    if problem := other_layout(folder):
        return Report(folder, None, 0, (), (problem,))
    description, problems = dataset_json.read(folder)
    files, found = layout.read(folder)
    problems += found + layout.pairing_problems(files)
    if description:
        problems += layout.listing_problems(files, description)
    if not files:
        text = "no .nii or .nii.gz file in imagesTr and labelsTr"
        problems.append(error("no files", "", ".", text, "name the folder that holds imagesTr"))
    known: dict[str, Facts] = {}
    for result in _inspections(folder, files, workers, name or folder.name):
        if isinstance(result, Facts):
            known[result.file] = result
        else:
            case_of = case_name(result.file)
            problems.append(error("unreadable", case_of, result.file, result.text, result.remedy))
    cases = tuple(Case(case.case, known.get(case.image or ""), known.get(case.label or "")) for case in files)
    for case in cases:
        problems += _case_problems(case, description)
    variants = description.test_variants if description else {}
    problems += checks.duplicate_problems(
        [(case.image, None if case.name in variants else case.label) for case in cases]
    )  # a variant has the label of the case that it changes
    images = [case.image for case in cases if case.image]
    problems += overlap_problems(folder, [Image(i.file, i.digest, i.blocks) for i in images if i.blocks])
    read = sum((case.image is not None) + (case.label is not None) for case in files)
    return Report(folder, description, read, cases, ordered(problems))


def as_json(report: Report) -> dict[str, object]:
    """The report for programs."""
    return {
        "folder": str(report.folder),
        "name": report.description.name if report.description else None,
        "modalities": list(report.description.modalities) if report.description else None,
        "labels": list(report.description.labels) if report.description else None,
        "files": report.files,
        **{f"{severity}s": report.count(severity) for severity in Severity},
        "problems": [asdict(problem) for problem in report.problems],
        "cases": [asdict(case, dict_factory=_without_blocks) for case in report.cases],
    }


def _without_blocks(fields: list[tuple[str, object]]) -> dict[str, object]:
    return {name: value for name, value in fields if name != "blocks"}


def _inspections(
    folder: Path, cases: tuple[CaseFiles, ...], workers: int | None, name: str
) -> Iterator[Facts | Damage]:
    jobs = [(path, False) for case in cases if (path := case.image)]
    jobs += [(path, True) for case in cases if (path := case.label)]
    largest = max((memory_to_read(folder / file) for file, _ in jobs), default=0)
    pool = ThreadPoolExecutor(workers or usable_workers(len(jobs), largest))
    try:
        results = pool.map(lambda job: inspect(folder, *job), jobs)
        yield from progress(results, len(jobs), f"verify {name}", "file")
    finally:  # after an interrupt, only the files in hand are read to their end
        pool.shutdown(cancel_futures=True)


def _case_problems(case: Case, description: Description | None) -> list[Problem]:
    problems: list[Problem] = []
    if case.image:
        problems += checks.image_problems(case.image, description)
    if case.label:
        problems += checks.label_problems(case.label, description)
    if case.image and case.label:
        problems += checks.pair_problems(case.image, case.label)
    elif case.label:  # the image's geometry is that of both
        problems += checks.geometry_problems(case.label)
    return problems
