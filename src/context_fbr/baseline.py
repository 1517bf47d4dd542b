"""Evaluate what needs no network on a task's test volumes -> metrics/baselines/TASK.csv.

python -m context_fbr.baseline TASK

The threshold is the one with the best mean Dice on the validation volumes; the masks are scored as those of
the networks are.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from context_fbr.config.evaluation import read_surface_tolerance_mm
from context_fbr.core import atomic
from context_fbr.core.progress import progress
from context_fbr.evaluation import baselines
from context_fbr.evaluation.case_scores import score_structures
from context_fbr.metrics.columns import Row
from context_fbr.preprocessing import originals, prepared
from context_fbr.preprocessing.prepared import Case
from context_fbr.runtime import stage_inputs
from context_fbr.runtime.entry import run_command, task_argument
from context_fbr.runtime.stage_inputs import StageInputs


def main(arguments: list[str]) -> None:
    """Run the stage."""
    task = task_argument(arguments)
    with stage_inputs.unchanged("baseline", task=task) as inputs:
        evaluate(task, inputs)


def evaluate(task: str, inputs: StageInputs) -> None:
    """Evaluate both baselines of a task and write their table.

    Raises:
        UserError: if a volume cannot be read, or an input changed meanwhile.
    """
    cases = prepared.read_task(task)
    validation = [_first_channel(*prepared.read_volume(task, case)) for case in cases.split("validation")]
    threshold = baselines.fit_threshold(validation, baselines.candidates(validation))
    tolerance = read_surface_tolerance_mm(inputs.document, task)

    def score(mask: np.ndarray, case: tuple[Case, np.ndarray]) -> list[Row]:
        known, label = case
        original = originals.read_masks(task, known)
        return score_structures(mask, label, known, original, tolerance, shared=True)[0]

    def volumes() -> Iterator[tuple[np.ndarray, tuple[Case, np.ndarray]]]:
        test = cases.split("test")
        for case in progress(test, len(test), f"baseline {task}", "case"):
            image, label = _first_channel(*prepared.read_volume(task, case))
            yield image, (case, label)

    table = baselines.evaluate(volumes(), threshold, score)
    inputs.check()
    atomic.write_text(Path("metrics/baselines") / f"{task}.csv", table)


def _first_channel(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a volume with one channel, which a threshold needs."""
    return image if image.ndim == 3 else image[0], label


if __name__ == "__main__":
    run_command(main)
