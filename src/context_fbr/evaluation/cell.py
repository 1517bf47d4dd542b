"""Evaluation of a cell: from its files to its files, without the cases that an interrupted run has kept."""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import nibabel
import numpy as np
import torch

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.evaluation import EvaluateConfig
from context_fbr.core import atomic, nifti
from context_fbr.core.csv_text import csv_text
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.padding import is_smaller
from context_fbr.core.patch_size import PatchSize, edges_of, written
from context_fbr.core.progress import progress
from context_fbr.evaluation import case_cache, case_scores
from context_fbr.evaluation.case_cache import CaseResult
from context_fbr.metrics import columns
from context_fbr.networks import windows
from context_fbr.networks.device import prepare_device
from context_fbr.networks.sliding_window import segment
from context_fbr.networks.windows import Shape
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.originals import Original
from context_fbr.preprocessing.prepared import Case
from context_fbr.preprocessing.transforms import label_values
from context_fbr.runtime import provenance, resume
from context_fbr.runtime.checksummed_file import CorruptFileError
from context_fbr.runtime.resume import CheckpointDir
from context_fbr.runtime.stage_inputs import StageInputs
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training import tracking, weights

AHEAD = {"cuda": 1}
"""Cases that a device segments while those before are scored; a CPU would have to share itself."""


def evaluate(cell: Cell, stage: StageInputs, request: StopRequest) -> None:
    """Evaluate a cell and write its results.

    Raises:
        UserError: if an input is invalid, or changed while the stage ran: then the finished cases are kept.
    """
    config = EvaluateConfig.read(stage.document, cell)
    origin, code = provenance.start(), resume.code_digest()
    device = prepare_device(config.threads)
    training = weights.read_training(cell)
    weights.check_network(training, config.model)
    network = weights.load_network(training, device)
    cases = prepared.read_cases(cell.task, "test")
    names = _windows(stage.document, cell, config, network)
    scored = windows.shapes_of(network, names, [case.shape for case in cases])
    inputs = resume.inputs_of(config.identity(cell), training.weights_sha256, device, code)
    with (
        resume.checkpoint_dir("evaluate", cell, inputs) as place,
        tracking.of_evaluation(cell, stage.document) as tracker,
    ):
        evaluated = _evaluate_cases(
            _Evaluation(cell, config, network, training.core, names, scored, device, place), cases, request
        )
        known = sum(one.known for one in evaluated)
        if known:
            print(f"{cell.key}: {known} of {len(cases)} cases were evaluated before", flush=True)
        stage.check()
        _write(cell, evaluated)
        made = (cell.scores, *(cell.predictions / f"{case.name}.nii.gz" for case in cases))
        computed = config.threads, config.window.precision
        provenance.write(stage, cell, origin, inputs, *computed, made, known > 0)
        tracker.done()


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """Inputs that the evaluation of every case needs."""

    cell: Cell
    config: EvaluateConfig
    network: torch.nn.Module
    core: int | None
    """Edge in voxels of the core that the network was trained on; None: the whole window."""
    windows: tuple[PatchSize | str, ...]
    """Windows, the primary one first."""
    shapes: Mapping[tuple[int, ...], tuple[Shape, ...]]
    """Shapes of the windows by the edges of a volume."""
    device: torch.device
    place: CheckpointDir


@dataclass(frozen=True, eq=False)
class _Loaded:
    """The files of a case."""

    case: Case
    image: np.ndarray
    label: np.ndarray
    original: Original
    scan: nibabel.Nifti1Header
    digest: str
    """SHA-256 of all of it."""


@dataclass(frozen=True)
class _Evaluated:
    """A case with its result."""

    name: str
    result: CaseResult
    known: bool
    """True if an interrupted run had evaluated it."""


def _windows(
    document: Document, cell: Cell, config: EvaluateConfig, network: torch.nn.Module
) -> tuple[PatchSize | str, ...]:
    """Return the windows that a cell is scored with.

    Raises:
        UserError: if the network cannot take one of them, or has a fixed size that is not among them.
    """
    values, fixed = config.scoring.windows, windows.has_fixed_size(network)
    place = ("tasks", cell.task, "evaluate", "windows")
    resolved = windows.resolve(values, cell.patch_size, fixed)
    if not resolved:
        text = f"models.{cell.model} takes windows of its patch size alone; add `patch`"
        raise UserError(document.problem(place, text))
    problems = []
    for number, size in enumerate(values):
        if not isinstance(size, str) and size != cell.patch_size and size in resolved:
            failure = windows.failure_of(network, edges_of(size))
            if failure:
                text = f"models.{cell.model} cannot take a window of {size} voxels ({failure})"
                problems.append(document.problem((*place, number), text))
    raise_problems(problems)
    return resolved


def _evaluate_cases(run: _Evaluation, cases: Sequence[Case], request: StopRequest) -> list[_Evaluated]:
    """Segment and score the cases; a GPU segments the next case while one is scored.

    Raises:
        UserError: with every case that cannot be read.
        StoppedError: if the process was asked to stop, with all finished cases kept.
    """
    done: list[_Evaluated] = []
    problems: list[str] = []
    waiting: deque[tuple[_Loaded, Future[CaseResult]]] = deque()
    with ThreadPoolExecutor(1) as scoring:
        for case in progress(cases, len(cases), f"evaluate {run.cell.key}", "case"):
            if request.reason:
                done += _finished(run, waiting, 0)
            request.obey(f"{run.cell.key}: {len(done)} of {len(cases)} cases are evaluated and kept")
            try:
                loaded = _load(run.cell, case)
            except UserError as error:  # continue: several bad files are reported together
                problems.extend(error.problems)
                continue
            kept = _kept(run, loaded)
            if kept is not None:
                done += _finished(run, waiting, 0)  # in the order of the cases
                done.append(_Evaluated(case.name, kept, known=True))
            else:
                waiting.append((loaded, scoring.submit(_segment(run, loaded))))
                done += _finished(run, waiting, AHEAD.get(run.device.type, 0))
        done += _finished(run, waiting, 0)
    raise_problems(problems)
    return done


def _load(cell: Cell, case: Case) -> _Loaded:
    """Read the files of a case; errors as in `prepared.read_volume` and `originals`."""
    image, label = prepared.read_volume(cell.task, case)
    original = originals.read_masks(cell.task, case)
    scan = originals.read_header(cell.task, case)
    data = hashlib.sha256(repr(case).encode() + scan.binaryblock)
    data.update(resume.volume_digest(case.name, image, label, case.background))
    for drawn in (original.label, original.distractor):
        data.update(b"" if drawn is None else np.ascontiguousarray(drawn).data)
    return _Loaded(case, image, label, original, scan, data.hexdigest())


def _kept(run: _Evaluation, loaded: _Loaded) -> CaseResult | None:
    """Return the result that an interrupted run has kept of a case; None if it has to be computed."""
    try:
        return case_cache.load(run.place, loaded.case.name, loaded.digest)
    except CorruptFileError as error:
        print(f"{run.cell.key}: evaluates {loaded.case.name} again: {error}", flush=True)
        return None


def _segment(run: _Evaluation, loaded: _Loaded) -> Callable[[], CaseResult]:
    """Segment a case on the device; the returned function scores it on the CPU."""
    case, config = loaded.case, run.config
    voxels = torch.from_numpy(loaded.image).to(run.device)
    shapes = run.shapes[tuple(case.shape)]
    masks: dict[Shape, np.ndarray] = {}
    """Mask (x, y, z) by the shape of its window: one over the whole volume can be that of another."""
    for shape in dict.fromkeys(shapes):
        mask = segment(run.network, voxels, shape, config.window, case.background, run.core)
        masks[shape] = mask.cpu().numpy()

    def score() -> CaseResult:
        tolerance = config.scoring.surface_tolerance_mm
        scored = {
            shape: case_scores.score_structures(mask, loaded.label, case, loaded.original, tolerance)
            for shape, mask in masks.items()
        }
        rows = [
            columns.with_window(row, int(is_smaller(case.shape, shape)), written(window))
            for window, shape in zip(run.windows, shapes, strict=True)
            for row in scored[shape][0]
        ]
        primary = scored[shapes[0]][1]
        return CaseResult(tuple(rows), nifti.encode_mask(_values(primary, case), loaded.scan))

    return score


def _values(classes: np.ndarray, case: Case) -> np.ndarray:
    """Return label values of the data set in place of classes, the first of each; 1 of a single class."""
    return label_values(classes, case.groups) if case.structures else classes


def _finished(
    run: _Evaluation, waiting: deque[tuple[_Loaded, Future[CaseResult]]], left: int
) -> Iterator[_Evaluated]:
    """Wait for the first cases until `left` of them are left, keep each result and yield it.

    Raises:
        UserError: if a result cannot be written: a full disk has no room for the cases to come either.
    """
    while len(waiting) > left:
        loaded, future = waiting.popleft()
        result = future.result()
        case_cache.save(run.place, loaded.case.name, loaded.digest, result)
        yield _Evaluated(loaded.case.name, result, known=False)


def _write(cell: Cell, evaluated: Sequence[_Evaluated]) -> None:
    """Write predictions and scores of all cases."""
    with atomic.directory(cell.predictions) as folder:
        for one in evaluated:
            atomic.write_bytes(folder / f"{one.name}.nii.gz", one.result.prediction)
    # The rows of the primary window, then those of the others; a case can have fewer windows than another.
    by_window = itertools.zip_longest(*(one.result.rows for one in evaluated))
    rows = [row for rows in by_window for row in rows if row is not None]
    atomic.write_text(cell.scores, csv_text(columns.of_cells(rows), rows))
