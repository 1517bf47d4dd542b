"""The evaluation of a cell from its files to its files, going on after the cases that are done."""

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from context_fbr.config.cell import Cell
from context_fbr.config.evaluation import TaskEvaluation
from context_fbr.config.training import Network, SlidingWindow, Training
from context_fbr.core import atomic, nifti
from context_fbr.core.csv_text import csv_text
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.core.progress import progress
from context_fbr.evaluation import case_cache, case_scores
from context_fbr.evaluation.case_cache import CaseResult
from context_fbr.metrics.columns import CELL_SCORES
from context_fbr.networks.device import prepare_device
from context_fbr.networks.sliding_window import segment
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr.runtime import provenance, resume
from context_fbr.runtime.checksummed_file import CorruptFileError
from context_fbr.runtime.resume import CheckpointDir
from context_fbr.runtime.stage_inputs import StageInputs
from context_fbr.runtime.stop_signals import StopRequest
from context_fbr.training import tracking, weights

AHEAD = {"cuda": 1}
"""Volumes that a device goes on to while those before are scored; a CPU would have to share itself."""


def evaluate(cell: Cell, stage: StageInputs, request: StopRequest) -> None:
    """Evaluate a cell, without the cases that an interrupted run has kept, and write its results.

    Raises:
        UserError: if an input is invalid, or changed while the stage ran: then the finished cases are kept.
    """
    document = stage.document
    origin, code = provenance.start(), resume.code_digest()
    window = document.section(("sliding_window",), SlidingWindow)
    threads = document.section(("train",), Training).threads
    device = prepare_device(threads)
    spec = document.section(("networks", cell.model), Network)
    training = weights.read_training(cell)
    weights.check_network(training, spec)
    network = weights.load_network(training, device)
    tolerance = document.section(("tasks", cell.task, "evaluate"), TaskEvaluation).surface_tolerance_mm
    cases = prepared.read_cases(cell.task, "test")
    parameters = {
        "cell": cell.key,
        "network": spec.model_dump(mode="json"),
        "sliding_window": window.model_dump(mode="json"),
        "surface_tolerance_mm": tolerance,
        "threads": threads,
    }
    inputs = resume.inputs_of(parameters, training.weights_sha256, device, code)

    def begin(case: Case, place: CheckpointDir) -> Callable[[], tuple[CaseResult, str | None]]:
        """Segment a case; what then gives its result, and the digest of its data if it has to be saved."""
        image, label = prepared.read_volume(cell.task, case)
        original_label = originals.read_label(cell.task, case)
        scan = originals.read_header(cell.task, case)
        data = hashlib.sha256(repr(case).encode() + scan.binaryblock)
        data.update(resume.volume_digest(case.name, image, label, case.background))
        data.update(np.ascontiguousarray(original_label).data)
        try:
            done = case_cache.load(place, case.name, data.hexdigest())
        except CorruptFileError as error:
            print(f"{cell.key}: evaluates {case.name} again: {error}", flush=True)
            done = None
        if done is not None:
            return lambda: (done, None)
        voxels = torch.from_numpy(image).to(device)
        mask = segment(network, voxels, cell.patch_size, window, case.background).cpu().numpy()

        def finish() -> tuple[CaseResult, str]:
            row, original = case_scores.score_case(mask, label, case, original_label, tolerance)
            padded = int(min(case.shape) < cell.patch_size)
            return CaseResult((*row, padded), nifti.encode_mask(original, scan)), data.hexdigest()

        return finish

    results: dict[str, CaseResult] = {}
    problems: list[str] = []
    known = 0
    waiting: deque[tuple[Case, Future[tuple[CaseResult, str | None]]]] = deque()
    with (
        resume.checkpoint_dir("evaluate", cell, inputs) as place,
        ThreadPoolExecutor(1) as scoring,
        tracking.of_evaluation(cell, document) as tracker,
    ):

        def collect(left: int) -> None:
            nonlocal known
            while len(waiting) > left:
                case, future = waiting.popleft()
                result, new = future.result()
                if new is not None:  # a full disk ends it: the cases to come would not find room either
                    case_cache.save(place, case.name, new, result)
                results[case.name] = result
                known += new is None

        for case in progress(cases, len(cases), f"evaluate {cell.key}", "case"):
            if request.reason:
                collect(0)
            request.obey(f"{cell.key}: {len(results)} of {len(cases)} cases are evaluated and kept")
            try:
                waiting.append((case, scoring.submit(begin(case, place))))
            except UserError as error:  # go on: several bad files are reported together
                problems.extend(error.problems)
            collect(AHEAD.get(device.type, 0))
        collect(0)
        raise_problems(problems)
        if known:
            print(f"{cell.key}: {known} of {len(cases)} cases were evaluated before", flush=True)
        stage.check()
        with atomic.directory(cell.predictions) as folder:
            for name, result in results.items():
                atomic.write_bytes(folder / f"{name}.nii.gz", result.prediction)
        table = csv_text(CELL_SCORES, (result.row for result in results.values()))
        atomic.write_text(cell.scores, table)
        made = (cell.scores, *(cell.predictions / f"{case.name}.nii.gz" for case in cases))
        provenance.write(stage, cell, origin, inputs, threads, window.precision, made, known > 0)
        tracker.done()
