"""Cases of a prepared task, or of a data set in MSD layout that is prepared in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from context_fbr.config.document import parse, plain
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.study import Study
from context_fbr.core.progress import progress
from context_fbr.datasets import dataset_json
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing import prepared
from context_fbr.preprocessing.splits import assign_splits
from context_fbr.training import sampling
from context_fbr_tools.data import task_init
from context_fbr_tools.study.planning.advice.patches import Labelled
from context_fbr_tools.study.planning.evenly import evenly

MOST = 40
"""Cases of each split that are looked at, evenly from first to last."""


@dataclass(frozen=True)
class DataSet:
    """Cases of a data set, as far as they are looked at."""

    name: str
    cases: tuple[Labelled, ...]
    structures: int
    left_out: int
    """Number of cases that are not looked at."""


def of_task(task: str) -> DataSet:
    """Read the cases of a task of params.yaml; raises UserError if they are not prepared."""
    every = prepared.read_task(task)
    found, left_out = [], 0
    for split in ("train", "test"):
        cases = [case for case in every.split(split) if not case.variant]
        chosen = evenly(cases, MOST)
        left_out += len(cases) - len(chosen)
        for case in progress(chosen, len(chosen), f"read {task}", "case"):
            image, label = prepared.read_volume(task, case)
            found.append(_labelled(case.name, image, label, case.background, split == "test"))
    return DataSet(task, tuple(found), every.structures, left_out)


def of_folder(folder: Path, study: Study, foreground: tuple[int, ...] | None, structures: bool) -> DataSet:
    """Prepare cases of a data set as its proposed task would; errors as in `propose_block` and `prepare`."""
    name = task_init.checked_name(folder, None, foreground)
    block = task_init.propose_block(folder, name, foreground, study, folder.as_posix(), structures)
    tree = parse(f"tasks:\n{block.text}".encode(), str(folder))["tasks"][name]
    settings = Prepare.model_validate(plain(tree["prepare"]))
    description, _ = dataset_json.read(folder)
    assert description is not None  # or there would be no block
    classes = set(description.labels)
    sources = assign_splits(folder, settings.split)
    found, left_out = [], 0
    for split in ("train", "test"):
        own = [source for source in sources if source.split == split]
        chosen = evenly(own, MOST)
        left_out += len(own) - len(chosen)
        for source in progress(chosen, len(chosen), f"prepare {name}", "case"):
            case, image, label, _ = prepare_case(source, folder, settings, classes)
            found.append(_labelled(source.name, image, label, case.background, split == "test"))
    return DataSet(name, tuple(found), len(settings.groups), left_out)


def _labelled(
    name: str, image: np.ndarray, label: np.ndarray, background: float | tuple[float, ...], is_test: bool
) -> Labelled:
    whole, nothing = sampling.above(image, background)
    return Labelled(name, label, whole > nothing, is_test)
