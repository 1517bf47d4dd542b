"""`context-fbr task init DIR`: verify and survey a data set, print or write its block of params.yaml."""

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from context_fbr.config import profiles
from context_fbr.config.document import PARAMS_FILE, Document
from context_fbr.config.prepare.preprocessing import WHOLE
from context_fbr.config.study import NAME, Study, read_study
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core.errors import UserError, raise_problems, visible
from context_fbr.datasets import dataset_json, layout
from context_fbr.datasets.dataset_json import NAME as DATASET_JSON
from context_fbr.datasets.dataset_json import Description
from context_fbr.datasets.problems import Severity
from context_fbr.datasets.verify import Report, verify
from context_fbr_tools.data import verify as verification
from context_fbr_tools.data import yaml_block
from context_fbr_tools.data.description import write_description
from context_fbr_tools.data.proposal import Proposal, fewest_cases, propose
from context_fbr_tools.data.survey import Survey, survey, training_pairs


def run(
    folder: Path,
    name: str | None,
    foreground: tuple[int, ...] | None,
    write: bool,
    write_dataset_json: bool = False,
    modality: str | None = None,
    structures: bool = False,
) -> None:
    """Propose a block.

    Args:
        folder: in MSD layout.
        name: of the task; by default from dataset.json, else from the folder.
        foreground: label values; by default the first that a case has.
        write: into params.yaml instead of printing it.
        write_dataset_json: whether to write the data set's dataset.json, which it lacks, first.
        modality: for that dataset.json.
        structures: a class for each label of the data set, in place of `foreground`.

    Raises:
        UserError: if params.yaml or the data set is not valid, the name is taken, or the label values are not
            there; nothing is then written.
    """
    study = read_study(Document.read())
    if modality and not write_dataset_json:
        raise UserError("--modality goes with --write-dataset-json; else it is read from dataset.json")
    if write and study.document.root["tasks"].fa.flow_style():
        text = "is in { }, without room for comments; write one task a block, indented below it"
        raise UserError(study.document.problem(("tasks",), text))
    name = _check(folder, name, foreground, study)
    if write_dataset_json:
        write_description(folder, name, modality)
        print(f"{visible(str(folder / DATASET_JSON))}: written; name its labels", file=sys.stderr)
        _check(folder, name, foreground, study)
    text = propose_block(folder, name, foreground, study, _as_written(folder), structures).text
    if not write:
        print(text, end="")
        return
    print(f"{PARAMS_FILE}:{insert(name, text)}: the new task {name}; read its comments")
    print(f"next: add {name} to study.tasks and grid.tasks, then `context-fbr check`, then `make repro`")


@dataclass(frozen=True)
class ProposedBlock:
    """The block of a task."""

    name: str
    """Name of the task."""
    text: str
    """Indented as below `tasks:`."""
    proposal: Proposal


def propose_block(
    folder: Path,
    name: str,
    foreground: tuple[int, ...] | None,
    study: Study,
    written: str,
    structures: bool = False,
) -> ProposedBlock:
    """Verify a data set, whose report goes to stderr, and propose its block.

    Args:
        folder: in MSD layout.
        name: of the task.
        foreground: label values; None: the first that a case has.
        study: that the block is for.
        written: the folder as `raw.folder` has it.
        structures: a class for each label of the data set, in place of `foreground`.

    Raises:
        UserError: if the data set has errors, or one label only for several structures.
    """
    if structures and foreground:
        raise UserError("--structures goes without --foreground: it takes every label of the data set")
    report = verify(folder)
    print(verification.render(report), file=sys.stderr)
    if report.count(Severity.ERROR):
        raise UserError(f"{folder}: has errors, see above; fix them, then run this again")
    values = _labels(report) if structures else foreground or _labels(report)[:1]
    found = survey(report, values)
    proposal = propose(found, study)
    named = _structure_names(found) if structures else {}
    return ProposedBlock(name, yaml_block.render(name, written, found, proposal, study, named), proposal)


def insert(name: str, block: str) -> int:
    """Write a task into params.yaml as a profile does, comments kept; return its line.

    Raises:
        UserError: if the result is not a valid study; params.yaml is then unchanged.
    """
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder, PARAMS_FILE)
        overlay.write_text(f"tasks:\n{block}\n", encoding="utf-8")
        profiles.apply_overlay(overlay, PARAMS_FILE)
    return Document.read().line(("tasks", name))


def _check(folder: Path, name: str | None, foreground: tuple[int, ...] | None, study: Study) -> str:
    """Check what can be refused before every file is read; the task's name.

    Raises:
        UserError: as `checked_name`, or if the name is taken, or the folder is that of its raw data.
    """
    chosen, problems = _name_and_problems(folder, name, foreground)
    if chosen in study.tasks:
        text = f"is there already; choose another name, for example --name {chosen}_2"
        problems.insert(0, study.document.problem(("tasks", chosen), text))
    elif folder.resolve().is_relative_to(Path("data/raw", chosen).resolve()):
        problems.insert(
            0,
            f"{folder}: is where the raw stage of {chosen} would write, and DVC empties it before; "
            "move it, for example to data/incoming, or choose another --name",
        )
    raise_problems(problems)
    return chosen


def checked_name(folder: Path, name: str | None, foreground: tuple[int, ...] | None) -> str:
    """Return the name of a data set's task: as given, else from dataset.json, else from the folder.

    Raises:
        UserError: if the name is not valid, the folder is missing or has too few cases, or its description
            has no such label values.
    """
    chosen, problems = _name_and_problems(folder, name, foreground)
    raise_problems(problems)
    return chosen


def _name_and_problems(
    folder: Path, name: str | None, foreground: tuple[int, ...] | None
) -> tuple[str, list[str]]:
    """Return the name of a data set's task, and what is wrong with it; errors as in `checked_name`."""
    if folder.is_file():
        raise UserError(
            f"{folder}: is a file, expected a folder; unpack an archive first (`tar -xf {folder}`)"
        )
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; name one that holds {DATASET_JSON}, imagesTr and labelsTr")
    description, _ = dataset_json.read(folder)  # verify reports what is wrong with it
    problems: list[str] = []
    chosen = name or _name_of(description, folder)
    if not _is_name(chosen):
        hint = f"; for example --name {_as_name(chosen)}" if _as_name(chosen) else ""
        problems.append(f"--name {chosen}: a task's name holds a-z, 0-9 and _ only, and a letter first{hint}")
    if description:
        problems += _foreground_problems(foreground, description)
        problems += _too_few(folder)
    return chosen, problems


def _foreground_problems(foreground: tuple[int, ...] | None, description: Description) -> list[str]:
    allowed = {str(value) for value in description.labels if value > 0}
    wanted = [str(value) for value in foreground or ()]
    problems = [
        f"--foreground {value}: is no label of {DATASET_JSON} that can be foreground; "
        f"{suggestion(value, allowed)}"
        for value in dict.fromkeys(wanted)
        if value not in allowed
    ]
    twice = sorted({value for value in wanted if wanted.count(value) > 1})
    return [*problems, *(f"--foreground: {value} is there more than once" for value in twice)]


def _too_few(folder: Path) -> list[str]:
    cases, _ = layout.read(folder)
    images = sum(bool(case.image and case.image.startswith("imagesTr/")) for case in cases)
    has_test_set = any(case.label and case.label.startswith("labelsTs/") for case in cases)
    fewest = fewest_cases(has_test_set)
    if not images or images >= fewest:  # a folder without any file has other troubles
        return []
    parts = "train and validate" if has_test_set else "train, validate and test"
    return [f"{folder / 'imagesTr'}: {images} cases, expected {fewest} at least: one each to {parts}"]


def _name_of(description: Description | None, folder: Path) -> str:
    names = [_as_name(text) for text in (description.name if description else "", folder.resolve().name)]
    return next(filter(None, names), "task")


def _as_name(text: str) -> str:
    """The nearest that is a name; empty if there is none."""
    name = re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if not name or _is_name(name) else f"task_{name}"


def _is_name(text: str) -> bool:
    """Return true if a name fits into a cell's key, and YAML reads it as text: not 123, 1e5, null or true."""
    return bool(NAME.fullmatch(text)) and isinstance(YAML(typ="safe").load(text), str)


def _labels(report: Report) -> tuple[int, ...]:
    """Return the label values that a training case has, but the background's."""
    found = {value for _, _, label in training_pairs(report) for value in label.values if value > 0}
    return tuple(sorted(map(int, found)))


def _structure_names(found: Survey) -> dict[str, int]:
    """Return the label values by the names of dataset.json as params.yaml can have them.

    Raises:
        UserError: if two labels have the same name then, or there is one.
    """
    if len(found.foreground) < 2:
        raise UserError(f"{found.folder}: its cases have one label; leave --structures out")
    names = [_as_name(found.label_names[value]) or f"label_{value}" for value in found.foreground]
    named = dict(zip(names, found.foreground, strict=True))
    if len(named) < len(names) or WHOLE in named:
        raise UserError(
            f"{found.folder / DATASET_JSON}: its labels become the structures {', '.join(names)}: expected "
            f"different names, and not `{WHOLE}`; rename them there"
        )
    return named


def _as_written(folder: Path) -> str:
    """Return the folder as given if it is in the project, from whose root stages run; else absolute."""
    if not folder.is_absolute() and ".." not in folder.parts:
        return folder.as_posix()
    where, root = folder.resolve(), Path.cwd().resolve()
    return (where.relative_to(root) if where.is_relative_to(root) else where).as_posix()
