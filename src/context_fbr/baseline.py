"""What needs no network: two baselines on a task's test volumes -> metrics/baselines/TASK.csv.

python -m context_fbr.baseline TASK

`everything` calls every voxel foreground. `threshold` calls foreground what is at least as bright as one
value, the one with the best mean Dice on the training volumes: a task that it solves can be solved voxel by
voxel, without context.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from context_fbr import atomic, prepared
from context_fbr.errors import UserError, run
from context_fbr.progress import progress
from context_fbr.scoring import dice

THRESHOLDS = 1001
COLUMNS = ("filename", "everything_dsc", "threshold_dsc", "threshold")


def threshold_dice(image: np.ndarray, label: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Dice of `image >= threshold` for each of the ascending thresholds.

    Args:
        image: (x, y, z).
        label: (x, y, z), foreground where above 0, at least one voxel.
        thresholds: (n,) ascending.

    Returns:
        (n,) float64.
    """
    levels = np.searchsorted(thresholds, image.ravel(), side="right")  # how many thresholds a voxel passes
    count = len(thresholds) + 1
    passed = np.bincount(levels, minlength=count)[::-1].cumsum()[::-1][1:]
    shared = np.bincount(levels[label.ravel() > 0], minlength=count)[::-1].cumsum()[::-1][1:]
    return 2 * shared / (passed + int((label > 0).sum()))


def fit_threshold(volumes: Iterable[tuple[np.ndarray, np.ndarray]], thresholds: np.ndarray) -> float:
    """The lowest of the thresholds with the greatest mean Dice over (image, label) pairs.

    Raises:
        UserError: if no label has foreground.
    """
    scores = [threshold_dice(image, label, thresholds) for image, label in volumes if label.any()]
    if not scores:
        raise UserError("no training volume has foreground: no threshold can be fitted")
    return float(thresholds[np.mean(scores, axis=0).argmax()])


def main(arguments: list[str]) -> None:
    """Run the stage."""
    if len(arguments) != 1:
        raise UserError(f"expected TASK, for example `spheres`, got {arguments}")
    (task,) = arguments
    training = prepared.read_cases(task, "train")
    ranges = [(float(i.min()), float(i.max())) for i, _ in (prepared.read_volume(task, c) for c in training)]
    thresholds = np.linspace(min(low for low, _ in ranges), max(high for _, high in ranges), THRESHOLDS)
    volumes = progress(training, len(training), f"baseline {task}", "volume")
    threshold = fit_threshold((prepared.read_volume(task, case) for case in volumes), thresholds)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in prepared.read_cases(task, "test"):
        image, label = prepared.read_volume(task, case)
        true, voxels = case.foreground_voxels, label.size
        bright = threshold_dice(image, label, np.array([threshold]))[0] if true else None
        writer.writerow((case.name, dice(true, voxels, true), bright, threshold))
    atomic.write_text(Path("metrics/baselines") / f"{task}.csv", table.getvalue())


if __name__ == "__main__":
    run(main)
